"""How often the intervals of both sides of eq. (19) hold the true value: 95 % is meant.

``python -m benchmarks.coverage`` trains the toy problem's small network thousands of times, from
the same initial weights on fresh training and test sets, and counts in how many runs of M sets the
value over all runs lies within the interval that one run gives. The measures are the program's own.
The second table has sets of a finite pool, which is itself drawn anew for each run. The third has
made-up sweeps, whose points are shifted and tilted together by their seed; the last one has sweeps
of the toy problem, whose seeds are chosen at random from a larger number of them.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from pandas import DataFrame, concat
from rich.console import Console
from scipy import stats

from benchmarks.ours import typed_config
from benchmarks.tables import Table, show
from gsnr_sweep.analysis.standard_errors import degrees_of_freedom
from gsnr_sweep.analysis.statistics import (
    PairStatistics,
    pair_statistics,
    statistics_by_epoch,
)
from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets, draw_sets
from gsnr_sweep.measures.osgr_diff import osgr_diff
from gsnr_sweep.measures.osgr_lhs import osgr_lhs
from gsnr_sweep.measures.osgr_rhs import noise_and_power, osgr_rhs
from gsnr_sweep.runs.runner import build_ensemble
from gsnr_sweep.training.snapshot import Snapshot

SETTINGS = ("data=toy", "n=100", "ch=8", "n_test=1000", "lr=0.01", "threads=1")
EPOCHS = (0, 5, 50)
SETS = (3, 5, 10, 30)
POOLS = (200, 1000)
SEEDS = (2, 3, 5, 10, 20)
SIZES, NOISES = (50, 100, 200), (0.2, 1.0)
STATISTICS = ("pearson", "spearman", "slope", "deming_slope", "mean_difference", "within_error")
QUANTITIES = ("osgr_lhs", "osgr_rhs", "osgr_diff")
_MEASURES = (osgr_lhs, osgr_rhs, osgr_diff)
_RUNS_AT_LEAST = 400
_REPLICAS = 20_000

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]
Draw = Callable[[Config, int], RunSets]


@dataclass(frozen=True)
class Runs:
    """What many runs of M sets measured at one epoch.

    Attributes:
        n_sets: M.
        n_test: Test samples.
        values: Metric by name, shape (runs,).
        sums: Numerators and denominators of both sides over the runs, for the true values.
    """

    n_sets: int
    n_test: int
    values: Mapping[str, Vector]
    sums: Vector

    def share(self, name: str, truth: float, quantile: Vector | float) -> float:
        """Return in which share of the runs |value − truth| is within so many standard errors."""
        errors = quantile * self.values[f"{name}_se"]
        return float((np.abs(self.values[name] - truth) <= errors).mean())

    def quantile(self, name: str, *, welch: bool = True) -> Vector:
        """Return Student's quantile for the metric's error in each run."""
        of_sets = np.full(len(self.values[name]), float(self.n_sets))
        test_se = self.values["osgr_lhs_test_se"] if welch and name != "osgr_rhs" else None
        freedom = degrees_of_freedom(self.values[f"{name}_se"], of_sets, test_se, self.n_test)
        return stats.t.ppf(0.975, freedom)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--replicas", type=int, default=_REPLICAS, help="trained for each line")
    options = parser.parse_args()
    console = Console(width=150)
    torch.set_num_threads(1)
    show(coverage(SETS, options.replicas), console)
    show(finite_pool(POOLS, 10, options.replicas), console)
    show(over_seeds(SEEDS, options.replicas // 10), console)
    show(toy_sweeps(toy_runs(options.replicas // 50), SEEDS[:-1], options.replicas // 33), console)


def coverage(sets: Sequence[int], replicas: int, least: int = _RUNS_AT_LEAST) -> Table:
    """Compare intervals for several M.

    Args:
        sets: Values of M.
        replicas: To train for each.
        least: Least number of runs.
    """
    of_m = {m: runs_of(m, max(least, replicas // m)) for m in sets}
    heads = ["", "M", "runs", "truth", "test share", "± 2 SE", "t, M − 1", "t, Welch", "bias / SE"]
    table = Table("Shares of the runs whose interval holds the truth, in %", heads)
    for epoch in EPOCHS:
        truth = truths([runs[epoch] for runs in of_m.values()])
        for name in QUANTITIES:
            for m, runs in of_m.items():
                one = runs[epoch]
                table.add(f"{name} at epoch {epoch}", str(m), *_cells(one, name, truth[name]))
    return table


def finite_pool(
    pools: Sequence[int], n_sets: int, replicas: int, least: int = _RUNS_AT_LEAST
) -> Table:
    """Compare intervals for sets of a finite pool, which is another one in each run.

    Args:
        pools: Sizes N.
        n_sets: M.
        replicas: To train for each.
        least: Least number of runs.
    """
    heads = ["", "N", "runs", "spread of the runs", "SE, known pool", "SE, unknown"]
    heads += ["t, known pool", "t, unknown"]
    table = Table(f"Sets of 100 out of N, M = {n_sets}: shares in %", heads)
    count = max(least, replicas // n_sets)
    fresh = runs_of(n_sets, count)
    for size in pools:
        known = runs_of(n_sets, count, lambda cfg, seed, size=size: from_pool(cfg, seed, size))
        blind = runs_of(n_sets, count, lambda cfg, seed, size=size: unknown(cfg, seed, size))
        for epoch in EPOCHS:
            truth = truths([fresh[epoch]])
            for name in QUANTITIES:
                both = known[epoch], blind[epoch]
                table.add(
                    f"{name} at epoch {epoch}",
                    *(str(size), str(count), f"{known[epoch].values[name].std():.4f}"),
                    *(f"{np.sqrt((one.values[f'{name}_se'] ** 2).mean()):.4f}" for one in both),
                    *(
                        f"{100 * one.share(name, truth[name], one.quantile(name)):.1f}"
                        for one in both
                    ),
                )
    return table


def over_seeds(seeds: Sequence[int], sweeps: int) -> Table:
    """Compare intervals over seeds with those that take points for independent ones.

    Args:
        seeds: Numbers of seeds.
        sweeps: To make up for each.
    """
    names = list(seeds_coverage(2, 1))
    table = Table(
        f"Shares of {sweeps} sweeps of 12 settings whose interval holds the truth, in %",
        ["seeds", *names],
    )
    for n_seeds in seeds:
        found = seeds_coverage(n_seeds, sweeps)
        table.add(str(n_seeds), *(f"{100 * found[name]:.1f}" for name in names))
    return table


def seeds_coverage(n_seeds: int, sweeps: int) -> dict[str, float]:
    """Return in which share of made-up sweeps each interval holds the truth.

    Args:
        n_seeds: Seeds of each sweep.
        sweeps: Their number.
    """
    rng = np.random.default_rng(n_seeds)
    _, x, y = made_up_sweep(rng, 100_000)
    pearson, slope = stats.pearsonr(x, y).statistic, stats.linregress(x, y).slope
    truth = {"Pearson": pearson, "slope": slope, "mean difference": 0.05}
    truth |= {f"{name}, points independent": value for name, value in truth.items()}
    hits = dict.fromkeys(truth, 0)
    for _ in range(sweeps):
        seeds, x, y = made_up_sweep(rng, n_seeds)
        clustered = pair_statistics(x, y, y - x, seeds=seeds)
        alone = pair_statistics(x, y, y - x)
        apart = stats.ttest_1samp(y - x, 0.0).confidence_interval()
        intervals = {
            "Pearson": (clustered.pearson_low, clustered.pearson_high),
            "slope": (clustered.slope_low, clustered.slope_high),
            "mean difference": (clustered.mean_difference_low, clustered.mean_difference_high),
            "Pearson, points independent": (alone.pearson_low, alone.pearson_high),
            "slope, points independent": (alone.slope_low, alone.slope_high),
            "mean difference, points independent": (apart.low, apart.high),
        }
        for name, (low, high) in intervals.items():
            hits[name] += low <= truth[name] <= high
    return {name: count / sweeps for name, count in hits.items()}


def made_up_sweep(rng: np.random.Generator, n_seeds: int) -> tuple[Codes, Vector, Vector]:
    """Draw points (RHS, LHS) of 12 settings; LHS is 0.05 larger in the mean.

    Each seed shifts its points by 0.03 on either side and tilts them by 0.1 (standard deviations);
    each point has 0.04 of its own.

    Returns:
        Seeds, RHS and LHS, shape (points,).
    """
    base = np.linspace(0.3, 0.9, 12)
    shift, other, tilt = rng.normal(0, [0.03, 0.03, 0.1], (n_seeds, 3)).T[:, :, None]
    own = rng.normal(0, 0.04, (2, n_seeds, 12))
    x = base + shift + tilt * (base - 0.6) + own[0]
    y = base + 0.05 + 0.7 * shift + other + own[1]
    return np.repeat(np.arange(n_seeds), 12), x.ravel(), y.ravel()


def _cells(one: Runs, name: str, truth: float) -> list[str]:
    values, errors = one.values[name], one.values[f"{name}_se"]
    test = one.values["osgr_lhs_test_se"] if name != "osgr_rhs" else np.zeros(1)
    shares = [
        one.share(name, truth, quantile)
        for quantile in (2.0, one.quantile(name, welch=False), one.quantile(name))
    ]
    size = float(np.sqrt((errors**2).mean()))
    return [
        *(str(len(values)), f"{truth:.4f}", f"{np.mean(test**2) / size**2:.2f}"),
        *(f"{100 * share:.1f}" for share in shares),
        f"{(values.mean() - truth) / size:+.2f}",
    ]


def toy_runs(n_seeds: int) -> DataFrame:
    """Measure sets of several sizes and noises, with another network and other data each seed.

    Args:
        n_seeds: Seeds of each setting.

    Returns:
        One row a run and epoch.
    """
    rows = []
    for n, noise in itertools.product(SIZES, NOISES):
        cfg = _config(*SETTINGS, f"n={n}", f"data.eta={noise}", "n_sets=10")
        about = {"n": n, "eta": noise, "n_sets": 10, "n_test": cfg.n_test}
        for seed in range(n_seeds):
            for snapshot in _snapshots(replace(cfg, seed=seed), fresh_sets(cfg, seed)):
                values = {k: v for each in _MEASURES for k, v in each(snapshot).items()}
                rows.append({**about, "seed": seed, "epoch": int(snapshot.epoch), **values})
    return DataFrame(rows)


def toy_sweeps(runs: DataFrame, seeds: Sequence[int], sweeps: int) -> Table:
    """Compare intervals of sweeps with some of the seeds; the truth is what all seeds give.

    Args:
        runs: One row a run and epoch.
        seeds: Numbers of seeds to choose.
        sweeps: To choose for each.
    """
    there = int(runs["seed"].nunique())
    title = f"Shares of {sweeps} sweeps of the toy problem, their seeds out of {there}, in %"
    table = Table(title, ["epoch", "seeds", *STATISTICS, "Pearson, points independent"])
    whole = statistics_by_epoch(runs, "osgr_rhs", "osgr_lhs")
    of_seed = dict(iter(runs.groupby("seed")))
    hits = {place: np.zeros((sweeps, len(STATISTICS) + 1)) for place in whole}
    rng = np.random.default_rng(0)
    for n_seeds in seeds:
        for sweep in range(sweeps):
            chosen = rng.choice(there, n_seeds, replace=False)
            points = concat([of_seed[seed] for seed in chosen])
            alone = statistics_by_epoch(points.drop(columns="seed"), "osgr_rhs", "osgr_lhs")
            for epoch, found in statistics_by_epoch(points, "osgr_rhs", "osgr_lhs").items():
                held = [_holds(found, whole[epoch], name) for name in STATISTICS]
                hits[epoch][sweep] = [*held, _holds(alone[epoch], whole[epoch], "pearson")]
        for epoch, of_epoch in hits.items():
            known = [column[~np.isnan(column)] for column in of_epoch.T]
            shares = (f"{100 * each.mean():.1f}" if len(each) else "–" for each in known)
            table.add(f"{epoch}", str(n_seeds), *shares)
    return table


def _holds(found: PairStatistics, whole: PairStatistics, name: str) -> float:
    """Tell whether an interval holds the truth, as 0 or 1; NaN if there is no interval."""
    low, high = getattr(found, f"{name}_low"), getattr(found, f"{name}_high")
    return math.nan if math.isnan(low) else float(low <= getattr(whole, name) <= high)


def truths(runs: Sequence[Runs]) -> dict[str, float]:
    """Return the values of both sides over all sets of all runs."""
    test, train, noise, power = sum(one.sums for one in runs)
    left, right = float(test / train), float(1 - noise / power)
    return {"osgr_lhs": left, "osgr_rhs": right, "osgr_diff": left - right}


def fresh_sets(cfg: Config, seed: int) -> RunSets:
    """Draw all sets anew."""
    return draw_sets(distribution(cfg.data), replace(cfg.sampling, seed=seed))


def from_pool(cfg: Config, seed: int, size: int) -> RunSets:
    """Draw a pool, and from it the training sets, as those of MNIST are drawn from its images."""
    sampling = replace(cfg.sampling, seed=seed)
    (pool,) = draw_sets(distribution(cfg.data), replace(sampling, n=size, n_sets=1)).train
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(size)[: cfg.n] for _ in range(cfg.n_sets)]
    train = [Samples(pool.x[places], pool.y[places]) for places in chosen]
    return RunSets(train, fresh_sets(cfg, seed).test, pool=size)


def unknown(cfg: Config, seed: int, size: int) -> RunSets:
    """Draw from a pool that nobody told of."""
    return replace(from_pool(cfg, seed, size), pool=None)


def runs_of(
    n_sets: int, count: int, draw: Draw = fresh_sets, settings: Sequence[str] = SETTINGS
) -> dict[int, Runs]:
    """Measure many runs that differ in their data alone.

    Args:
        n_sets: M.
        count: Number of runs.
        draw: Makes the sets from config and seed.
        settings: Of the runs.

    Returns:
        What they measured, by epoch.
    """
    cfg = _config(*settings, f"n_sets={n_sets}")
    found: dict[int, list[dict[str, float]]] = {epoch: [] for epoch in EPOCHS}
    sums = {epoch: np.zeros(4) for epoch in EPOCHS}
    for seed in range(count):
        for snapshot in _snapshots(cfg, draw(cfg, seed)):
            epoch = int(snapshot.epoch)
            found[epoch].append({k: v for each in _MEASURES for k, v in each(snapshot).items()})
            sums[epoch] += _sums(snapshot)
    return {
        epoch: Runs(
            n_sets,
            cfg.n_test,
            {name: np.array([row[name] for row in rows]) for name in rows[0]},
            sums[epoch],
        )
        for epoch, rows in found.items()
    }


def _snapshots(cfg: Config, sets: RunSets) -> Iterator[Snapshot]:
    yield from build_ensemble(cfg, sets, torch.device("cpu")).run()


def _sums(snapshot: Snapshot) -> Vector:
    noise, power = noise_and_power(snapshot)
    test = snapshot.test_loss_next - snapshot.test_loss
    train = snapshot.train_loss_next - snapshot.train_loss
    return np.array([float(part.sum()) for part in (test, train, noise, power)])


def _config(*overrides: str) -> Config:
    epochs = f"epochs={max(EPOCHS)}", f"measure_at=[{','.join(map(str, EPOCHS))}]"
    cfg = typed_config(*overrides, *epochs)
    kept = {name: path for name, path in cfg.measures.functions.items() if name in QUANTITIES}
    return replace(cfg, measures=replace(cfg.measures, functions=kept))


if __name__ == "__main__":
    main()
