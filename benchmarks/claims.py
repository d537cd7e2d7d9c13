"""How often claims are judged wrongly on real sweeps, whose seeds vary as they do.

``python -m benchmarks.claims`` measures the toy problem under many seeds, takes the statistics on
which claims on both sides of eq. (19) rest, and draws sweeps of few seeds from them. A claim whose
mean lies exactly at its bound should be judged to hold in 2.5 % of them, and not to in 2.5 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from pandas import DataFrame
from rich.console import Console
from scipy import stats

from benchmarks.coverage import toy_runs
from benchmarks.tables import Table, show
from gsnr_sweep.analysis.seed_means import each_seed
from gsnr_sweep.analysis.standard_errors import half_width
from gsnr_sweep.papers.liu2020.claims.lhs_rhs import excess, fishers_z, growth, spearman

SEEDS = (3, 5, 10)
_RUNS, _SWEEPS = 120, 20_000

Vector = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    parser.add_argument("--seeds", type=int, default=_RUNS, help="of each setting")
    options = parser.parse_args()
    torch.set_num_threads(1)
    show(wrong_verdicts(statistics(toy_runs(options.seeds)), SEEDS, _SWEEPS), Console(width=120))


def statistics(runs: DataFrame) -> dict[str, Vector]:
    """Return what claims rest on, a value a seed.

    Args:
        runs: One row a run and epoch, of `toy_runs`.
    """
    epochs = sorted(runs["epoch"].unique())
    runs = runs.assign(run_id=runs["n"].astype(str) + "-" + runs["eta"].astype(str))
    first, last = (runs[runs["epoch"] == epoch] for epoch in (epochs[0], epochs[-1]))
    found = {
        "squared distance at the start": each_seed(first, excess),
        "growth of LHS − RHS": each_seed(runs, partial(growth, first=epochs[0], last=epochs[-1])),
        "Fisher's z at the start": each_seed(first, fishers_z),
        "Fisher's z at the end": each_seed(last, fishers_z),
        "Spearman of n and LHS": each_seed(last, spearman),
    }
    return {name: values.to_numpy(dtype=float) for name, values in found.items()}


def wrong_verdicts(values: Mapping[str, Vector], seeds: Sequence[int], sweeps: int) -> Table:
    """Count how often the interval of few seeds lies above, or below, the mean of all.

    Args:
        values: By statistic one value a seed.
        seeds: Numbers of seeds of a sweep.
        sweeps: To draw for each.
    """
    heads = ["", "skewness", *(f"{n} seeds: {side}" for n in seeds for side in ("above", "below"))]
    table = Table("Sweeps whose interval excludes the mean of all seeds, in %", heads)
    rng = np.random.default_rng(0)
    for name, known in values.items():
        cells = []
        for n in seeds:
            drawn = rng.choice(known, (sweeps, n)) - known.mean()
            means, half = drawn.mean(1), half_width(drawn.std(1, ddof=1) / n**0.5, n - 1)
            cells += [f"{100 * (means > half).mean():.1f}", f"{100 * (means < -half).mean():.1f}"]
        table.add(name, f"{stats.skew(known):+.2f}", *cells)
    return table


if __name__ == "__main__":
    main()
