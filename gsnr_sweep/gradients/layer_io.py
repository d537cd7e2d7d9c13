"""One forward and one backward pass that hand every layer its inputs and output gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gsnr_sweep.gradients.functional import layer_gradients
from gsnr_sweep.gradients.layer_rules import RULES
from gsnr_sweep.gradients.per_sample import PerSampleGradients, Receiver, SampleLosses


class NotTappableError(Exception):
    """The network's per-sample gradients cannot be read off its layers' calls."""


@dataclass(frozen=True)
class _Call:
    name: str
    layer: nn.Module
    inputs: Tensor
    version: int
    edge: GradientEdge


class LayerTap:
    """Listens to the layers of a network that own trained parameters.

    The backward pass asks for the gradients of the layers' outputs only: no weight gradient is
    computed twice. Outputs are remembered as edges of the graph, which a later in-place operation
    does not move.

    Use as a context manager; the network is left as it was.
    """

    def __init__(self, model: nn.Module) -> None:
        """Prepare to listen; nothing is attached yet."""
        self._model = model
        self._calls: list[_Call] = []
        self._hooks: list[Any] = []
        self._listening = False  # rules may call layers again, which must not be heard

    def __enter__(self) -> Self:
        """Attach to every layer that owns trained parameters."""
        for name, layer in self._model.named_modules():
            if any(p.requires_grad for p in layer.parameters(recurse=False)):
                self._hooks.append(layer.register_forward_hook(self._listener(name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Detach."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._calls.clear()

    def gradients(
        self, x: Tensor, y: Tensor, sample_losses: SampleLosses, receive: Receiver
    ) -> tuple[Tensor, Tensor]:
        """Run one chunk.

        Args:
            x: [N, ...] inputs.
            y: [N, ...] targets.
            sample_losses: Losses [N] from outputs and targets.
            receive: Takes the gradients, layer by layer.

        Returns:
            Outputs and losses [N].

        Raises:
            NotTappableError: A layer was called twice or not with one tensor, or an input was
                changed in place after the layer had used it.
        """
        self._calls.clear()
        self._listening = True
        try:
            with torch.enable_grad():
                outputs = self._model(x)
        finally:
            self._listening = False
        with torch.enable_grad():
            losses = sample_losses(outputs, y)
        edges = [call.edge for call in self._calls]
        output_gradients = torch.autograd.grad(losses.sum(), edges, allow_unused=True)
        for call, grad in zip(self._calls, output_gradients, strict=True):
            if grad is not None:
                for name, gradients in _of_call(call, grad).items():
                    receive(name, gradients)
        self._calls.clear()
        return outputs.detach(), losses.detach()

    def _listener(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def listen(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not self._listening:
                return
            if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
                raise NotTappableError(f"{name} is not called with one tensor")
            if not isinstance(output, Tensor) or len(output) != len(inputs[0]):
                raise NotTappableError(f"{name} does not return one output a sample")
            if any(call.layer is layer for call in self._calls):
                raise NotTappableError(f"{name} is called twice in one forward pass")
            seen = inputs[0].detach()
            self._calls.append(_Call(name, layer, seen, seen._version, get_gradient_edge(output)))

        return listen


@torch.no_grad()
def _of_call(call: _Call, grad: Tensor) -> dict[str, PerSampleGradients]:
    if call.inputs._version != call.version:
        raise NotTappableError(f"the input of {call.name} is changed in place after its use")
    rule = RULES.get(type(call.layer), layer_gradients)
    prefix = f"{call.name}." if call.name else ""
    own = rule(call.layer, call.inputs, grad)
    return {prefix + name: gradients for name, gradients in own.items()}
