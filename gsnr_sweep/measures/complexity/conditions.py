"""Conditions C1 to C3 of Theorem 1 on a fully connected ReLU network, and what they lead to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.relu_network import ReluNetwork

GAMMAS = (0.01, 0.03, 0.1, 0.3)
"""Relative sizes γ of the perturbation."""
DELTAS = (0.1, 0.3, 1.0)
"""Thresholds δ of pre-activations, in units of their layer's root mean square."""

Triple: TypeAlias = tuple[int, int, int]
"""(a, c, b) of condition C1."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """How well a network meets the conditions of Theorem 1, for N samples and d weight layers.

    Hidden layers are 1, …, d − 1. All tensors are float64 on the CPU.

    Attributes:
        widths: h_0, …, h_d.
        c1: [N] of each (a, c, b) with 0 ≤ a < c < b ≤ d: the largest μ; see `c1_ratios`.
        c2: [N, d − 1] smallest C_2 for every δ > 0; see `smallest_c2`.
        deltas: [T] some δ.
        c2_shares: [N, d − 1, T] share of units with |pre-activation| ≤ δ · rms of the layer.
        c3: [N, d] smallest C_3 = √h_i max_j ‖W_i[j,·]‖ / ‖D_i W_i‖_F; infinite where no unit is
            active.
        c3_all_active: [d] the same with D_i = I, its smallest value of all samples.
        row_norms: [d] max_j ‖W_i[j,·]‖ / mean_j ‖W_i[j,·]‖, which is what the figure shows.
        gammas: [G] γ; layer i is perturbed by N(0, σ_i²), σ_i = γ ‖W_i‖_F / √(h_i h_{i−1}).
        flips: [draws, G, d − 1] share of activations, of all samples, that change their sign.
        output_change: [draws, G] mean over samples of ‖f_{w+ν} − f_w‖ / ‖f_w‖ under the same ν;
            not finite if a sample has f_w = 0.
    """

    widths: tuple[int, ...]
    c1: Mapping[Triple, Tensor]
    c2: Tensor
    deltas: Tensor
    c2_shares: Tensor
    c3: Tensor
    c3_all_active: Tensor
    row_norms: Tensor
    gammas: Tensor
    flips: Tensor
    output_change: Tensor

    @property
    def inverse_mu_vectors(self) -> float:
        """1/μ for a = 0, where A_{a..c} is a vector of activations."""
        return self._inverse_mu([ratios for (a, _, _), ratios in self.c1.items() if a == 0])

    @property
    def inverse_mu_matrices(self) -> float:
        """1/μ for a ≥ 1; NaN for a network of two weight layers, which has none."""
        return self._inverse_mu([ratios for (a, _, _), ratios in self.c1.items() if a > 0])

    @property
    def inverse_mu(self) -> float:
        """1/μ, the largest of all samples and (a, c, b)."""
        return self._inverse_mu(list(self.c1.values()))

    @property
    def c2_at_deltas(self) -> Tensor:
        """[N, d − 1] smallest C_2 for the given δ alone, which a few units cannot make large."""
        return (self.c2_shares / self.deltas).amax(2)

    @property
    def pooled_flips(self) -> Tensor:
        """[draws, G] share of changed signs among the activations of all hidden layers."""
        units = torch.tensor(self.widths[1:-1], dtype=torch.float64)
        return self.flips @ (units / units.sum())

    @staticmethod
    def _inverse_mu(ratios: list[Tensor]) -> float:
        return float(torch.stack(ratios).reciprocal().max()) if ratios else math.nan


@torch.no_grad()
def conditions(
    model: nn.Module,
    samples: Samples,
    *,
    gammas: Sequence[float] = GAMMAS,
    deltas: Sequence[float] = DELTAS,
    draws: int = 5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Conditions:
    """Check the conditions of Theorem 1 (Neyshabur et al. 2017, arXiv version) on some samples.

    f_w(x) = W_d D_{d−1} W_{d−1} … D_1 W_1 x, where D_i is the 0/1 matrix of the active units of
    layer i. The theorem has no biases. In a network with biases, D_i, pre-activations and outputs
    are the real ones; norms and products are those of the weights, and only weights are perturbed.

    Ten to a hundred samples suffice. Each takes its own products of all layers for C1; one sample
    is worked on at a time, in the memory of d matrices of the widest layer.

    Args:
        model: `nn.Sequential` in which Linear and ReLU alternate; Flatten, Dropout and Identity
            may stand between them. It is left as it was.
        samples: N inputs; targets do not matter.
        gammas: [G] relative sizes of the perturbation.
        deltas: [T] thresholds of pre-activations.
        draws: Number of perturbations, each used at every γ.
        dtype: To compute in; norms are summed in float64 anyway.
        seed: Of the perturbations.

    Returns:
        The constants that the network needs.

    Raises:
        GsnrError: The network is of another kind, the samples do not fit it, a setting is out of
            range, or numbers overflow.
    """
    _check(gammas, deltas, draws)
    network = ReluNetwork.of(model, dtype)
    x = network.inputs(samples)
    *before, outputs = network.pre_activations(x)
    norms = torch.stack(
        [product_norms(network.weights, [z[n] > 0 for z in before], x[n]) for n in range(len(x))]
    )
    if not (bool(outputs.isfinite().all()) and bool(norms.isfinite().all())):
        raise GsnrError(
            "Outputs or products of weights of this network are not finite. Check its parameters "
            "and the samples; in float32, take dtype=torch.float64."
        )
    units = [_in_rms(z) for z in before]
    rows = [torch.linalg.vector_norm(w, dim=1, dtype=torch.float64) for w in network.weights]
    flips, change = _perturb(network, x, gammas, draws, seed)
    every = [torch.ones_like(z, dtype=torch.bool) for z in (*before, outputs)]
    active = [*(z > 0 for z in before), every[-1]]
    thresholds = torch.tensor(deltas, dtype=torch.float64)
    return Conditions(
        widths=network.widths,
        c1=c1_ratios(norms, network.widths),
        c2=torch.stack([smallest_c2(u) for u in units], 1),
        deltas=thresholds,
        c2_shares=torch.stack([_shares(u, thresholds) for u in units], 1),
        c3=torch.stack(list(map(_smallest_c3, rows, active)), 1).cpu(),
        c3_all_active=torch.stack(list(map(_smallest_c3, rows, every)), 1)[0].cpu(),
        row_norms=torch.stack([r.max() / r.mean() for r in rows]).cpu(),
        gammas=torch.tensor(gammas, dtype=torch.float64),
        flips=flips,
        output_change=change,
    )


def product_norms(weights: Sequence[Tensor], active: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return ‖A_{a..b}‖_F for all 0 ≤ a ≤ b ≤ d, A_{a..b} = D_b W_b … D_a W_a.

    With W_0 = x and D_0 = D_d = I, so that A_{0..b} is a vector. A_{a..b} follows from A_{a..b−1}
    for all a at once, by one product of matrices that have only the active units' rows.

    Args:
        weights: d matrices W_i [h_i, h_{i−1}].
        active: d − 1 masks [h_i], the diagonals of D_i.
        x: [h_0].

    Returns:
        [d + 1, d + 1] float64, element (a, b); zero below the diagonal.
    """
    depth = len(weights)
    norms = torch.zeros(depth + 1, depth + 1, dtype=torch.float64)
    norms[0, 0] = torch.linalg.vector_norm(x, dtype=torch.float64)
    products = x.unsqueeze(1)  # A_{0..b}, A_{1..b}, …, A_{b..b} side by side
    columns = [1]
    for b, weight in enumerate(weights, start=1):
        rows = weight[active[b - 1]] if b < depth else weight
        inner = rows[:, active[b - 2]] if b > 1 else rows
        products = torch.cat([inner @ products, rows], dim=1)
        columns.append(rows.shape[1])
        lengths = torch.linalg.vector_norm(products, dim=0, dtype=torch.float64)
        norms[: b + 1, b] = torch.stack([part.norm() for part in lengths.split(columns)]).cpu()
    return norms


def c1_ratios(norms: Tensor, widths: Sequence[int], *, strict: bool = True) -> dict[Triple, Tensor]:
    """Return √h_c ‖A_{a..b}‖_F / (‖A_{c+1..b}‖_F ‖A_{a..c}‖_F), the largest μ that C1 admits.

    C1: ‖A_{a..b}‖_F ≥ μ/√h_c · ‖A_{c+1..b}‖_F ‖A_{a..c}‖_F for all a < c < b. Where the right side
    is zero, any μ does: the ratio is infinite, as in all products with a layer of no active unit.

    Args:
        norms: [N, d + 1, d + 1] of `product_norms`.
        widths: h_0, …, h_d.
        strict: Only a < c, as the theorem has it. Else also c = a, where A_{a..c} is the input
            (a = 0) or one layer.

    Returns:
        [N] of each (a, c, b).
    """
    ratios = {}
    for b in range(1, len(widths)):
        for c in range(b):
            for a in range(c if strict else c + 1):
                right = norms[:, c + 1, b] * norms[:, a, c]
                ratio = math.sqrt(widths[c]) * norms[:, a, b] / right
                ratios[a, c, b] = ratio.where(right > 0, torch.inf)
    return ratios


def smallest_c2(values: Tensor) -> Tensor:
    """Return sup_δ (share of units with |value| ≤ δ) / δ, the smallest C_2 that C2 admits.

    The share only rises at the values themselves, so the supremum is the largest k / (h u_(k)),
    u_(k) being the k-th smallest |value|. It includes the smallest values, where the share rests
    on a few units and k / (h u_(k)) has a heavy tail: over ten random layers of 1000 units and ten
    samples the median is below 2 and the largest in the thousands. Judge a network by the median,
    or by `Conditions.c2_at_deltas`.

    Args:
        values: [N, h] pre-activations, in units of their layer's root mean square.

    Returns:
        [N] float64; infinite if a value is zero.
    """
    ordered = values.double().abs().sort(1).values.cpu()
    shares = torch.arange(1, ordered.shape[1] + 1, dtype=torch.float64) / ordered.shape[1]
    return (shares / ordered).amax(1)


def _in_rms(values: Tensor) -> Tensor:
    """Divide each row by its root mean square; a row of zeros stays what it is."""
    rms = values.double().square().mean(1, keepdim=True).sqrt()
    return values.double() / rms.where(rms > 0, 1.0)


def _shares(values: Tensor, thresholds: Tensor) -> Tensor:
    """Return the share of |values| [N, h] up to each threshold, [N, T]."""
    below = values.abs().unsqueeze(2) <= thresholds.to(values)
    return below.double().mean(1).cpu()


def _smallest_c3(row_norms: Tensor, active: Tensor) -> Tensor:
    """Return √h max_j r_j / (Σ over active j of r_j²)^½ of each sample, [N]."""
    of_active = (active.double() @ row_norms.square()).sqrt()
    return math.sqrt(len(row_norms)) * row_norms.max() / of_active


def _perturb(
    network: ReluNetwork, x: Tensor, gammas: Sequence[float], draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the flips [draws, G, d − 1] and the relative changes of the output [draws, G]."""
    *before, outputs = network.pre_activations(x)
    sizes = torch.linalg.vector_norm(outputs, dim=1, dtype=torch.float64)
    flips = torch.empty(draws, len(gammas), len(before), dtype=torch.float64)
    change = torch.empty(draws, len(gammas), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for draw in range(draws):
        noise = [
            torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
            for w in network.weights
        ]
        for g, gamma in enumerate(gammas):
            *after, moved = network.perturbed(noise, gamma).pre_activations(x)
            for i, (z, other) in enumerate(zip(before, after, strict=True)):
                flips[draw, g, i] = ((z > 0) != (other > 0)).double().mean()
            apart = torch.linalg.vector_norm(moved - outputs, dim=1, dtype=torch.float64)
            change[draw, g] = (apart / sizes).mean()
    return flips, change


def _check(gammas: Sequence[float], deltas: Sequence[float], draws: int) -> None:
    for name, values in (("gammas", gammas), ("deltas", deltas)):
        if not values or not all(math.isfinite(v) and v > 0 for v in values):
            raise GsnrError(f"{name}={list(values)}: give one or more finite numbers above 0.")
    if draws < 1:
        raise GsnrError(f"draws={draws}: give a whole number of at least 1.")
