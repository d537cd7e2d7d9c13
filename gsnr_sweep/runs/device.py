"""The device that a run computes on."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

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


def reset_peak_memory(device: torch.device) -> None:
    """Start counting this process's (or the GPU's) largest memory anew, where that is possible."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # Linux only; elsewhere the peak is the process's whole life
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Return the largest memory used, MB: the GPU's for a GPU, else this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def set_exact_arithmetic(tf32: bool = False) -> None:
    """Compute in the dtype asked for, and let cuDNN choose deterministic kernels.

    Args:
        tf32: Let NVIDIA GPUs round the factors of float32 products to 10 bits of mantissa (sums
            stay float32). Nothing else is touched: not float64, and not a CPU.
    """
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
