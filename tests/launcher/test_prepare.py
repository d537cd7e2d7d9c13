"""What is refused, and what is written down, before a sweep's first job."""

import io
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.prepare import refuse_folders_of_others, send_reused_again
from gsnr_sweep.records.state import Action
from tests.conftest import tiny_config
from tests.fakes import METRICS, listing, put_run, put_status, put_sweep, send


def test_a_folder_that_holds_another_run_is_refused(tmp_path: Path) -> None:
    """A fixed hydra.sweep.dir, and a grid whose second point is another one than before."""
    manifest = put_sweep(tmp_path / "sweep", 3)
    put_status(manifest.folder / "0", "finished", config_hash="hash0")
    put_status(manifest.folder / "1", "interrupted", config_hash="beef", name="seed=16")
    before = listing(tmp_path)
    with pytest.raises(
        GsnrError, match=r"hydra\.sweep\.dir=.*folder 1 in it holds the run seed=16"
    ):
        refuse_folders_of_others(manifest)
    assert listing(tmp_path) == before


def test_the_same_runs_go_on_where_they_lie(tmp_path: Path) -> None:
    manifest = put_sweep(tmp_path / "sweep", 3)
    put_status(manifest.folder / "0", "interrupted", config_hash="hash0")
    put_status(manifest.folder / "1", "failed", config_hash="")  # before it had an identity
    put_status(manifest.folder / "2", "finished", config_hash="beef")
    manifest.runs[2].action = Action.REUSE  # a run of another launch, which nobody writes to
    refuse_folders_of_others(manifest)


@pytest.mark.parametrize("deleted", [False, True])
def test_reused_runs_that_were_deleted_in_mlflow_are_sent_again(
    store: MlflowClient, folder: Path, deleted: bool
) -> None:
    cfg = tiny_config("tracking.experiment=tests")
    manifest = put_sweep(folder / "sweep", 2, uri="sqlite:///mlflow.db", launch_folder=str(folder))
    ids = []
    for run in manifest.runs:
        run.action = Action.REUSE
        put_run(manifest.folder_of(run), "finished", cfg=cfg)
        ids.append(send(manifest.folder_of(run), folder))
    if deleted:
        store.delete_run(ids[1])
    console = Console(file=io.StringIO(), width=120)
    send_reused_again(manifest, console)
    told = "1 reused run(s) had been deleted in MLflow: sent again, as new runs.\n"
    assert console.file.getvalue() == (told if deleted else "")  # type: ignore[attr-defined]
    now = [run.run_id for run in manifest.runs]
    assert now[0] == ids[0]
    assert (now[1] != ids[1]) == deleted
    assert store.get_run(now[1]).info.status == "FINISHED"
    assert store.get_run(now[1]).data.metrics["osgr_lhs"] == METRICS["osgr_lhs"]
