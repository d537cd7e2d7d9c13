"""Sending to MLflow what it does not have, and nothing twice."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from gsnr_sweep.config.schema import Config
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.status import read_status, write_status
from gsnr_sweep.tracking.sync import send_unsent, unsent_runs
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
    manifest = _sweep(tmp_path, 9)
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
        status = read_status(manifest.folder_of(run))
        assert status is not None
        assert (status.tracked, status.state) == (True, "finished")
        ids.append(status.run_id)
        found = store.get_metric_history(status.run_id, "osgr_lhs")
        assert [(m.step, m.timestamp) for m in found] == [(0, 1000), (2, 1002)]
        assert store.get_run(status.run_id).info.status == "FINISHED"
    assert len(set(ids)) == 2
    for folder_ in map(manifest.folder_of, manifest.runs):  # as if the answer had been lost
        status = read_status(folder_)
        assert status is not None
        status.tracked = False
        write_status(folder_, status)
    assert send_unsent(manifest) == (0, "")
    for run_id in ids:
        for name in ("osgr_lhs", "run/wall_time_s"):
            expected = 2 if name == "osgr_lhs" else 1
            assert len(store.get_metric_history(run_id, name)) == expected
    experiment = store.get_experiment_by_name("tests")
    assert len(store.search_runs([experiment.experiment_id])) == 2


def test_a_store_that_fails_is_asked_once(
    folder: Path, cfg: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _sweep(folder, 3, "sqlite:///x.db")
    for run in manifest.runs:
        _ended(manifest.folder_of(run), cfg)
    asked: list[Path] = []

    def send(run: Path, _: Path) -> str:
        asked.append(run)
        return "" if len(asked) == 1 else "no answer"

    monkeypatch.setattr("gsnr_sweep.tracking.sync.send_record", send)
    assert send_unsent(manifest) == (2, "no answer")
    assert len(asked) == 2


def test_a_store_that_cannot_be_opened(folder: Path, cfg: Config) -> None:
    (folder / "file").write_text("")
    broken = tiny_config("tracking.experiment=tests", f"tracking.uri=sqlite:///{folder}/file/x.db")
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
    status = read_status(second)
    assert status is not None
    assert status.tracked


def test_a_record_that_cannot_be_read_ends_nothing(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    manifest = _sweep(folder, 2, store.tracking_uri)
    first, second = map(manifest.folder_of, manifest.runs)
    for place in (first, second):
        _ended(place, cfg)
    (first / "record.json").write_text("{")
    send_unsent(manifest)
    status = read_status(second)
    assert status is not None
    assert status.tracked


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
    status = read_status(first)
    assert status is not None
    assert store.get_run(status.run_id).info.status == "KILLED"


def test_what_was_measured_is_sent_with_its_own_times(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    manifest = _sweep(folder, 1, store.tracking_uri)
    place = manifest.folder_of(manifest.runs[0])
    _ended(place, cfg, "interrupted")
    assert send_unsent(manifest) == (0, "")
    record, status = RunRecord.read(place / "record.json"), read_status(place)
    assert status is not None
    found = store.get_metric_history(status.run_id, "osgr_rhs")
    assert [m.timestamp for m in found] == [m.time_ms for m in record.measurements]
    run = store.get_run(status.run_id)
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("KILLED", "interrupted")


def test_a_run_launched_alone_is_sent_later(store: MlflowClient, folder: Path) -> None:
    from rich.console import Console

    from gsnr_sweep.cli.commands.sync import sync
    from gsnr_sweep.runs.runner import run_point
    from gsnr_sweep.tracking.sync import unsent_single_runs
    from tests.conftest import tiny_config

    place = folder / "outputs" / "day" / "time"
    place.mkdir(parents=True)
    (folder / "mlflow.db").rename(folder / "away.db")
    (folder / "mlflow.db").mkdir()  # nothing that could be opened
    run_point(tiny_config("data=toy"), place, folder)
    (folder / "mlflow.db").rmdir()
    (folder / "away.db").rename(folder / "mlflow.db")
    assert unsent_single_runs(folder) == [place.resolve()]
    assert sync([], Console(quiet=True), folder) == 0
    assert unsent_single_runs(folder) == []
    runs = store.search_runs([store.get_experiment_by_name("gsnr-sweep").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
