"""One forward and one backward pass that hand every layer its inputs and output gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gsnr_sweep.gradients.forward_hooks import listening
from gsnr_sweep.gradients.functional import layer_gradients
from gsnr_sweep.gradients.layer_rules import RULES
from gsnr_sweep.gradients.per_sample import PerSampleGradients, Receiver, SampleLosses


class NotTappableError(Exception):
    """The network's per-sample gradients cannot be read off its layers' calls."""


@dataclass(frozen=True)
class _Call:
    name: str
    inputs: Tensor
    version: int
    edge: GradientEdge


def layerwise_gradients(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses, receive: Receiver
) -> tuple[Tensor, Tensor]:
    """Gradients of all parameters, layer by layer, by the rules of `layer_rules`.

    The backward pass asks for the gradients of the layers' outputs only: no weight gradient is
    computed twice. Outputs are remembered as edges of the graph, which a later in-place operation
    does not move.

    Returns:
        [N, ...] outputs and [N] losses; gradients go to `receive`.

    Raises:
        NotTappableError: A layer was called twice or not with one tensor, or an input was changed
            in place after the layer had used it.
    """
    calls: dict[nn.Module, _Call] = {}
    names = {
        layer: name
        for name, layer in model.named_modules()
        if any(p.requires_grad for p in layer.parameters(recurse=False))
    }

    def keep(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        name = names[layer]
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
            raise NotTappableError(f"{name} is not called with one tensor")
        if not isinstance(output, Tensor) or len(output) != len(inputs[0]):
            raise NotTappableError(f"{name} does not return one output a sample")
        if layer in calls:
            raise NotTappableError(f"{name} is called twice in one forward pass")
        seen = inputs[0].detach()
        calls[layer] = _Call(name, seen, seen._version, get_gradient_edge(output))

    with torch.enable_grad():
        with listening(names, keep):
            outputs = model(x)
        losses = sample_losses(outputs, y)
    edges = [call.edge for call in calls.values()]
    output_gradients = torch.autograd.grad(losses.sum(), edges, allow_unused=True)
    for (layer, call), grad in zip(calls.items(), output_gradients, strict=True):
        if grad is not None:
            for name, gradients in _of_call(layer, call, grad).items():
                receive(name, gradients)
    return outputs.detach(), losses.detach()


@torch.no_grad()
def _of_call(layer: nn.Module, call: _Call, grad: Tensor) -> dict[str, PerSampleGradients]:
    if call.inputs._version != call.version:
        raise NotTappableError(f"the input of {call.name} is changed in place after its use")
    own = RULES.get(type(layer), layer_gradients)(layer, call.inputs, grad)
    prefix = f"{call.name}." if call.name else ""
    return {prefix + name: gradients for name, gradients in own.items()}
