"""Files of weights: checkpoints of anybody's training, and those that runs keep of theirs."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.training.replica import NO_PARAMETER

_TORCH_ENDINGS = (".pt", ".pth", ".bin", ".ckpt")
_TORCH_BEGINNINGS = (b"PK", b"\x80")  # a ZIP file, a pickle
_KEPT = re.compile(r"weights/(?P<replica>\d+)\.(?P<name>.+)")
BUFFER = "buffer."
_MOST_KEYS = 6


@dataclass(frozen=True)
class Weights:
    """One network's weights as a file holds them.

    Attributes:
        name: The file as it was named; of a file with several replicas, ``FILE[m]``.
        tensors: Parameters and buffers by name.
        kept: Whether a run of this tool kept them: buffers then have `BUFFER` before their names,
            and frozen parameters, which are the initial ones, are not in the file.
    """

    name: str
    tensors: Mapping[str, Tensor]
    kept: bool = False


def read_weights(path: Path) -> list[Weights]:
    """Read a file of weights; no code in it is executed.

    Args:
        path: A safetensors file; a state dict that ``torch.save`` wrote; or the
            ``weights.safetensors`` or ``checkpoint.safetensors`` of a run.

    Returns:
        One network's weights; of a run's file, those of each replica.

    Raises:
        GsnrError: The file is not there, cannot be read, or holds no state dict.

    Example:
        >>> read_weights(Path("net.safetensors"))[0].tensors.keys()  # doctest: +SKIP
    """
    if not path.is_file():
        what = "this is no file" if path.exists() else "there is no such file"
        raise GsnrError(f"--weights {path}: {what}. Give files of weights: a.safetensors or b.pt.")
    try:
        if _is_torch_file(path):
            return [Weights(str(path), _state_dict(path))]
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            kept = "gsnr_sweep" in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError, RuntimeError, ValueError) as error:
        raise GsnrError(
            f"--weights {path}: it cannot be read ({describe_exception(error)}). Give a "
            "safetensors file, or a state dict that torch.save wrote."
        ) from error
    return _replicas(path, tensors) if kept else [Weights(str(path), tensors)]


def _is_torch_file(path: Path) -> bool:
    if path.suffix in (".safetensors", *_TORCH_ENDINGS):
        return path.suffix != ".safetensors"
    with path.open("rb") as file:
        return file.read(2).startswith(_TORCH_BEGINNINGS)


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise GsnrError(
            f"--weights {path}: it holds more than tensors, such as a whole model, or is damaged; "
            "torch.load(weights_only=True), which executes no code of a file, does not read it. "
            "Save the state dict alone: torch.save(model.state_dict(), 'net.pt')."
        ) from error
    if not isinstance(found, Mapping):
        raise GsnrError(
            f"--weights {path}: it holds an object of type {type(found).__name__}, not a state "
            "dict. Save the state dict alone: torch.save(model.state_dict(), 'net.pt')."
        )
    if not all(isinstance(value, Tensor) for value in found.values()):
        keys = [str(key) for key in found]
        more = ", …" if len(keys) > _MOST_KEYS else ""
        raise GsnrError(
            f"--weights {path}: not all that it holds are tensors (keys: "
            f"{', '.join(keys[:_MOST_KEYS])}{more}). Save the state dict alone: "
            "torch.save(checkpoint['state_dict'], 'net.pt')."
        )
    return {str(name): tensor for name, tensor in found.items()}


def _replicas(path: Path, tensors: Mapping[str, Tensor]) -> list[Weights]:
    """Sort what a run kept by replica."""
    replicas: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        found = _KEPT.fullmatch(key)
        if found and not found["name"].startswith(NO_PARAMETER):
            replicas.setdefault(int(found["replica"]), {})[found["name"]] = tensor
    several = len(replicas) > 1
    return [
        Weights(f"{path}[{m}]" if several else str(path), replicas[m], kept=True)
        for m in sorted(replicas)
    ]
