"""The device that a run computes on."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from gsnr_sweep.config.schema import Config
from gsnr_sweep.engine.cpu.kernels import load_kernels
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


def kernels_used(cfg: Config, device: torch.device) -> str:
    """Name the compiled kernels that this run may use; ``none`` if PyTorch computes alone."""
    kernels = None
    if device.type == "cpu" and cfg.dtype == "float32":
        kernels = load_kernels(cfg.kernels)
    return kernels.instruction_set if kernels else "none"


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


P = ParamSpec("P")

T = TypeVar("T")


def on_one_core(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do some work in a thread of its own in which PyTorch uses one core.

    Where another process keeps a core busy, PyTorch's threads wait for each other at every small
    operation: trying a model on three samples then takes 1.2 s instead of 0.03 s.
    """
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return pool.submit(work, *args, **kwargs).result()
