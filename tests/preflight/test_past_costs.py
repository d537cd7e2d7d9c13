"""What finished runs have cost."""

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gsnr_sweep.config.schema import Config
from gsnr_sweep.preflight.check import CheckedPoint, check
from gsnr_sweep.preflight.past_costs import observed_runs
from gsnr_sweep.records.record import Measurement
from tests.conftest import TINY, expanded
from tests.fakes import put_record, put_run

TOY = (*TINY, "data=toy", "model=mlp")


def _points(*overrides: str) -> list[CheckedPoint]:
    return check(expanded(*TOY, *overrides).points)


def _ran(root: Path, name: str, cfg: Config, state: str = "finished", **changes: Any) -> Path:
    """Leave the folder of a run that took seven seconds."""
    folder = root / "day" / "time" / name
    put_run(folder, state, cfg=cfg)
    summary = {"wall_time_s": 7.0, "peak_memory_mb": 300.0}
    put_record(folder, cfg, **{"summary": summary, **changes})
    return folder


def _experiment(points: list[CheckedPoint]) -> str:
    return points[0].cfg.tracking.experiment


def test_a_finished_run_has_the_cost_of_its_own_size(tmp_path: Path) -> None:
    small, large = _points("-m", "n=50,400")
    _ran(tmp_path, "0", large.cfg)
    (found,) = observed_runs([small], [tmp_path], _experiment([small]))
    assert found.flops == large.flops != small.flops
    assert (found.seconds, found.peak_memory_bytes) == (7.0, 300 * 10**6)
    assert (found.model, found.data, found.ch) == ("mlp", "toy", large.cfg.ch)


@pytest.mark.parametrize("axis", ["n_sets=3", "n_test=70", "epochs=9", "measure_at=every:1"])
def test_all_that_makes_work_counts(tmp_path: Path, axis: str) -> None:
    (plain,), (more,) = _points(), _points(axis)
    _ran(tmp_path, "0", more.cfg)
    (found,) = observed_runs([plain], [tmp_path], _experiment([plain]))
    assert found.flops == more.flops != plain.flops


def test_measures_count(tmp_path: Path) -> None:
    (plain,), (more,) = (
        _points(),
        _points("+measures.functions.first_term=gsnr_sweep.measures.first_term.first_term"),
    )
    assert more.flops > plain.flops
    _ran(tmp_path, "0", more.cfg)
    (found,) = observed_runs([plain], [tmp_path], _experiment([plain]))
    assert found.flops == more.flops


@pytest.mark.parametrize("schedule", ["measure_at=[0,20,60,200,400]", "measure_at=log:30"])
def test_a_run_that_ended_early_has_the_cost_of_what_it_did(tmp_path: Path, schedule: str) -> None:
    (whole,) = _points("epochs=400", schedule, "stop.train_loss=0.1")
    (same,) = _points("epochs=70", "measure_at=[0,20,60,70]", "stop.train_loss=0.1")
    done = [Measurement(epoch, {}, step=epoch) for epoch in (0, 20, 60, 70)]
    summary = {"wall_time_s": 7.0, "peak_memory_mb": 300.0, "epochs_trained": 70.0}
    _ran(tmp_path, "0", whole.cfg, summary=summary, measurements=done)
    (found,) = observed_runs([whole], [tmp_path], _experiment([whole]))
    assert found.flops == same.flops


def test_others_do_not_count(tmp_path: Path) -> None:
    (point,), (wider,) = _points(), _points("ch=7")
    _ran(tmp_path, "0", point.cfg, state="failed")
    _ran(tmp_path, "1", wider.cfg)
    _ran(tmp_path, "2", point.cfg, summary={"wall_time_s": 1.0})
    _ran(tmp_path, "3", point.cfg, config={"model": "mlp"})
    _ran(tmp_path, "4", point.cfg, config=asdict(point.cfg) | {"measure_at": "never"})
    (_ran(tmp_path, "5", point.cfg) / "record.json").write_text("{")
    elsewhere = dataclasses.replace(point.cfg.tracking, experiment="another")
    _ran(tmp_path, "6", dataclasses.replace(point.cfg, tracking=elsewhere))
    assert observed_runs([point], [tmp_path], _experiment([point])) == []
