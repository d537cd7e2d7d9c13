"""A step recorded once as a CUDA graph and replayed: one launch instead of hundreds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Step = Callable[[], None]

_WARM_UP = 3  # cuBLAS, cuDNN and the allocator choose and allocate during the first passes


def captured(step: Step, changed: Sequence[Tensor], device: torch.device) -> Step:
    """Return what does the same as `step`, from a CUDA graph where that is possible.

    Args:
        step: Reads and writes the same memory at every call and never waits for the GPU.
        changed: All tensors that a call changes and a later one reads. Warming up calls `step`;
            they are put back afterwards.
        device: Where `step` computes. On a CPU there is nothing to capture.

    Returns:
        The replay of the graph; `step` itself on a CPU, or (one line in the log) where capture
        fails.
    """
    if device.type != "cuda":
        return step
    try:
        return _capture(step, changed, device)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        log.warning("no CUDA graph, steps are launched kernel by kernel: %s", reason)
        return step


def _capture(step: Step, changed: Sequence[Tensor], device: torch.device) -> Step:
    kept = [tensor.clone() for tensor in changed]
    side: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(device))
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                step()
        # Other threads of this process (another grid point, a heartbeat) may go on as they are.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            step()
    finally:
        torch.cuda.current_stream(device).wait_stream(side)
        for tensor, before in zip(changed, kept, strict=True):
            tensor.copy_(before)
    return graph.replay  # keeps the graph alive
