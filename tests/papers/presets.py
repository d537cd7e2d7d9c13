"""Presets as their tests read them: grids, configs, and what a sweep's end makes of its runs."""

import io
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console

from gsnr_sweep.config.grid import Grid
from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.config.schema import Config
from gsnr_sweep.preflight.check import CheckedPoint
from gsnr_sweep.records.manifest import SweepRun
from gsnr_sweep.report.pipeline import collect
from gsnr_sweep.report.result import AggregateResult
from tests.conftest import expanded
from tests.fakes import put_sweep

SCALES = ("smoke", "laptop", "paper")


@lru_cache
def grid_of(experiment: str, scale: str | None = None) -> Grid:
    chosen = [f"scale={scale}"] if scale else []
    return expanded("-m", f"experiment={experiment}", *chosen)


def configs_of(experiment: str, scale: str | None = None) -> list[Config]:
    points = grid_of(experiment, scale).points
    assert all(point.cfg is not None for point in points), [point.problem for point in points]
    return [point.cfg for point in points if point.cfg is not None]


def value_of(cfg: Config, key: str) -> Any:
    found: Any = cfg
    for name in key.split("."):
        found = getattr(found, name)
    return found


def aggregate(folder: Path, points: list[CheckedPoint]) -> AggregateResult:
    """Make tables, figures, claims and page, as a launch does at its end."""
    runs = [
        SweepRun(index, point.label, run_identity(point.cfg), 1.0, folder=str(index))
        for index, point in enumerate(points)
    ]
    preset = points[0].cfg.preset
    manifest = put_sweep(folder, runs=runs, name=preset.name, preset=asdict(preset))
    result = collect(manifest, Console(file=io.StringIO()))
    assert result is not None
    return result
