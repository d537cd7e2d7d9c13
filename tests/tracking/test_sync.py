"""Sending to MLflow what it does not have, and nothing twice."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.cli.commands.sync import sync
from gsnr_sweep.config.schema import Config
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.sent import SENT_FILE, is_sent, read_sent
from gsnr_sweep.tracking import sync as syncing
from gsnr_sweep.tracking.background_export import exporting_sweep
from gsnr_sweep.tracking.sync import (
    send_unsent,
    send_what_is_left,
    unsent_runs,
    unsent_single_runs,
)
from gsnr_sweep.tracking.turns import LAUNCHER, export_turn, exporting
from tests.conftest import tiny_config
from tests.fakes import METRICS, put_claim, put_record, put_run, put_status, put_sweep

DATA = {"name": "digits", "source": "here", "train_size": 30, "train_sets": 2, "test_size": 50}
DATA |= {"train_digest": "d1", "test_digest": "d2"}


@pytest.fixture
def cfg() -> Config:
    return tiny_config("tracking.experiment=tests")


def _sweep(folder: Path, n_runs: int, uri: str = "") -> Manifest:
    return put_sweep(
        folder / "sweep", n_runs, uri=uri, launch_folder=str(folder), experiment="tests"
    )


def _ended(folder: Path, cfg: Config, state: str = "finished") -> None:
    put_run(folder, state, cfg=cfg)
    put_record(
        folder,
        cfg,
        state=state,
        data=DATA,
        summary={"wall_time_s": 2.0},
        measurements=[Measurement(e, METRICS, [], 1000 + e) for e in (0, 2)],
    )


def test_only_what_is_over_and_not_sent(tmp_path: Path) -> None:
    manifest = _sweep(tmp_path, 9, "sqlite:///x.db")
    states = ("finished", "diverged", "failed", "interrupted", "killed")
    for index, state in enumerate(states):
        put_run(tmp_path / "sweep" / str(index), state)
    put_run(tmp_path / "sweep" / "5", "running")
    put_run(tmp_path / "sweep" / "6", "running", alive=False)
    put_run(tmp_path / "sweep" / "7", "finished", tracked=True)
    found = [folder.name for folder in unsent_runs(manifest)]
    assert found == ["0", "1", "2", "3", "4", "6"]  # 8 has not begun


def test_runs_of_other_launches_are_not_ours_to_send(tmp_path: Path) -> None:
    manifest = _sweep(tmp_path, 3)
    for run, action in zip(manifest.runs, ("reuse", "elsewhere", "repeat"), strict=True):
        run.action = action
        put_run(manifest.folder_of(run), "finished")
    assert unsent_runs(manifest) == []


def test_an_untracked_sweep_has_nothing_to_send(tmp_path: Path) -> None:
    manifest = _sweep(tmp_path, 1)
    put_run(tmp_path / "sweep" / "0", "finished")
    assert send_unsent(manifest) == (0, "")


def test_what_is_sent_is_complete_and_sent_once(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    manifest = _sweep(folder, 2, store.tracking_uri)
    for run in manifest.runs:
        _ended(manifest.folder_of(run), cfg)
    assert send_unsent(manifest) == (0, "")
    assert unsent_runs(manifest) == []
    ids = []
    for run in manifest.runs:
        assert is_sent(manifest.folder_of(run))
        run_id = read_sent(manifest.folder_of(run)).run_id
        ids.append(run_id)
        found = store.get_metric_history(run_id, "osgr_lhs")
        assert [(m.step, m.timestamp) for m in found] == [(0, 1000), (2, 1002)]
        assert store.get_run(run_id).info.status == "FINISHED"
    assert len(set(ids)) == 2
    for run in manifest.runs:  # as if the answer had been lost
        (manifest.folder_of(run) / SENT_FILE).unlink()
    assert send_unsent(manifest) == (0, "")
    for run_id in ids:
        for name in ("osgr_lhs", "run/wall_time_s"):
            expected = 2 if name == "osgr_lhs" else 1
            assert len(store.get_metric_history(run_id, name)) == expected
    experiment = store.get_experiment_by_name("tests")
    assert len(store.search_runs([experiment.experiment_id])) == 2


def test_a_store_that_cannot_be_opened(folder: Path, cfg: Config) -> None:
    (folder / "x.db").write_text("no database, whatever its name")
    broken = tiny_config("tracking.experiment=tests", "tracking.uri=sqlite:///x.db")
    manifest = _sweep(folder, 2, "sqlite:///x.db")
    for run in manifest.runs:
        _ended(manifest.folder_of(run), broken)
    left, problem = send_unsent(manifest)
    assert left == 2
    assert "cannot be opened" in problem
    assert len(unsent_runs(manifest)) == 2


def test_a_run_that_failed_before_it_had_a_record(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    """A worker writes only the status of such a run; the others are sent all the same."""
    manifest = _sweep(folder, 2, store.tracking_uri)
    first, second = map(manifest.folder_of, manifest.runs)
    put_claim(first)
    put_status(first, "failed", message="there is no such GPU here")
    _ended(second, cfg)
    assert send_unsent(manifest) == (0, "")
    assert is_sent(second)


def test_a_record_that_cannot_be_read_ends_nothing(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    manifest = _sweep(folder, 2, store.tracking_uri)
    first, second = map(manifest.folder_of, manifest.runs)
    for place in (first, second):
        _ended(place, cfg)
    (first / "record.json").write_text("{")
    send_unsent(manifest)
    assert is_sent(second)


def test_a_run_whose_process_is_gone_and_that_nobody_has_closed(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    """Its files still say that it is running."""
    manifest = _sweep(folder, 2, store.tracking_uri)
    first, second = map(manifest.folder_of, manifest.runs)
    _ended(first, cfg, "running")
    put_run(first, "running", cfg=cfg, alive=False)
    _ended(second, cfg)
    assert send_unsent(manifest) == (0, "")
    assert store.get_run(read_sent(first).run_id).info.status == "KILLED"


def test_what_was_measured_is_sent_with_its_own_times(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    manifest = _sweep(folder, 1, store.tracking_uri)
    place = manifest.folder_of(manifest.runs[0])
    _ended(place, cfg, "interrupted")
    assert send_unsent(manifest) == (0, "")
    record, run_id = RunRecord.read(place / "record.json"), read_sent(place).run_id
    found = store.get_metric_history(run_id, "osgr_rhs")
    assert [m.timestamp for m in found] == [m.time_ms for m in record.measurements]
    run = store.get_run(run_id)
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("KILLED", "interrupted")


def test_a_run_launched_alone_is_sent_later(store: MlflowClient, folder: Path) -> None:
    place = folder / "outputs" / "day" / "time"
    _ended(place, tiny_config())
    (folder / "mlflow.db").rename(folder / "away.db")
    (folder / "mlflow.db").mkdir()  # nothing that could be opened
    assert sync([], Console(quiet=True), folder) == 1
    (folder / "mlflow.db").rmdir()
    (folder / "away.db").rename(folder / "mlflow.db")
    assert unsent_single_runs(folder) == [place.resolve()]
    assert sync([], Console(quiet=True), folder) == 0
    assert unsent_single_runs(folder) == []
    runs = store.search_runs([store.get_experiment_by_name("gsnr-sweep").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]


# --- several processes


def test_another_process_that_sends_is_waited_for(
    store: MlflowClient, folder: Path, cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _sweep(folder, 1, store.tracking_uri)
    _ended(manifest.folder_of(manifest.runs[0]), cfg)
    monkeypatch.setattr(syncing, "_PATIENCE", 0.0)
    with export_turn(manifest.folder, "a worker") as mine:
        assert mine
        assert exporting(manifest.folder) == "a worker"
        assert send_unsent(manifest) == (1, "another process of the sweep is sending them")
    assert exporting(manifest.folder) == ""
    assert send_unsent(manifest) == (0, "")


@pytest.mark.parametrize("launcher", [True, False])
def test_the_last_worker_sends_what_is_left_unless_the_launcher_does(
    store: MlflowClient, folder: Path, cfg: Config, launcher: bool
) -> None:
    manifest = _sweep(folder, 2, store.tracking_uri)
    ended, alive = map(manifest.folder_of, manifest.runs)
    _ended(ended, cfg)
    put_run(alive, "running", cfg=cfg)
    with export_turn(manifest.folder, LAUNCHER) if launcher else nullcontext():
        send_what_is_left(manifest, "a worker")
        assert is_sent(ended) != launcher
    assert not is_sent(alive)


def test_the_turn_of_a_process_that_died_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / ".exporter"
    put_claim(folder, job="a worker", alive=False)
    put_status(folder, "running", alive=False)
    with export_turn(tmp_path, "another") as mine:
        assert mine


def test_runs_fill_in_the_background(store: MlflowClient, folder: Path, cfg: Config) -> None:
    manifest = _sweep(folder, 1, store.tracking_uri)
    place = manifest.folder_of(manifest.runs[0])
    with exporting_sweep(manifest, "a worker") as export:
        put_run(place, "running", cfg=cfg)
        _wait(lambda: is_sent(place))
        run_id = read_sent(place).run_id
        assert store.get_run(run_id).info.status == "RUNNING"
        _ended(place, cfg)
        _wait(lambda: is_sent(place))
    assert export.problem == ""
    assert store.get_run(read_sent(place).run_id).info.status == "FINISHED"
    assert exporting(manifest.folder) == ""


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
