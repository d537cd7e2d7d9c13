"""What a run needs to go on after its process is gone: one file, replaced atomically.

The file is in the safetensors format: reading it executes nothing. Data and initial weights are not
in it, for the run's seed gives them again, bit for bit; a digest of the data says if it did not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gsnr_sweep.records.atomic import replace_file
from gsnr_sweep.records.reading import from_json
from gsnr_sweep.records.record import Measurement

log = logging.getLogger(__name__)

CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "weights.safetensors"
"""Final weights of a run that keeps them: a checkpoint of its training, whatever is measured."""
_SCHEMA = 1
_DAMAGE = (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after a whole number of steps.

    Attributes:
        epoch: Steps taken.
        tensors: All replicas' weights (float64) and buffers, by name.
        config_hash: The run's identity.
        code: Version of the code that took the steps.
        data_digest: Of the training sets and the test set.
        seconds: Time spent so far: ``wall`` in all, ``compute`` training and measuring.
        measurements: What was measured so far.
    """

    epoch: int
    tensors: dict[str, Tensor]
    config_hash: str
    code: str
    data_digest: str
    seconds: dict[str, float] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)

    def write(self, folder: Path, name: str = CHECKPOINT_FILE) -> None:
        """Write the checkpoint, with the state of PyTorch's random numbers, on the disk for good.

        Args:
            folder: The run's folder.
            name: The file's name in it.

        Raises:
            GsnrError: It cannot be written; the checkpoint before it is intact.
        """
        about = {key: value for key, value in vars(self).items() if key != "tensors"}
        about["measurements"] = [asdict(measurement) for measurement in self.measurements]
        tensors = {  # copies: the format refuses tensors that share memory
            f"weights/{name}": t.clone(memory_format=torch.contiguous_format)
            for name, t in self.tensors.items()
        }
        tensors |= {f"rng/{name}": state for name, state in _random_state().items()}
        text = json.dumps({"schema": _SCHEMA, **about})
        metadata = {"gsnr_sweep": text, "sha256": _checksum(text, tensors)}
        replace_file(folder / name, lambda path: _save(tensors, path, metadata))

    @classmethod
    def read(cls, folder: Path, name: str = CHECKPOINT_FILE) -> Checkpoint | None:
        """Read a folder's checkpoint and set PyTorch's random numbers.

        A file that is damaged is set aside, under its name with ``.damaged``, and said.

        Returns:
            None if there is none, or none that this version can read.
        """
        path = folder / name
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = metadata["gsnr_sweep"]
            about = json.loads(text)
            if not isinstance(about, dict) or about.pop("schema") != _SCHEMA:
                return None
            # Those of earlier versions have no checksum.
            if metadata.get("sha256", known := _checksum(text, tensors)) != known:
                raise ValueError("its checksum is wrong")
            found = from_json(cls, about, tensors=_named("weights/", tensors))
            _set_random_state(_named("rng/", tensors))
        except OSError:
            return None
        except _DAMAGE as error:
            _set_aside(path, error)
            return None
        return found

    def fits(self, config_hash: str, code: str, equal: Collection[str] = ()) -> str:
        """Say why a run cannot go on from here; empty if it can.

        Args:
            config_hash: The run's identity.
            code: Version of the code that would go on.
            equal: Other versions that compute the same numbers.
        """
        if self.config_hash != config_hash:
            return f"the settings changed since ({self.config_hash} then, {config_hash} now)"
        if self.code != code and self.code not in equal:
            return f"the code changed since ({self.code} then, {code} now)"
        return ""


class Checkpointer:
    """Writes a checkpoint every few minutes, and when asked to."""

    def __init__(self, folder: Path, minutes: float | None) -> None:
        """Prepare.

        Args:
            folder: The run's output folder.
            minutes: Time between two checkpoints; 0 for one after every step, None for none but
                those that are asked for.
        """
        self.folder = folder
        self._seconds = None if minutes is None else 60 * minutes
        self._written_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self._seconds is not None and time.monotonic() - self._written_at >= self._seconds

    def write(self, checkpoint: Checkpoint) -> None:
        """Write one now.

        Raises:
            GsnrError: It cannot be written; the one before is intact.
        """
        checkpoint.write(self.folder)
        self._written_at = time.monotonic()


def remove_checkpoint(folder: Path) -> None:
    """Remove what a finished run no longer needs."""
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether a run can go on from this folder."""
    return (folder / CHECKPOINT_FILE).is_file()


def _set_aside(path: Path, error: Exception) -> None:
    log.warning("%s is damaged (%s): set aside, and not gone on from", path, error)
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.damaged"))


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    """Return a digest of all that a checkpoint holds: the format itself has none."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    try:
        safetensors.torch.save_file(tensors, path, metadata)
    except safetensors.SafetensorError as error:
        raise OSError(str(error).removeprefix("I/O error: ")) from error
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _named(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _random_state() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states |= {f"cuda.{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _set_random_state(states: dict[str, Tensor]) -> None:
    for name, state in states.items():
        if name == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available() and int(name.partition(".")[2]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(name.partition(".")[2]))
