"""Slow, simple, independent ways to the numbers that the package computes fast."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

SampleLosses = Callable[[Tensor, Tensor], Tensor]


def per_sample_gradients(model: nn.Module, x: Tensor, y: Tensor, losses: SampleLosses) -> Tensor:
    """One ordinary backward pass a sample; [N, P] in the order of named_parameters."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for i in range(len(x)):
        loss = losses(model(x[i : i + 1]), y[i : i + 1]).sum()
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for p, g in zip(parameters, grads, strict=True)
                ]
            )
        )
    return torch.stack(rows)


def gradient_descent(
    model: nn.Module, x: Tensor, y: Tensor, losses: SampleLosses, lr: float, steps: int
) -> None:
    """Plain full-batch gradient descent with torch.optim.SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        losses(model(x), y).mean().backward()
        optimizer.step()
