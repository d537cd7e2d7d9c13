"""``python -m gsnr_sweep sync``: what it says, and its exit code."""

import io
import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service import utils as mlflow_tracking
from rich.console import Console

from gsnr_sweep.cli.commands.sync import sync
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.sent import Sent, read_sent, record_digest
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.store import open_store
from gsnr_sweep.tracking.sweep_tracker import SweepTracker
from tests.conftest import tiny_config
from tests.fakes import listing, put_run, put_sweep


def _sync(*sweeps: Manifest) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    code = sync(sweeps, console)
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def _sweep(folder: Path, name: str, uri: str = "sqlite:///x.db") -> Manifest:
    manifest = put_sweep(folder / name, 3, name=name, id=name, uri=uri, launch_folder=str(folder))
    for index, tracked in enumerate((False, False, True)):
        put_run(manifest.folder / str(index), "finished", tracked=tracked)
    return manifest


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated_store: Path) -> list[str]:
    """What the store answers to one record after the other; nothing once all is said."""
    answers: list[str] = []

    def send(_: Exporter, folder: Path) -> str:
        problem = answers.pop(0) if answers else ""
        if not problem:
            Sent(digest=record_digest(folder)).write(folder)
        return problem

    monkeypatch.setattr(Exporter, "send", send)
    shutil.copy(migrated_store, tmp_path / "x.db")
    return answers


def test_everything_is_sent(tmp_path: Path, store: list[str]) -> None:
    sweeps = [_sweep(tmp_path, "one"), _sweep(tmp_path, "two")]
    code, out = _sync(*sweeps)
    assert code == 0
    assert out.splitlines() == [
        "one (one): 2 of 2 runs sent",
        "two (two): 2 of 2 runs sent",
        "MLflow has everything that is on disk.",
    ]
    assert _sync(*sweeps) == (0, "MLflow has everything that is on disk.\n")


def test_what_cannot_be_sent_is_said_and_another_sweep_is_tried(
    tmp_path: Path, store: list[str]
) -> None:
    store += ["", "no [answer]"]
    code, out = _sync(_sweep(tmp_path, "one"), _sweep(tmp_path, "two"))
    assert code == 1
    assert out.splitlines() == [
        "one (one): 1 of 2 runs sent; no [answer]",
        "two (two): 2 of 2 runs sent",
    ]


def test_nothing_to_do(tmp_path: Path, store: list[str]) -> None:
    for sweeps in ((), (_sweep(tmp_path, "untracked", uri=""),)):
        assert _sync(*sweeps) == (0, "MLflow has everything that is on disk.\n")


# --- what somebody deleted, and the sweep's own run


@pytest.fixture
def tracked(client: MlflowClient, folder: Path) -> Manifest:
    """A sweep of two runs that is complete, and all of it in MLflow."""
    cfg = tiny_config("tracking.experiment=tests")
    own = SweepTracker.start(*open_store(client.tracking_uri, "tests"), "mine", {}, {})
    manifest = put_sweep(
        folder / "multirun/day/time",
        **{"uri": "sqlite:///mlflow.db", "launch_folder": str(folder), "id": "mine"},
        **{"parent_run_id": own.run_id, "experiment": "tests", "name": "mine"},
    )
    for run in manifest.runs:
        put_run(manifest.folder_of(run), "finished", cfg=cfg)
    assert _sync(manifest)[0] == 0
    return manifest


@pytest.fixture
def client(migrated_store: Path, folder: Path) -> MlflowClient:
    shutil.copy(migrated_store, folder / "mlflow.db")
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def _bare(manifest: Manifest) -> tuple[int, str]:
    """Synchronize as without naming a sweep."""
    console = Console(file=io.StringIO(), width=120)
    code = sync([manifest], console, Path(manifest.launch_folder))
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def _runs(manifest: Manifest) -> list[str]:
    return [read_sent(manifest.folder_of(run)).run_id for run in manifest.runs]


def test_a_sweeps_own_run_has_its_table_figures_and_page(
    client: MlflowClient, tracked: Manifest
) -> None:
    own = tracked.parent_run_id
    assert client.get_run(own).info.status == "FINISHED"
    assert {item.path for item in client.list_artifacts(own)} == {"aggregate", "report.html"}
    assert "aggregate/table.csv" in {item.path for item in client.list_artifacts(own, "aggregate")}
    assert _sync(tracked) == (0, "MLflow has everything that is on disk.\n")


def test_results_that_could_not_be_sent_are_sent_later(
    client: MlflowClient, tracked: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tracked.folder / "mlflow.json").unlink()

    def fail(*_: object) -> None:
        raise MlflowException("the disk is full")

    with monkeypatch.context() as away:
        away.setattr(MlflowClient, "log_artifact", fail)
        code, out = _sync(tracked)
    assert code == 1
    assert "mine (mine): table, figures and page not sent; " in out
    assert "the disk is full" in out
    code, out = _bare(tracked)
    assert code == 0
    assert out.startswith("mine (mine): table, figures and page sent\n")


@pytest.mark.parametrize("purged", [False, True])
def test_runs_that_were_deleted_are_sent_again_if_the_sweep_is_asked_for(
    client: MlflowClient, tracked: Manifest, purged: bool
) -> None:
    before = _runs(tracked)
    for run_id in before:
        client.delete_run(run_id)
        if purged:
            client._tracking_client.store._hard_delete_run(run_id)
    code, out = _bare(tracked)
    assert (code, _runs(tracked)) == (0, before)
    assert out.splitlines() == [
        "mine (mine): 2 runs were deleted in MLflow; python -m gsnr_sweep sync mine sends them "
        "again",
        "MLflow has everything else that is on disk.",
    ]
    code, out = _sync(tracked)
    assert code == 0
    assert out.splitlines() == [
        "mine (mine): 2 runs had been deleted in MLflow and are sent as new ones",
        "mine (mine): 2 of 2 runs sent",
        "mine (mine): table, figures and page sent",
        "MLflow has everything that is on disk.",
    ]
    after = _runs(tracked)
    assert not set(before) & set(after)
    assert [client.get_run(run_id).info.status for run_id in after] == ["FINISHED"] * 2
    assert all(run_id in (tracked.folder / "table.csv").read_text() for run_id in after)


def test_a_sweeps_own_run_that_was_deleted(client: MlflowClient, tracked: Manifest) -> None:
    own = tracked.parent_run_id
    client.delete_run(own)
    code, out = _bare(tracked)
    assert code == 0
    assert "its own run was deleted in MLflow; python -m gsnr_sweep sync mine restores it" in out
    code, out = _sync(tracked)
    assert code == 0
    assert "its own run had been deleted in MLflow and is restored" in out
    assert client.get_run(own).info.lifecycle_stage == "active"
    client.delete_run(own)
    client._tracking_client.store._hard_delete_run(own)
    for ask, code in ((_bare, 0), (_sync, 1)):
        ended, out = ask(tracked)
        assert ended == code
        assert "its own run is in MLflow no more; the command of the sweep makes another" in out


def test_a_store_that_is_gone_is_said_and_not_made_anew(folder: Path) -> None:
    cfg = tiny_config("tracking.uri=sqlite:///gone.db")
    manifest = put_sweep(
        folder / "sweep", 1, uri="sqlite:///gone.db", launch_folder=str(folder), name="mine"
    )
    put_run(manifest.folder / "0", "finished", cfg=cfg)
    Sent("a" * 32, record_digest(manifest.folder / "0")).write(manifest.folder / "0")
    code, out = _sync(manifest)
    assert code == 0
    assert "all was sent once, but now MLflow cannot be asked" in out
    (manifest.folder / "0" / "mlflow.json").unlink()
    code, out = _sync(manifest)
    assert code == 1
    assert "is not there any more" in out
    assert not (folder / "gone.db").exists()


def test_a_project_that_was_moved_finds_all_that_is_its_own(
    tracked: Manifest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Path(tracked.launch_folder)
    new = tmp_path_factory.mktemp("elsewhere") / "project"
    monkeypatch.setattr(mlflow_tracking, "_artifact_repos_cache", OrderedDict())  # a new process
    shutil.copytree(old, new)
    before = listing(old)
    moved = Manifest.read(new / "multirun/day/time")
    assert moved.launch_folder == str(new)
    (moved.folder_of(moved.runs[0]) / "mlflow.json").unlink()
    (moved.folder / "table.csv").unlink()
    assert _sync(moved)[0] == 0
    assert listing(old) == before
    run = MlflowClient(f"sqlite:///{new / 'mlflow.db'}").get_run(_runs(moved)[0])
    assert run.info.artifact_uri.startswith((new / "mlartifacts").as_uri())
    assert (new / "mlartifacts" / run.info.run_id / "artifacts" / "record.json").is_file()


def test_a_sweeps_folder_that_was_moved_alone_keeps_its_store(
    client: MlflowClient, tracked: Manifest
) -> None:
    there = Path(tracked.launch_folder) / "kept"
    tracked.folder.rename(there)
    moved = Manifest.read(there)
    assert moved.launch_folder == tracked.launch_folder
    (there / "table.csv").unlink()
    assert _sync(moved)[0] == 0
    assert (there / "table.csv").is_file()
    assert not tracked.folder.exists()
