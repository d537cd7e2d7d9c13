"""Per-sample gradients of layers and networks that no rule covers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vjp, vmap

from gsnr_sweep.gradients.per_sample import (
    DenseGradients,
    PerSampleGradients,
    Receiver,
    SampleLosses,
)


def layer_gradients(layer: nn.Module, x: Tensor, grad: Tensor) -> dict[str, PerSampleGradients]:
    """Gradients of a layer's own parameters, by pulling each sample's output gradient back.

    Args:
        layer: Called with one tensor; must treat samples independently.
        x: [N, ...] what it was called with.
        grad: [N, ...] output gradients.
    """
    own = {
        name: parameter.detach()
        for name, parameter in layer.named_parameters(recurse=False)
        if parameter.requires_grad
    }

    def pull_back(sample: Tensor, cotangent: Tensor) -> Any:
        pull = vjp(lambda p: functional_call(layer, p, (sample.unsqueeze(0),)), own)[1]
        return pull(cotangent.unsqueeze(0))[0]

    gradients = vmap(pull_back)(x.detach(), grad)
    return {name: DenseGradients(values) for name, values in gradients.items()}


def network_gradients(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses, receive: Receiver
) -> tuple[Tensor, Tensor]:
    """Gradients of all parameters through the whole network at once, with torch.func.

    For networks that share parameters between calls, or use them outside their module's call.

    Returns:
        [N, ...] outputs and [N] losses; gradients go to `receive`.
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def loss(
        parameters: dict[str, Tensor], sample: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        output = functional_call(model, parameters, (sample.unsqueeze(0),))
        return sample_losses(output, target.unsqueeze(0)).sum(), output[0]

    per_sample = vmap(grad_and_value(loss, has_aux=True), in_dims=(None, 0, 0))
    with torch.no_grad():
        gradients, (losses, outputs) = per_sample(trained, x, y)
    for name, values in gradients.items():
        receive(name, DenseGradients(values))
    return outputs, losses


def single_gradients(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses, receive: Receiver
) -> tuple[Tensor, Tensor]:
    """Gradients of all parameters by one ordinary backward pass a sample.

    The slowest way, and the one that nothing can be wrong with: it serves networks that torch.func
    does not take (recurrent layers), and it is what the faster ways are checked against.

    Returns:
        [N, ...] outputs and [N] losses; gradients go to `receive`.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    parameters = list(trained.values())
    gradients, outputs, losses = [], [], []
    for sample, target in zip(torch.split(x, 1), torch.split(y, 1), strict=True):
        with torch.enable_grad():
            output = model(sample)
            loss = sample_losses(output, target)
        own = [torch.zeros_like(p) for p in parameters]
        if loss.requires_grad:
            own = list(torch.autograd.grad(loss.sum(), parameters, materialize_grads=True))
        gradients.append(own)
        outputs.append(output.detach())
        losses.append(loss.detach())
    for name, values in zip(trained, zip(*gradients, strict=True), strict=True):
        receive(name, DenseGradients(torch.stack(values).detach()))
    return torch.cat(outputs), torch.cat(losses)
