"""Per-sample gradients of layers and networks that no rule covers, through torch.func."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vjp, vmap

from gsnr_sweep.ensemble.moments.gradients import DenseGradients, PerSampleGradients

SampleLosses = Callable[[Tensor, Tensor], Tensor]


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

    def pull_back(sample: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
        def forward(parameters: dict[str, Tensor]) -> Tensor:
            output: Tensor = functional_call(layer, parameters, (sample.unsqueeze(0),))
            return output

        pull = vjp(forward, own)[1]
        (gradients,) = pull(cotangent.unsqueeze(0))
        result: dict[str, Tensor] = gradients
        return result

    gradients = vmap(pull_back)(x.detach(), grad)
    return {name: DenseGradients(values) for name, values in gradients.items()}


def network_gradients(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses
) -> tuple[Tensor, Tensor, dict[str, PerSampleGradients]]:
    """Gradients of all parameters, sample by sample through the whole network.

    For networks that share parameters between calls, or use them outside their module's call.

    Returns:
        [N, ...] outputs, [N] losses, and the gradients by parameter name.
    """
    trained = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }

    def loss(
        parameters: dict[str, Tensor], sample: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        output = functional_call(model, parameters, (sample.unsqueeze(0),))
        return sample_losses(output, target.unsqueeze(0)).sum(), output[0]

    per_sample = vmap(grad_and_value(loss, has_aux=True), in_dims=(None, 0, 0))
    with torch.no_grad():
        gradients, (losses, outputs) = per_sample(trained, x, y)
    return outputs, losses, {name: DenseGradients(values) for name, values in gradients.items()}
