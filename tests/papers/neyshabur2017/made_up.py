"""Sweeps made up after small trainings, in the shape of each of the paper's figures.

The numbers are those of a perceptron on MNIST, one for a cell, to which each seed adds its own
offset, so that the mean over the seeds is the number given here.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gsnr_sweep.records.record import RunRecord
from tests.tables import make_run

NORMS = ("l2", "l1_path", "l2_path", "spectral")
SIZES = (500, 1000, 2000, 4000)
# By kind of labels and size: log10 of the norms over margin, log10 of KL, max sharpness.
LABELS: dict[tuple[float, int], tuple[float, ...]] = {
    (0.0, 500): (2.06, 5.64, -0.32, -0.39, 4.83, 0.034),
    (0.0, 1000): (2.21, 5.78, -0.17, -0.12, 4.84, 0.037),
    (0.0, 2000): (2.38, 5.96, 0.01, 0.12, 4.90, 0.050),
    (0.0, 4000): (2.52, 6.09, 0.16, 0.27, 4.94, 0.042),
    (1.0, 500): (2.59, 6.15, 0.21, 0.15, 5.32, 0.138),
    (1.0, 1000): (2.96, 6.50, 0.59, 0.45, 5.51, 0.090),
    (1.0, 2000): (3.31, 6.82, 0.94, 0.74, 5.72, 0.101),
    (1.0, 4000): (3.78, 7.26, 1.41, 1.14, 5.98, 0.098),
}
# By width: test error, and as above; then log10 of l2-path and spectral with capacity factors.
WIDTHS: dict[int, tuple[float, ...]] = {
    16: (0.087, 2.44, 5.89, 1.26, 0.92, 4.71, 0.006, 4.66, 3.12),
    32: (0.070, 2.32, 5.80, 0.87, 0.56, 4.63, 0.009, 4.58, 3.06),
    64: (0.066, 2.30, 5.82, 0.55, 0.41, 4.63, 0.008, 4.56, 3.22),
    128: (0.061, 2.41, 5.96, 0.35, 0.40, 4.68, 0.020, 4.66, 3.50),
    256: (0.060, 2.57, 6.13, 0.21, 0.32, 4.92, 0.043, 4.82, 3.72),
    512: (0.057, 2.78, 6.34, 0.10, 0.27, 5.15, 0.075, 5.01, 3.98),
    1024: (0.057, 3.04, 6.60, 0.05, 0.27, 5.48, 0.255, 5.26, 4.28),
}
CONFUSION = (0, 200, 400, 600, 800, 1000)
ALPHAS = tuple(1e-3 * 1.05**k for k in range(71))


def offset(seed: int, cell: int, size: float = 0.02) -> float:
    """What a seed adds in a cell: of seeds 0 to 2 one adds −size, one 0 and one size."""
    return size * ((seed + cell + cell // 3) % 3 - 1)


def bi_criteria(log10_kl: float) -> dict[str, Any]:
    """A bi-criteria curve that crosses expected sharpness 0.05 at this KL."""
    kl = [log10_kl - 2 * math.log10(alpha / 0.01) for alpha in ALPHAS]
    sharpness = [0.05 * (alpha / 0.01) ** 3 for alpha in ALPHAS]
    return {
        "sharpness_alphas": lambda _: list(ALPHAS),
        "log10_kl": lambda _: kl,
        "expected_sharpness": lambda _: sharpness,
    }


def network(
    values: Sequence[float],
    seed: int,
    cell: int,
    *,
    errors: tuple[float, float] = (0.0, 0.08),
    more: dict[str, float] | None = None,
    **settings: Any,
) -> RunRecord:
    """A run with the norms, log10 of KL and max sharpness of `values` at its end."""
    *norms, kl, sharpness = values
    shift = offset(seed, cell)
    curves: dict[str, Any] = {
        f"log10_{norm}_over_margin2": value + shift
        for norm, value in zip(NORMS, norms, strict=True)
    }
    curves |= {
        "log10_kl_at_sharpness": kl + shift,
        "max_sharpness": sharpness * (1 + shift),
        "train_error": errors[0],
        "test_error": errors[1],
        **(more or {}),
    }
    arrays = bi_criteria(kl + shift)
    return make_run(curves, epochs=(40,), arrays=arrays, seed=seed, **settings)


def labels(
    seeds: Iterable[int] = (0, 1, 2), sizes: Sequence[int] = SIZES, **settings: Any
) -> list[RunRecord]:
    """Networks with true and random labels: Figs. 1 and 2."""
    return [
        network(values, seed, cell, n=n, p_random=p, **settings)
        for cell, ((p, n), values) in enumerate(LABELS.items())
        if n in sizes
        for seed in seeds
    ]


def widths(seeds: Iterable[int] = (0, 1, 2), **settings: Any) -> list[RunRecord]:
    """Networks of different width, the narrowest with a training error: Fig. 4."""
    runs = []
    for cell, (width, row) in enumerate(({8: WIDTHS[16]} | WIDTHS).items()):
        test_error, *values, l2_path, spectral = row
        for seed in seeds:
            more = {
                "log10_l2_path_over_margin2_capacity": l2_path + offset(seed, cell),
                "log10_spectral_over_margin2_capacity": spectral + offset(seed, cell),
            }
            errors = (0.02 if width == 8 else 0.0, test_error + offset(seed, cell, 0.001))
            runs.append(network(values, seed, cell, errors=errors, more=more, ch=width, **settings))
    return runs


def confusion(seeds: Iterable[int] = (0, 1, 2), **settings: Any) -> list[RunRecord]:
    """Networks trained on a confusion set too: Fig. 3, with the paper's sharpness."""
    sharpness = (1.0, 0.85, 0.0, 0.01, 0.12, 0.02)
    runs = []
    for place, (size, sharp) in enumerate(zip(CONFUSION, sharpness, strict=True)):
        rates = (0.10, 0.14, 0.08, 0.06, 0.08)
        start = LABELS[0.0, 2000][:-1]
        values = [v + rate * place for v, rate in zip(start, rates, strict=True)]
        for seed in seeds:
            runs.append(
                network(
                    [*values, 0.05 + 0.1 * sharp],
                    seed,
                    place,
                    errors=(0.0, 0.08 + 0.03 * place + offset(seed, place, 0.002)),
                    n=2000,
                    data={"name": "mnist", "confusion": size},
                    **settings,
                )
            )
    return runs


GAMMAS = (0.01, 0.03, 0.1, 0.3)


def conditions(
    seeds: Iterable[int] = (0, 1, 2), layers: int = 10, **settings: Any
) -> list[RunRecord]:
    """Networks at initialization and after training: Fig. 5."""
    return [_conditions(seed, layers, **settings) for seed in seeds]


def _conditions(seed: int, layers: int, **settings: Any) -> RunRecord:
    factor = 1 + offset(seed, 0)

    def quantiles(greatest: float) -> list[float]:
        return [1 - (greatest - 1) * (0.3 - (k / 20) ** 3) for k in range(21)]

    arrays: dict[str, Any] = {
        "c1_ratios_vectors": lambda e: quantiles((1.07 if e else 1.88) * factor),
        "c1_ratios_matrices": lambda e: quantiles((1.02 if e else 1.09) * factor),
        "condition_gammas": lambda _: list(GAMMAS),
        "c2_flips": lambda e: [(0.43 if e else 0.62) * gamma * factor for gamma in GAMMAS],
        "output_change": lambda e: [(1.05 if e else 4.7) * gamma * factor for gamma in GAMMAS],
        "c3_row_norms": lambda e: [
            (1.18 if e else 1.19) * factor + 0.01 * (k % 3) for k in range(layers)
        ],
    }
    curves = {"c1_inverse_mu": (1.88 * factor, 1.07 * factor), "c2_constant": (2.0, 2.5)}
    curves["c3_constant"] = (2.1, 2.4)
    return make_run(curves, epochs=(0, 30), arrays=arrays, seed=seed, **settings)
