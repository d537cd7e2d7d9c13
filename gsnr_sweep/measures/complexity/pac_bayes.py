"""Expected sharpness, KL divergence and the PAC-Bayes bound that joins them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.mean_loss import MeanLoss, SampleLosses, parameter_vector

ALPHAS = tuple(1e-3 * 1.05**k for k in range(71))
"""Grid of α: the ratio is that of the paper's figures, the range is ours (it is not printed)."""
LEVEL = 0.05
"""Expected sharpness at which one KL is read off each curve (dashed line of Fig. 2)."""


@dataclass(frozen=True, eq=False)
class ExpectedSharpness:
    """E_ν[L̂(f_{w+ν})] − L̂(f_w), estimated from draws of ν.

    Attributes:
        alphas: [K] α.
        differences: [draws, K] L̂(f_{w+ν}) − L̂(f_w) of each draw, both on the same samples. The
            draws are independent; the values of one draw at different α are not, because they
            share their noise.
        train_loss: L̂(f_w) of all samples.
    """

    alphas: Tensor
    differences: Tensor
    train_loss: float

    @property
    def mean(self) -> Tensor:
        """[K] mean over the draws, in float64; infinite or NaN where a loss overflowed."""
        return self.differences.mean(0)

    @property
    def standard_error(self) -> Tensor:
        """[K] standard error of the mean over the draws, in float64."""
        return self.differences.std(0) / math.sqrt(len(self.differences))


@dataclass(frozen=True)
class Crossing:
    """The point of a curve (KL, expected sharpness) at a level of expected sharpness.

    Attributes:
        alpha: α there, or NaN.
        kl: KL there, or NaN.
        reason: Why they are NaN; empty if they are not.
    """

    alpha: float
    kl: float
    reason: str = ""


@dataclass(frozen=True)
class SmallestBound:
    """The smallest value of the PAC-Bayes bound over a grid of α.

    Attributes:
        alpha: α where it is reached, or NaN.
        bound: The value, or NaN if none on the grid is finite.
    """

    alpha: float
    bound: float


def expected_sharpness(
    model: nn.Module,
    samples: Samples,
    loss: SampleLosses,
    alphas: Sequence[float] | Tensor = ALPHAS,
    *,
    draws: int = 50,
    batch_size: int | None = None,
    chunk_size: int = 1000,
    seed: int = 0,
    noise: Iterable[Tensor] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExpectedSharpness:
    """Estimate E_ν[L̂(f_{w+ν})] − L̂(f_w) with ν_i ~ N(0, σ_i²), σ_i = α (10 |w_i| + 1).

    Neyshabur et al. 2017, eq. (5) and Figs. 2–4; σ_i is a standard deviation. All trained
    parameters are perturbed, biases included. A draw uses the same standard normal numbers for
    every α, so that the curve over α is smooth. The paper's own numbers (as remembered, not
    printed) are draws=1000 and batch_size=64.

    Args:
        model: In evaluation mode, batch norm folded. It is left as it was.
        samples: The training set, or a fixed part of it.
        loss: Of each sample, from outputs in float64 and targets to [N].
        alphas: [K] α.
        draws: Number of draws of ν, at least 2.
        batch_size: Each draw, and the loss that it is compared with, is on a random mini-batch of
            that many samples; None for all samples.
        chunk_size: Samples that pass through the network at once.
        seed: Of the noise and of the mini-batches.
        noise: Standard normal vectors [P], one a draw, in the order of ``named_parameters``; None
            to draw them.
        on_progress: Called with the evaluations done and their number, draws · K.

    Returns:
        The differences of all draws, with their means and standard errors.

    Raises:
        GsnrError: A setting is out of range, the network has no trained parameter, its loss is not
            finite, or `noise` ends early or is of another length.
    """
    grid = _grid(alphas)
    if draws < 2:
        raise GsnrError(
            f"draws={draws}: give at least 2, so that the error of their mean can be estimated."
        )
    if batch_size is not None and batch_size < 1:
        raise GsnrError(
            f"batch_size={batch_size}: give a whole number of at least 1, or None for all samples."
        )
    mean_loss = MeanLoss(model, samples, loss, chunk_size)
    w = mean_loss.parameters
    train_loss = mean_loss.at_parameters()
    generator = torch.Generator().manual_seed(seed)
    source = _standard_normal(w, generator) if noise is None else iter(noise)
    differences = torch.empty(draws, len(grid), dtype=torch.float64)
    for draw in range(draws):
        step = _next_noise(source, w, draw, draws) * (10 * w.abs() + 1)
        rows = mean_loss.random_rows(batch_size, generator)
        before = train_loss if rows is None else mean_loss.value(w, rows)
        for k, alpha in enumerate(grid.tolist()):
            differences[draw, k] = mean_loss.value(w.add(step, alpha=alpha), rows) - before
            if on_progress:
                on_progress(draw * len(grid) + k + 1, draws * len(grid))
    return ExpectedSharpness(grid, differences, train_loss)


def kl(model: nn.Module, alphas: Sequence[float] | Tensor = ALPHAS) -> Tensor:
    """Return KL(w + ν ‖ P) = Σ_i w_i² / (2 σ_i²), σ_i = α (10 |w_i| + 1).

    Posterior N(w_i, σ_i²) and prior N(0, σ_i²) of each trained parameter (Neyshabur et al. 2017,
    section 2.3, with the ½ that the text has; whether the figures have it cannot be told). As σ_i
    depends on w, so does the prior: it is a measure of the network, not a term of a valid bound.

    Args:
        model: A network, batch norm folded.
        alphas: [K] α.

    Returns:
        [K] float64.

    Raises:
        GsnrError: An α is not positive, or the network has no trained parameter.
    """
    w = parameter_vector(model)
    relative = w.double() / (10 * w.double().abs() + 1)
    grid = _grid(alphas)
    return relative.square().sum().cpu() / (2 * grid.square())


def kl_at_sharpness(
    alphas: Sequence[float] | Tensor,
    sharpness: Sequence[float] | Tensor,
    kls: Sequence[float] | Tensor,
    level: float = LEVEL,
) -> Crossing:
    """Read KL off the curve (KL, expected sharpness) at a level of expected sharpness.

    Between two neighbours of the grid, log KL and log α are linear in log sharpness. If the curve
    crosses the level several times, the first crossing from below counts, at the smallest α: up to
    there the noise is small enough to say something about the network at w, and KL is largest, so
    that no network is favoured by the noise of its estimate.

    Args:
        alphas: [K] α, increasing.
        sharpness: [K] expected sharpness at each α.
        kls: [K] KL at each α.
        level: Expected sharpness to read at, positive.

    Returns:
        α and KL; NaN with a reason if the curve does not rise through the level, or cannot be
        interpolated where it does.

    Raises:
        GsnrError: The three differ in length, or α do not increase, or the level is not positive.
    """
    grid = _grid(alphas)
    values, others = (torch.as_tensor(t, dtype=torch.float64).cpu() for t in (sharpness, kls))
    if not grid.shape == values.shape == others.shape:
        raise GsnrError(
            f"There are {len(grid)} alphas, sharpness of shape {tuple(values.shape)} and KL of "
            f"shape {tuple(others.shape)}. Give one sharpness and one KL for each alpha."
        )
    if bool((grid.diff() <= 0).any()):
        raise GsnrError("The alphas do not increase. Sort them, with their sharpness and KL.")
    if not (math.isfinite(level) and level > 0):
        raise GsnrError(f"level={level}: give a finite number above 0.")
    return _crossing(grid.tolist(), values.tolist(), others.tolist(), level)


def pac_bayes_bound(
    train_loss: float | Tensor,
    sharpness: float | Tensor,
    kl: float | Tensor,
    m: int,
    delta: float = 0.05,
) -> Tensor:
    """Return L̂(f_w) + {E_ν L̂(f_{w+ν}) − L̂(f_w)} + 4 √((KL + ln(2m/δ)) / m).

    Neyshabur et al. 2017, eqs. (4, 5). The theorem is about bounded losses and a prior chosen
    before the data; with cross entropy and σ_i from w the value is only a measure.

    Args:
        train_loss: L̂(f_w).
        sharpness: [K] expected sharpness.
        kl: [K] KL.
        m: Size of the training set.
        delta: δ; the bound holds with probability 1 − δ at each α by itself.

    Returns:
        [K] float64, or a scalar tensor of scalars.

    Raises:
        GsnrError: m or δ is out of range, or a KL is negative.
    """
    if m < 1:
        raise GsnrError(f"m={m}: give the size of the training set, at least 1.")
    if not 0 < delta < 1:
        raise GsnrError(f"delta={delta}: give a probability between 0 and 1, both excluded.")
    of_loss, of_noise, of_kl = (
        torch.as_tensor(t, dtype=torch.float64).cpu() for t in (train_loss, sharpness, kl)
    )
    if bool((of_kl < 0).any()):
        raise GsnrError(
            f"A KL divergence is {float(of_kl.min()):g}. It cannot be negative; give the values of "
            "kl(model, alphas)."
        )
    return of_loss + of_noise + 4 * ((of_kl + math.log(2 * m / delta)) / m).sqrt()


def smallest_bound(alphas: Sequence[float] | Tensor, bounds: Tensor) -> SmallestBound:
    """Return the smallest finite bound over a grid of α, and its α.

    To hold for the α that was picked, K bounds must hold at once: compute them with δ/K.

    Args:
        alphas: [K] α.
        bounds: [K] of `pac_bayes_bound`.

    Raises:
        GsnrError: They differ in length.
    """
    grid = _grid(alphas)
    if grid.shape != bounds.shape:
        raise GsnrError(
            f"There are {len(grid)} alphas and bounds of shape {tuple(bounds.shape)}. Give one "
            "bound for each alpha."
        )
    finite = bounds.isfinite()
    if not bool(finite.any()):
        return SmallestBound(math.nan, math.nan)
    place = int(bounds.where(finite, torch.inf).argmin())
    return SmallestBound(float(grid[place]), float(bounds[place]))


def _grid(alphas: Sequence[float] | Tensor) -> Tensor:
    grid = torch.as_tensor(alphas, dtype=torch.float64).cpu()
    if grid.ndim != 1 or not len(grid):
        raise GsnrError(
            f"alphas has the shape {tuple(grid.shape)}. Give a list of numbers above 0."
        )
    if not bool((grid.isfinite() & (grid > 0)).all()):
        wrong = next(a for a in grid.tolist() if not (math.isfinite(a) and a > 0))
        raise GsnrError(f"alphas has {wrong:g} in it. Give finite numbers above 0.")
    return grid


def _standard_normal(like: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Draw on the CPU, so that every device gets the same numbers."""
    while True:
        drawn = torch.randn(like.shape, generator=generator, dtype=like.dtype)
        yield drawn.to(like.device)


def _next_noise(source: Iterator[Tensor], like: Tensor, draw: int, draws: int) -> Tensor:
    found = next(source, None)
    if found is None:
        raise GsnrError(f"noise ends after {draw} vectors; draws={draws} need as many.")
    if found.shape != like.shape:
        raise GsnrError(
            f"noise has a vector of shape {tuple(found.shape)}. Give one number for each of the "
            f"{len(like)} trained parameters."
        )
    return found.to(like)


def _crossing(alphas: list[float], values: list[float], kls: list[float], level: float) -> Crossing:
    def unknown(reason: str) -> Crossing:
        return Crossing(math.nan, math.nan, reason)

    for k, value in enumerate(values):
        if math.isnan(value):
            return unknown(
                f"The expected sharpness at alpha={alphas[k]:g} is NaN, and up to there it lies "
                f"below {level:g}. Compute in float64."
            )
        if value < level:
            continue
        if value == level and math.isfinite(kls[k]):
            return Crossing(alphas[k], kls[k])
        if k == 0:
            return unknown(
                f"The expected sharpness is {value:g} at the smallest alpha, {alphas[0]:g}, "
                f"already above {level:g}. Add smaller alphas."
            )
        below = values[k - 1]
        if not all(0 < v < math.inf for v in (below, value, kls[k - 1], kls[k])):
            return unknown(
                f"The curve rises through {level:g} between alpha={alphas[k - 1]:g} and "
                f"{alphas[k]:g}, where the expected sharpness goes from {below:g} to {value:g} and "
                f"KL from {kls[k - 1]:g} to {kls[k]:g}. Their logarithms are needed: give a finer "
                "grid or more draws."
            )
        share = math.log(level / below) / math.log(value / below)
        return Crossing(
            _geometric(alphas[k - 1], alphas[k], share), _geometric(kls[k - 1], kls[k], share)
        )
    return unknown(
        f"The expected sharpness stays below {level:g} up to the largest alpha, {alphas[-1]:g}. "
        "Add larger alphas."
    )


def _geometric(first: float, last: float, share: float) -> float:
    return math.exp((1 - share) * math.log(first) + share * math.log(last))
