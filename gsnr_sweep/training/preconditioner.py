"""What PyTorch's optimizers multiply a steady gradient by, from what they remember.

Of a rule whose step is θ ← θ − u with u_j = p_j g_j, p is its diagonal preconditioner. Momentum,
which averages gradients of the past, counts as the steady state that it has where gradients change
slowly: there its direction is g, times a constant that cancels in ratios. Weight decay, which moves
weights whatever the data, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_Of = Callable[[Mapping[str, Any], Mapping[str, Any]], Tensor | float | None]


def preconditioner(optimizer: Optimizer, weights: Sequence[Tensor]) -> Tensor | None:
    """Return p of an optimizer of PyTorch's at its present state.

    Args:
        optimizer: Of all the weights.
        weights: In order.

    Returns:
        [P] float64 in the order of the weights, or [1] if all are the same; None before the first
            step of an optimizer that measures gradients, and for classes that are not known here.
    """
    of = _KNOWN.get(type(optimizer))
    if of is None:
        return None
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found = [of(groups[id(weight)], optimizer.state.get(weight, {})) for weight in weights]
    if any(part is None for part in found):
        return None
    rates = {part for part in found if not isinstance(part, Tensor)}
    if len(rates) == 1 and not any(isinstance(part, Tensor) for part in found):
        return torch.tensor([rates.pop()], dtype=torch.float64)
    parts = [
        part.double().flatten()
        if isinstance(part, Tensor)
        else torch.full((weight.numel(),), float(part or 0), dtype=torch.float64)
        for part, weight in zip(found, weights, strict=True)
    ]
    return torch.cat([part.cpu() for part in parts])


def _constant(group: Mapping[str, Any], _: Mapping[str, Any]) -> float:
    """SGD: λ."""
    return float(group["lr"])


def _adam(group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor | None:
    """Adam (Kingma and Ba 2015): λ / (√v̂ + ε), v̂ = v / (1 − β₂ᵗ)."""
    square = state.get("max_exp_avg_sq", state.get("exp_avg_sq"))
    if square is None:
        return None
    seen = 1 - group["betas"][1] ** float(state["step"])
    return _scaled(group, (square / seen).sqrt())


def _rmsprop(group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor | None:
    """RMSprop (Hinton 2012): λ / (√v + ε); centered: of v − m²."""
    square = state.get("square_avg")
    if square is None:
        return None
    mean = state.get("grad_avg")
    return _scaled(group, (square if mean is None else square - mean.square()).sqrt())


def _adagrad(group: Mapping[str, Any], state: Mapping[str, Any]) -> Tensor | None:
    """Adagrad (Duchi et al. 2011): λ / (√Σg² + ε), λ falling by ``lr_decay``."""
    if not state or not float(state["step"]):
        return None
    falling = 1 + (float(state["step"]) - 1) * group["lr_decay"]
    found: Tensor = _scaled(group, state["sum"].sqrt()) / falling
    return found


def _scaled(group: Mapping[str, Any], root: Tensor) -> Tensor:
    found: Tensor = group["lr"] / (root + group["eps"])
    return found


_KNOWN: dict[type[Optimizer], _Of] = {
    torch.optim.SGD: _constant,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.Adagrad: _adagrad,
}
