"""Sweeps read back, made by hand: runs whose metrics are given as functions of the epoch."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.preset import Preset
from gsnr_sweep.analysis.table import LeftOut, SweepTable, table_of
from gsnr_sweep.records.record import Measurement, RunRecord

EPOCHS = (0, 1, 10, 25, 50, 75, 100)
Curve = float | Sequence[float] | Callable[[int], float]
Values = Callable[[int], Sequence[float | None]]


def make_run(
    curves: Mapping[str, Curve],
    *,
    epochs: Sequence[int] = EPOCHS,
    arrays: Mapping[str, Values] | None = None,
    model: str = "mlp",
    init: str = "he",
    frozen: Sequence[str] = (),
    **settings: Any,
) -> RunRecord:
    """The record of a finished run.

    Args:
        curves: By metric its value: always the same, by epoch, or a function of the epoch.
        epochs: When it was measured.
        arrays: By array a function from the epoch to its values; None for one that is not finite.
        model: Name of the network.
        init: Its initial weights.
        frozen: Its frozen layers.
        settings: Other settings than the usual ones.
    """
    measured = []
    for place, epoch in enumerate(epochs):
        values: dict[str, Any] = {n: _value(curve, place, epoch) for n, curve in curves.items()}
        values |= {name: _list(function(epoch)) for name, function in (arrays or {}).items()}
        measured.append(Measurement.from_values(epoch, values))
    config: dict[str, Any] = {"n": 100, "p_random": 0.0, "ch": 6, "n_sets": 1, "seed": 0}
    config |= {"epochs": max(epochs), "data": {"name": "digits"}} | settings
    config["model"] = {"name": model, "init": init, "frozen": list(frozen)}
    name = " ".join(f"{key}={config[key]}" for key in ("n", "ch", "p_random", "seed"))
    return RunRecord(name, config, "feed", {}, "finished", measurements=measured)


def make_table(
    *runs: RunRecord,
    figures: Sequence[str] = ("lhs_rhs",),
    claims: Sequence[str] = (),
    experiment: str = "an_experiment",
    name: str = "a sweep",
    left_out: Sequence[LeftOut] = (),
    parent_id: str | None = None,
    launch_folder: str = "",
) -> SweepTable:
    """The table of a sweep of these runs, launched as an experiment with these figures."""
    kept = [(f"{number:032x}", run) for number, run in enumerate(runs)]
    preset = Preset(experiment, "smoke" if experiment else "", tuple(figures), tuple(claims))
    return table_of(name, parent_id, kept, left_out, preset, launch_folder)


def make_analysis(*runs: RunRecord, **about: Any) -> Analysis:
    """The analysis of a sweep of these runs, see `make_table`."""
    return Analysis(make_table(*runs, **about))


def _value(curve: Curve, place: int, epoch: int) -> float:
    if callable(curve):
        return curve(epoch)
    return curve[place] if isinstance(curve, Sequence) else curve


def _list(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
