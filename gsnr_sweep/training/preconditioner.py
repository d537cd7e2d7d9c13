"""What PyTorch's optimizers multiply a gradient by, from what they remember.

Of a rule whose step is θ ← θ − u with u_j = p_j g_j, p is its diagonal preconditioner. Adam and its
like take a step's own gradient into the mean square v before they divide by it, and so does p:
where a parameter has had no gradient before (of a unit that was dead), v alone would make the step
g λ/ε, 10⁵ times the gradient, that no such optimizer takes. Momentum, which averages gradients of
the past, counts as the steady state that it has where gradients change slowly: there its direction
is g, times a constant that cancels in ratios. Weight decay, which moves weights whatever the data,
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_Of = Callable[[Mapping[str, Any], Mapping[str, Any], Tensor], Tensor | float | None]


def preconditioner(
    optimizer: Optimizer, weights: Sequence[Tensor], gradient: Sequence[Tensor]
) -> Tensor | None:
    """Return p of an optimizer of PyTorch's for a step along a gradient from its present state.

    Args:
        optimizer: Of all the weights.
        weights: In order.
        gradient: By each of them.

    Returns:
        [P] float64 in the order of the weights, or [1] if all are the same; None before the first
            step of an optimizer that measures gradients, and for classes that are not known here.
    """
    of = _KNOWN.get(type(optimizer))
    if of is None:
        return None
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found = [
        of(groups[id(weight)], optimizer.state.get(weight, {}), g.to(weight))
        for weight, g in zip(weights, gradient, strict=True)
    ]
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


def _constant(group: Mapping[str, Any], _: Mapping[str, Any], __: Tensor) -> float:
    """SGD: λ."""
    return float(group["lr"])


def _adam(group: Mapping[str, Any], state: Mapping[str, Any], g: Tensor) -> Tensor | None:
    """Adam (Kingma and Ba 2015): λ / (√v̂ + ε), v̂ = v / (1 − β₂ᵗ)."""
    if "exp_avg_sq" not in state:
        return None
    beta, steps = group["betas"][1], float(state["step"]) + 1
    square = state["exp_avg_sq"] * beta + g.square() * (1 - beta)
    if "max_exp_avg_sq" in state:  # AMSGrad (Reddi et al. 2018)
        square = torch.maximum(square, state["max_exp_avg_sq"])
    return _scaled(group, (square / (1 - beta**steps)).sqrt())


def _rmsprop(group: Mapping[str, Any], state: Mapping[str, Any], g: Tensor) -> Tensor | None:
    """RMSprop (Hinton 2012): λ / (√v + ε); centered: of v − m²."""
    if "square_avg" not in state:
        return None
    alpha = group["alpha"]
    square = state["square_avg"] * alpha + g.square() * (1 - alpha)
    if "grad_avg" in state:
        square = square - (state["grad_avg"] * alpha + g * (1 - alpha)).square()
    return _scaled(group, square.clamp_min(0).sqrt())


def _adagrad(group: Mapping[str, Any], state: Mapping[str, Any], g: Tensor) -> Tensor | None:
    """Adagrad (Duchi et al. 2011): λ / (√Σg² + ε), λ falling by ``lr_decay``."""
    if not state or not float(state["step"]):
        return None
    falling = 1 + float(state["step"]) * group["lr_decay"]
    found: Tensor = _scaled(group, (state["sum"] + g.square()).sqrt()) / falling
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
