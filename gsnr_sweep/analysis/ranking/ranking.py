"""The measures of a sweep, compared by how well they order its networks by their generalization."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gsnr_sweep.analysis.axes import SEEDS, open_axes, seed_numbers
from gsnr_sweep.analysis.correlation import pearson, spearman
from gsnr_sweep.analysis.ranking.baselines import (
    ORACLE_NOISE,
    RANDOM,
    as_measure,
    oracle,
    oracle_name,
    random_measures,
)
from gsnr_sweep.analysis.ranking.candidates import (
    ERRORS,
    TARGETS,
    candidates,
    sign_of,
    uses_test_data,
)
from gsnr_sweep.analysis.ranking.information import information_by_condition, least_information
from gsnr_sweep.analysis.ranking.kendall import Signs, granulated, kendall_tau
from gsnr_sweep.analysis.ranking.networks import Networks, Vector, signs
from gsnr_sweep.analysis.ranking.sign_error import (
    LEAST_EFFECTIVE_SAMPLES,
    environments,
    summary,
)
from gsnr_sweep.analysis.seeds import Matrix, Resamples, Statistic
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.wording import describe_epoch, did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.table import SweepTable

LEAST_NETWORKS = 3
MOST_INFORMATION_NETWORKS = 3000
"""Networks up to which K is computed: its pairs take some gigabytes beyond."""
USES_TEST_DATA = "†"
"""Marks a measure that is computed from the test set, too, and so predicts nothing."""
_BASELINE_DRAWS = 40
_MOST_PAIRS_OF_BASELINES = 4_000_000
_INFORMATION_DRAWS = 100  # of the seeds: entropies of large tables are what takes long


class Sweep(Protocol):
    """What is read of a sweep: `Analysis` has it."""

    @property
    def table(self) -> SweepTable:
        """The runs' measurements."""

    @property
    def frame(self) -> DataFrame:
        """One row a run and epoch."""

    @property
    def aligned(self) -> DataFrame:
        """The same, epochs that belong together being equal."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The settings that were swept."""


class Kind(StrEnum):
    """What is ranked."""

    MEASURE = "measure"
    SETTING = "setting"
    BASELINE = "baseline"


@dataclass(frozen=True)
class MeasureRank:
    """How well one measure orders networks by the target.

    Attributes:
        name: The metric, setting or baseline.
        kind: Which of them.
        sign: −1 if it is ranked with a minus sign, since large values mean good generalization.
        uses_test_data: Whether it is computed from the test set, too.
        networks: Number of networks that have it.
        tau: Kendall's τ.
        psi: Granulated ψ by axis.
        mean_psi: Ψ, their mean.
        information: Normalized conditional mutual information K.
        sign_error_mean: Sign error, averaged over environments.
        sign_error_p90: Its 90th percentile.
        sign_error_max: Its maximum: that of Dziugaite et al. 2020.
        environments: Number of environments that count.
        pearson: Pearson's coefficient.
        spearman: Spearman's.
        same_as: A measure above it that orders the networks alike, so that all this is the same.
        notes: What is undefined, and why.
    """

    name: str
    kind: Kind
    sign: int
    uses_test_data: bool
    networks: int
    tau: Statistic = Statistic()
    psi: dict[str, Statistic] = field(default_factory=dict)
    mean_psi: Statistic = Statistic()
    information: Statistic = Statistic()
    sign_error_mean: Statistic = Statistic()
    sign_error_p90: Statistic = Statistic()
    sign_error_max: Statistic = Statistic()
    environments: int = 0
    pearson: Statistic = Statistic()
    spearman: Statistic = Statistic()
    same_as: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name, with the sign it is ranked with, and `USES_TEST_DATA` where that holds."""
        signed = f"−{self.name}" if self.sign < 0 else self.name
        return f"{signed} {USES_TEST_DATA}" if self.uses_test_data else signed

    def as_row(self) -> dict[str, Any]:
        """Return the fields as one flat table row; intervals as ``…_low`` and ``…_high``."""
        row: dict[str, Any] = {
            "measure": self.name,
            "kind": str(self.kind),
            "sign": self.sign,
            "uses_test_data": self.uses_test_data,
            "networks": self.networks,
        }
        statistics = {
            "kendall_tau": self.tau,
            "granulated_Psi": self.mean_psi,
            **{f"psi.{axis}": psi for axis, psi in self.psi.items()},
            "information_K": self.information,
            "sign_error_mean": self.sign_error_mean,
            "sign_error_p90": self.sign_error_p90,
            "sign_error_max": self.sign_error_max,
            "pearson": self.pearson,
            "spearman": self.spearman,
        }
        for name, one in statistics.items():
            row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        row |= {"environments": self.environments, "same_as": self.same_as}
        return {**row, "notes": "; ".join(self.notes)}


@dataclass(frozen=True)
class Ranking:
    """All measures of a sweep at one epoch, the best first.

    Attributes:
        epoch: When they were measured; infinity for the end of training.
        target: What they are to predict.
        axes: Settings in which the networks differ, without the seed.
        networks: Number of networks.
        seeds: Number of seeds.
        rows: The measures in the order of Ψ, then settings and baselines.
        general_notes: What is to be known of all of them.
    """

    epoch: float
    target: str
    axes: tuple[str, ...]
    networks: int
    seeds: int
    rows: tuple[MeasureRank, ...]
    general_notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of all measures, and then of each."""
        return (*self.general_notes, *(note for row in self.rows for note in row.notes))

    @property
    def measures(self) -> tuple[MeasureRank, ...]:
        """The measures, those that order the networks alike once."""
        return tuple(row for row in self.rows if row.kind is Kind.MEASURE and not row.same_as)

    @property
    def references(self) -> tuple[MeasureRank, ...]:
        """Settings and baselines."""
        return tuple(row for row in self.rows if row.kind is not Kind.MEASURE)

    @property
    def same_orders(self) -> list[str]:
        """Which measures order the networks alike, a sentence each."""
        alike: dict[str, list[str]] = {}
        for row in self.rows:
            if row.same_as:
                alike.setdefault(row.same_as, []).append(row.name)
        return [f"As {first}: {', '.join(names)}." for first, names in alike.items()]

    def frame(self) -> DataFrame:
        """Lay the ranking out as a table, one row a measure."""
        from pandas import DataFrame

        where = {"target": self.target, "epoch": describe_epoch(self.epoch)}
        return DataFrame([{**where, **row.as_row()} for row in self.rows])


def epochs_of(analysis: Sweep) -> list[float]:
    """Return the epochs at which networks can be ranked, those of `Analysis.aligned`."""
    return sorted(analysis.aligned["epoch"].unique())


def rank_measures(
    analysis: Sweep,
    target: str | None = None,
    at: float | None = None,
    measures: Sequence[str] | None = None,
    draws: int = 400,
) -> Ranking:
    """Rank the measures of a sweep by how well they order its networks.

    Args:
        analysis: The sweep's runs.
        target: What to predict; the first of `TARGETS` that was measured if None.
        at: An epoch of `Analysis.aligned`; each run's last one if None.
        measures: Metrics to rank; all `candidates` if None.
        draws: Bootstrap resamples of the seeds.

    Raises:
        GsnrError: There is no such target, epoch or measure, or nothing to compare: under three
            networks, networks that all have the same target, no measure with several values.
    """
    frame, notes = _that_fit(_rows(analysis, at), at)
    target = _target(frame, target)
    asked = _asked(analysis, frame, target, measures)
    dropped = int((~np.isfinite(frame[target].to_numpy(dtype=float))).sum())
    frame = frame[np.isfinite(frame[target].to_numpy(dtype=float))].reset_index(drop=True)
    _check_comparable(frame, target)
    axes = [name for name in analysis.axes if name not in SEEDS]
    axes = open_axes(frame, axes, [])
    networks = Networks.of(frame, axes, seed_numbers(frame), target)
    resamples = Resamples(networks.n_seeds, draws)
    n_test = int(frame["n_test"].min()) if target in ERRORS and "n_test" in frame else None
    judge = _Judge(networks, resamples, n_test)
    rows = [judge.measure(name, frame[name].to_numpy(dtype=float)) for name in asked]
    rows.sort(key=_best_first)
    rows = _same_orders(rows, frame)
    if dropped:
        notes.append(f"{dropped} networks are left out: their {target} is not finite.")
    notes += _notes(networks, rows)
    others = (*judge.settings(), *judge.baselines())
    epoch = math.inf if at is None else at
    return Ranking(
        epoch, target, tuple(axes), len(networks), networks.n_seeds, (*rows, *others), tuple(notes)
    )


class _Judge:
    """Computes all statistics of one measure after another, on the same networks."""

    def __init__(self, networks: Networks, resamples: Resamples, n_test: int | None) -> None:
        self._networks, self._resamples, self._n_test = networks, resamples, n_test

    def measure(self, name: str, values: Vector) -> MeasureRank:
        sign = sign_of(name)
        found = self._rank(name, Kind.MEASURE, sign * values, sign)
        missing = len(values) - found.networks
        if missing:
            note = f"{name}: {missing} of {len(values)} networks do not have it"
            return replace(found, notes=(*found.notes, note))
        return found

    def settings(self) -> Iterable[MeasureRank]:
        for axis in self._networks.axes:
            if (values := as_measure(axis)) is not None:
                yield self._rank(axis.name, Kind.SETTING, values)

    def baselines(self) -> Iterable[MeasureRank]:
        """Rank chance and oracles: their mean, and 95 % of their draws for an interval."""
        pairs = len(self._networks) ** 2
        draws = max(5, min(_BASELINE_DRAWS, _MOST_PAIRS_OF_BASELINES // pairs))
        once = _Judge(self._networks, Resamples(self._networks.n_seeds, 0), self._n_test)
        drawn = {oracle_name(noise): oracle(self._networks, noise, draws) for noise in ORACLE_NOISE}
        for name, values in {**drawn, RANDOM: random_measures(self._networks, draws)}.items():
            yield _summarized([once._rank(name, Kind.BASELINE, each) for each in values])

    def _rank(self, name: str, kind: Kind, values: Vector, sign: int = 1) -> MeasureRank:
        there = np.isfinite(values)
        networks = self._networks if there.all() else self._networks.where(there)
        values = values[there]
        rank = MeasureRank(name, kind, sign, uses_test_data(name), len(values))
        if len(values) < LEAST_NETWORKS:
            return replace(rank, notes=(f"{name}: only {len(values)} networks have it",))
        if np.ptp(values) == 0:
            return replace(rank, notes=(f"{name}: the same in all networks",))
        of_measure, of_target = signs(values), signs(networks.target)
        agreement = of_measure * of_target
        resamples, names = self._resamples, [axis.name for axis in networks.axes]
        tau = kendall_tau(networks, agreement, resamples)
        psi = granulated(networks, agreement, resamples)
        mean_psi = psi[np.isfinite(psi[:, 0])]
        found = environments(networks, agreement, resamples, self._n_test)
        sign_errors = [resamples.statistic(each, 0.0, 1.0) for each in summary(found) or ()]
        mean, tail, worst = sign_errors or [Statistic()] * 3
        points = (values, networks.target, resamples.weights(networks.seeds))
        ranked = [resamples.statistic(one, -1.0, 1.0) for one in (tau, *psi)]
        return replace(
            rank,
            tau=ranked[0],
            psi=dict(zip(names, ranked[1:], strict=True)),
            mean_psi=resamples.statistic(mean_psi.mean(0), -1.0, 1.0)
            if len(mean_psi)
            else Statistic(),
            information=self._information(networks, of_measure, of_target),
            sign_error_mean=mean,
            sign_error_p90=tail,
            sign_error_max=worst,
            environments=sum(one.effective >= LEAST_EFFECTIVE_SAMPLES for one in found),
            pearson=resamples.correlation(pearson(*points)),
            spearman=resamples.correlation(spearman(*points)),
        )

    def _information(self, networks: Networks, of_measure: Signs, of_target: Signs) -> Statistic:
        if len(networks) > MOST_INFORMATION_NETWORKS:
            return Statistic()
        resamples = self._resamples
        fewer = replace(resamples, draws=min(resamples.draws, _INFORMATION_DRAWS))
        found = information_by_condition(networks, of_measure, of_target, fewer)
        return fewer.statistic(least_information(found), 0.0, 1.0)


def _summarized(ranks: Sequence[MeasureRank]) -> MeasureRank:
    """Return the mean of draws of a baseline, with the range of 95 % of them."""

    def of(read: Callable[[MeasureRank], Statistic]) -> Statistic:
        values: Matrix = np.array([read(rank).value for rank in ranks])
        if not np.isfinite(values).all():
            return Statistic()
        low, high = np.quantile(values, [0.025, 0.975])
        return Statistic(float(values.mean()), float(low), float(high))

    first = ranks[0]
    return replace(
        first,
        tau=of(lambda r: r.tau),
        psi={axis: of(lambda r, axis=axis: r.psi[axis]) for axis in first.psi},  # type: ignore[misc]
        mean_psi=of(lambda r: r.mean_psi),
        information=of(lambda r: r.information),
        sign_error_mean=of(lambda r: r.sign_error_mean),
        sign_error_p90=of(lambda r: r.sign_error_p90),
        sign_error_max=of(lambda r: r.sign_error_max),
        pearson=of(lambda r: r.pearson),
        spearman=of(lambda r: r.spearman),
    )


def _same_orders(rows: Sequence[MeasureRank], frame: DataFrame) -> list[MeasureRank]:
    """Mark the measures that order the networks as one above them does."""
    found: dict[tuple[float, ...], str] = {}
    marked = []
    for row in rows:
        order = tuple((row.sign * frame[row.name].astype(float)).rank().fillna(0.0))
        first = found.setdefault(order, row.name)
        marked.append(row if first == row.name else replace(row, same_as=first))
    return marked


def _best_first(rank: MeasureRank) -> tuple[bool, float, float]:
    """Order by Ψ, without axes by τ; what has none comes last."""
    value = rank.mean_psi.value
    if math.isnan(value):
        value = rank.tau.value
    tie = 0.0 if math.isnan(rank.tau.value) else rank.tau.value
    return (math.isnan(value), -(0.0 if math.isnan(value) else value), -tie)


def _rows(analysis: Sweep, at: float | None) -> DataFrame:
    """Return one row a run: of its last epoch, or of the one that is asked for.

    Raises:
        GsnrError: Nothing was measured there.
    """
    frame = analysis.aligned
    if at is None:
        last = frame.assign(_order=list(analysis.frame["epoch"]))
        last = last.sort_values("_order", kind="stable").groupby("run_id", sort=False).tail(1)
        return last.sort_index().drop(columns="_order")
    found = frame[[place == at for place in frame["epoch"]]]
    if found.empty:
        known = [describe_epoch(e) for e in epochs_of(analysis) if math.isfinite(e)]
        raise GsnrError(
            f"Nothing was measured at epoch {describe_epoch(at)}; there is: "
            f"{', '.join([*known, 'end'])} (end: the last one of each run)."
        )
    return found


def _that_fit(frame: DataFrame, at: float | None) -> tuple[DataFrame, list[str]]:
    """Leave out networks that met no stopping rule at their end, as Jiang et al. 2020 do."""
    if at is not None or "stopped_by" not in frame:
        return frame, []
    fit = frame["stopped_by"] != "epochs"
    if fit.all() or not fit.any():
        return frame, []
    count = int((~fit).sum())
    return frame[fit], [f"{count} networks are left out: their training met no stopping rule."]


def _target(frame: DataFrame, target: str | None) -> str:
    there = [name for name in TARGETS if name in frame and frame[name].notna().any()]
    if target is None and there:
        return there[0]
    if target in there:
        return str(target)
    known = f"There is: {', '.join(there)}." if there else ""
    if target is None:
        raise GsnrError(
            "There is nothing to predict: the runs measured none of "
            f"{', '.join(TARGETS)}. The measure `losses` gives gen_gap, `errors` gives gen_error."
        )
    hint = did_you_mean(target, TARGETS)
    told = f"The runs have no target {target!r}. Allowed: {', '.join(TARGETS)}."
    raise GsnrError(" ".join(filter(None, (told, hint, known))))


def _asked(
    analysis: Sweep, frame: DataFrame, target: str, measures: Sequence[str] | None
) -> list[str]:
    metrics = [name for name in analysis.table.metrics if frame[name].notna().any()]
    if measures is None:
        return [name for name in candidates(metrics) if name != target]
    for name in measures:
        if name not in metrics:
            hint = did_you_mean(name, metrics)
            there = f"There is: {', '.join(candidates(metrics))}."
            told = f"The runs have no metric {name!r}."
            raise GsnrError(" ".join(filter(None, (told, hint, there))))
    return list(dict.fromkeys(measures))


def _check_comparable(frame: DataFrame, target: str) -> None:
    if len(frame) < LEAST_NETWORKS:
        raise GsnrError(
            f"{len(frame)} networks have a finite {target}: at least {LEAST_NETWORKS} are needed "
            "to rank measures. Sweep a setting over more values."
        )
    if frame[target].nunique() < 2:
        raise GsnrError(
            f"All {len(frame)} networks have the same {target}, {frame[target].iloc[0]:g}: there "
            "is nothing to predict. Sweep a setting that changes it, such as n or p_random."
        )


def _notes(networks: Networks, rows: Sequence[MeasureRank]) -> list[str]:
    notes = []
    if networks.n_seeds < 2:
        notes.append("All networks have one seed, so there are no intervals: sweep seed, too.")
    pairs = zip(networks.axes, networks.neighbours, strict=True)
    alone = [axis.name for axis, (first, _) in pairs if not len(first)]
    if alone:
        notes.append(
            f"No two networks differ in {', '.join(alone)} alone: no ψ there, and Ψ is the mean "
            "over the other axes."
        )
    if len(networks) > MOST_INFORMATION_NETWORKS:
        notes.append(f"No K: it is computed of at most {MOST_INFORMATION_NETWORKS} networks.")
    if rows and not any(row.environments for row in rows):
        notes.append(
            f"No setting's move has {LEAST_EFFECTIVE_SAMPLES:g} effective pairs of networks, so "
            "there are no sign errors: more seeds or more values give more pairs."
        )
    return notes
