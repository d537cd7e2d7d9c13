"""What finished runs of an experiment have cost, to estimate new ones by."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gsnr_sweep.config.schema import Config
from gsnr_sweep.preflight.check import CheckedPoint, sample_passes
from gsnr_sweep.preflight.cost import Observed
from gsnr_sweep.records.layout import run_folders
from gsnr_sweep.records.record import RunRecord, read_record
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import read_status

_MOST_STATUS_FILES = 400
_MOST_RECORDS = 40

# What a run's work depends on beside its network and its measures. The rest of a record's config
# is not read: to check all of it takes 20 ms, and there may be hundreds.
_LENGTHS = ("n", "n_sets", "n_test", "epochs", "measure_at")

Network = tuple[str, str, int]
"""Names of model and data, and ch."""


def observed_runs(
    points: Sequence[CheckedPoint], roots: Sequence[Path], experiment: str
) -> list[Observed]:
    """Return what the newest finished runs have cost that used a network of this grid.

    Args:
        points: The grid.
        roots: Folders below which run folders lie.
        experiment: Only runs of this one count.
    """
    networks = {_network(point.cfg): point for point in points}
    found: list[Observed] = []
    for folder in run_folders(roots)[::-1][:_MOST_STATUS_FILES]:
        status = read_status(folder)
        if status is None or status.state != State.FINISHED or status.experiment != experiment:
            continue
        if (one := _observed(folder, networks)) is not None:
            found.append(one)
        if len(found) == _MOST_RECORDS:
            break
    return found


def _observed(folder: Path, points: dict[Network, CheckedPoint]) -> Observed | None:
    record = read_record(folder)
    try:
        return _of_record(record, points) if record else None
    except (AttributeError, KeyError, TypeError, ValueError):  # a record of another version
        return None


def _of_record(record: RunRecord, points: dict[Network, CheckedPoint]) -> Observed | None:
    ran, summary = record.config, record.summary
    point = points.get((ran["model"]["name"], ran["data"]["name"], ran["ch"]))
    if point is None or not {"wall_time_s", "peak_memory_mb"} <= set(summary):
        return None
    alike = dataclasses.replace(
        point.cfg,
        **{key: ran[key] for key in _LENGTHS} | _ended_early(record),
        measures=dataclasses.replace(point.cfg.measures, functions=ran["measures"]["functions"]),
    )
    return Observed(
        model=alike.model.name,
        data=alike.data.name,
        ch=alike.ch,
        flops=point.forward_flops * sample_passes(alike),
        seconds=summary["wall_time_s"],
        peak_memory_bytes=round(summary["peak_memory_mb"] * 1e6),
        device=record.environment.get("device", ""),
    )


def _ended_early(record: RunRecord) -> dict[str, Any]:
    """Return what a config does not say: how long a training was that a stopping rule ended."""
    epochs = round(record.summary.get("epochs_trained", record.config["epochs"]))
    if epochs >= record.config["epochs"]:
        return {}
    return {"epochs": epochs, "measure_at": [f"step:{one.step}" for one in record.measurements]}


def _network(cfg: Config) -> Network:
    return cfg.model.name, cfg.data.name, cfg.ch
