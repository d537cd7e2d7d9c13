"""Listening to the layers of a network during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def listening(
    layers: Iterable[nn.Module], hear: Callable[[nn.Module, tuple[Any, ...], Any], None]
) -> Iterator[None]:
    """Call `hear` with (layer, inputs, output) whenever one of `layers` has run."""
    hooks = [layer.register_forward_hook(hear) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
