"""The device that a run computes on."""

from __future__ import annotations

import torch

from gsnr_sweep.errors import GsnrError


def choose_device(name: str) -> torch.device:
    """Turn the config's ``device`` into a device of this machine.

    Args:
        name: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:K``.

    Raises:
        GsnrError: The GPU asked for is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise GsnrError(
            f"device={name}: this machine has {torch.cuda.device_count()} CUDA device(s) that "
            "PyTorch can use. Use device=cpu or device=auto."
        )
    return device


def describe_device(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def set_exact_arithmetic() -> None:
    """Compute in the dtype asked for: no TF32, and the same kernels every time."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
