"""How far weights may move before a network misclassifies what it was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gsnr_sweep.measures.complexity.mean_loss import MeanLoss

EPSILON = 1e-3
"""ε of the magnitude-aware forms, for weights that are 0."""
LARGEST = 2.0
"""Largest noise level that is looked at."""
HALVINGS = 24
"""Of the interval in which the level lies: its error is `LARGEST` / 2^24."""


@dataclass(frozen=True)
class Level:
    """A noise level.

    Attributes:
        value: σ, σ′, α or α′.
        reason: Why there is none; empty if there is.
    """

    value: float
    reason: str = ""


def largest_sigma(
    mean_loss: MeanLoss,
    noise: Iterable[Tensor],
    *,
    drop: float = 0.1,
    epsilon: float | None = None,
) -> Level:
    """Return the largest noise level at which the mean accuracy falls by at most `drop`.

    σ of ν_i ~ N(0, σ²) (Jiang et al. 2020, eqs. 48 to 53), or with `epsilon` σ′ of
    ν_i ~ N(0, σ′² w_i² + ε²) (eqs. 56 to 61), found by bisection of [0, `LARGEST`]. Every level has
    the same draws, so that what is compared is the level and not the draw.

    Args:
        mean_loss: Of the network and its samples.
        noise: Standard normal vectors [P].
        drop: Largest mean loss of accuracy.
        epsilon: ε of the magnitude-aware form; None for the plain one.
    """
    draws, w, error = list(noise), mean_loss.parameters, mean_loss.error
    allowed = error(w) + drop

    def is_allowed(level: float) -> bool:
        scale = level if epsilon is None else (level**2 * w.square() + epsilon**2).sqrt()
        mean = math.fsum(error(w + scale * each.to(w)) for each in draws) / len(draws)
        return mean <= allowed + 1e-12  # rounding of a mean of shares

    return _largest(is_allowed)


def largest_alpha(
    mean_loss: MeanLoss,
    *,
    drop: float = 0.1,
    epsilon: float | None = None,
    steps: int = 20,
) -> Level:
    """Return the largest box in which no loss of accuracy above `drop` is found.

    α of |ν_i| ≤ α, or with `epsilon` α′ of |ν_i| ≤ α′ |w_i| + ε (Jiang et al. 2020, eqs. 51 to 62).
    The worst point of a box is looked for by `steps` steps along the signs of the loss's gradient
    over all samples, each a quarter of the box, so α is an upper bound of the true one.

    Args:
        mean_loss: Of the network and its samples; its gradient shows the way.
        drop: Largest loss of accuracy.
        epsilon: ε of the magnitude-aware form; None for the plain one.
        steps: Of the ascent.
    """
    w, error = mean_loss.parameters, mean_loss.error
    allowed = error(w) + drop

    def is_allowed(level: float) -> bool:
        bound = torch.full_like(w, level) if epsilon is None else level * w.abs() + epsilon
        nu = torch.zeros_like(w)
        for _ in range(steps):
            nu = (nu + mean_loss.gradient(w + nu).sign() * bound / 4).clamp(-bound, bound)
            if error(w + nu) > allowed + 1e-12:
                return False
        return True

    return _largest(is_allowed)


def _largest(is_allowed: Callable[[float], bool]) -> Level:
    """Bisect for the largest level that is allowed."""
    if is_allowed(LARGEST):
        return Level(math.nan, f"noise of level {LARGEST:g} changes hardly any classification")
    low, high = 0.0, LARGEST
    if not is_allowed(LARGEST / 2**HALVINGS):
        return Level(math.nan, "the smallest noise already changes too many classifications")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if is_allowed(middle):
            low = middle
        else:
            high = middle
    return Level(low)


def pac_bayes(sq_distance: float, sigma: float, m: int) -> float:
    """Return ‖·‖² / (4σ²) + ln(m/σ) + 10 (Jiang et al. 2020, eqs. 48 and 49).

    Args:
        sq_distance: ‖w − w⁰‖² or ‖w‖².
        sigma: σ.
        m: Size of the training set.
    """
    return sq_distance / (4 * sigma**2) + math.log(m / sigma) + 10


def magnitude_aware_pac_bayes(
    sq_distance: float, moved: Tensor, sigma: float, m: int, epsilon: float = EPSILON
) -> float:
    """Return the magnitude-aware bound of Jiang et al. 2020, eqs. 56 and 57.

    ¼ Σ_i ln[(ε² + (σ′² + 1) ‖·‖² / k) / (ε² + σ′² (w_i − w_i⁰)²)] + ln(m/σ′) + 10.

    Args:
        sq_distance: ‖w − w⁰‖² or ‖w‖².
        moved: w − w⁰, [k].
        sigma: σ′.
        m: Size of the training set.
        epsilon: ε.
    """
    k = len(moved)
    above = epsilon**2 + (sigma**2 + 1) * sq_distance / k
    below = epsilon**2 + sigma**2 * moved.double().square()
    return float((above / below).log().sum()) / 4 + math.log(m / sigma) + 10
