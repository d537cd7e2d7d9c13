"""Collecting what is there of a sweep: files, exit code, and what is closed."""

import io
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.cli.commands.collect import collect_command
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.sent import is_sent, read_sent
from gsnr_sweep.records.status import read_status
from tests.cli.commands.test_status import alive_job, dead_job
from tests.conftest import tiny_config
from tests.fakes import METRICS, listing, put_record, put_run, put_sweep

DATA = {"name": "digits", "source": "here", "train_size": 30, "train_sets": 2, "test_size": 50}
DATA |= {"train_digest": "d1", "test_digest": "d2"}
FILES = {"table.csv", "table.parquet", "statistics.csv", "lhs_rhs.png", "lhs_rhs.pdf"}


def _put(manifest: Manifest, index: int, state: str = "finished", **fields: object) -> None:
    cfg = tiny_config("tracking.experiment=tests", f"seed={index}")
    folder = manifest.folder_of(manifest.runs[index])
    put_run(folder, state, cfg=cfg, **fields)  # type: ignore[arg-type]
    values = {name: value + index for name, value in METRICS.items()}
    measured = [Measurement(epoch, values, [], 1000 + epoch) for epoch in (0, 2)]
    written = "running" if state in ("running", "preparing") else state
    put_record(folder, cfg, state=written, measurements=measured, data=DATA, name=f"run {index}")


def _collect(manifest: Manifest) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    code = collect_command(manifest, console)
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def _files(manifest: Manifest) -> set[str]:
    return {path.name for path in manifest.folder.iterdir() if path.is_file()} - {"sweep.json"}


@pytest.fixture
def sweep(tmp_path: Path) -> Manifest:
    manifest = put_sweep(tmp_path / "sweep", 3)
    for index in range(3):
        _put(manifest, index)
    return manifest


def test_a_sweep_that_is_complete(sweep: Manifest) -> None:
    code, out = _collect(sweep)
    assert code == 0
    assert out.startswith("digits sweep (0a1b2c3d): 3 of 3 done: 3 finished")
    assert _files(sweep) >= FILES
    rows = (sweep.folder / "table.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 2


def test_collecting_again_gives_the_same(sweep: Manifest) -> None:
    _collect(sweep)
    before = (sweep.folder / "table.csv").read_bytes()
    assert _collect(sweep)[0] == 0
    assert (sweep.folder / "table.csv").read_bytes() == before


@pytest.mark.parametrize("state", ["failed", "diverged", "interrupted", "killed", "running", None])
def test_a_sweep_that_is_over_and_not_complete(sweep: Manifest, state: str | None) -> None:
    """Whether its runs say so, or their processes are gone, or nobody ever began."""
    folder = sweep.folder / "1"
    if state is None:
        for path in folder.iterdir():
            path.unlink()
    else:
        _put(sweep, 1, state, alive=False)
    sweep.jobs = [dead_job(0, 1, 2)]
    code, out = _collect(sweep)
    assert code == 1
    assert "1 run left out" in out
    assert len((sweep.folder / "table.csv").read_text().splitlines()) == 1 + 2 * 2


def test_a_dead_run_is_closed_on_the_way(sweep: Manifest) -> None:
    _put(sweep, 1, "running", alive=False)
    _collect(sweep)
    status = read_status(sweep.folder / "1")
    assert status is not None
    assert status.state == "killed"
    assert RunRecord.read(sweep.folder / "1" / "record.json").state == "killed"


def test_a_sweep_under_way_gives_what_there_is_and_is_left_alone(sweep: Manifest) -> None:
    _put(sweep, 1, "running")
    _put(sweep, 2, "running", alive=False)  # another process may take it over
    sweep.jobs = [alive_job(0, 1, 2)]
    before = {name: at for name, at in listing(sweep.folder).items() if "/" in name}
    code, out = _collect(sweep)
    assert code == 0
    assert "1 of 3 done: 1 finished" in out
    assert _files(sweep) >= FILES
    assert {name: at for name, at in listing(sweep.folder).items() if "/" in name} == before


@pytest.mark.parametrize("under_way", [True, False])
def test_nothing_there_yet(tmp_path: Path, under_way: bool) -> None:
    manifest = put_sweep(tmp_path / "sweep", 2)
    manifest.jobs = [alive_job(0, 1)] if under_way else []
    code, out = _collect(manifest)
    assert code == 1
    assert "Not aggregated: None of the 2 runs of digits sweep has finished" in out
    assert _files(manifest) == set()


def test_runs_of_earlier_launches_are_in_it(sweep: Manifest, tmp_path: Path) -> None:
    for run in sweep.runs[:2]:
        run.action, run.folder = "reuse", f"../old/{run.index}"
    (tmp_path / "old").mkdir()
    for index in (0, 1):
        (sweep.folder / str(index)).rename(tmp_path / "old" / str(index))
    code, out = _collect(sweep)
    assert code == 0
    assert "2 reused, 1 finished" in out
    assert len((sweep.folder / "table.csv").read_text().splitlines()) == 1 + 3 * 2


# --- with a tracking store


@pytest.fixture
def tracked(store: MlflowClient, folder: Path) -> Manifest:
    """A sweep with a parent run, none of whose runs were sent."""
    number = store.create_experiment("tests", (folder / "mlartifacts").as_uri())
    parent = store.create_run(number, tags={"gsnr.kind": "sweep"}).info.run_id
    manifest = put_sweep(
        folder / "sweep",
        3,
        uri=store.tracking_uri,
        parent_run_id=parent,
        launch_folder=str(folder),
        experiment="tests",
    )
    for index in range(3):
        _put(manifest, index)
    return manifest


def test_what_mlflow_lacks_is_sent_and_the_sweep_is_closed(
    tracked: Manifest, store: MlflowClient
) -> None:
    assert _collect(tracked)[0] == 0
    parent = store.get_run(tracked.parent_run_id)
    assert parent.info.status == "FINISHED"
    for run in tracked.runs:
        assert is_sent(tracked.folder_of(run))
        run_id = read_sent(tracked.folder_of(run)).run_id
        assert store.get_run(run_id).info.status == "FINISHED"
    sent = store.list_artifacts(tracked.parent_run_id, "aggregate")
    assert {"aggregate/table.csv", "aggregate/lhs_rhs.png"} <= {file.path for file in sent}


def test_a_sweep_that_is_not_complete_has_failed(tracked: Manifest, store: MlflowClient) -> None:
    open_run = store.create_run(store.get_run(tracked.parent_run_id).info.experiment_id)
    _put(tracked, 1, "running", alive=False, run_id=open_run.info.run_id)
    assert _collect(tracked)[0] == 1
    assert store.get_run(tracked.parent_run_id).info.status == "FAILED"
    assert store.get_run(open_run.info.run_id).info.status == "KILLED"


def test_a_sweep_under_way_stays_open(tracked: Manifest, store: MlflowClient) -> None:
    _put(tracked, 1, "running")
    tracked.jobs = [alive_job(0, 1, 2)]
    assert _collect(tracked)[0] == 0
    assert store.get_run(tracked.parent_run_id).info.status == "RUNNING"


def test_a_store_that_is_gone_is_no_reason_not_to_collect(tracked: Manifest, folder: Path) -> None:
    """All records are on disk."""
    (folder / "mlflow.db").write_bytes(b"garbage" * 1000)
    code, out = _collect(tracked)
    assert "could not be sent to MLflow" in out
    assert _files(tracked) >= FILES
    assert code == 0
