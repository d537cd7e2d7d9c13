"""What is refused, and what is written down, before a sweep's first job."""

from pathlib import Path

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.prepare import refuse_folders_of_others
from gsnr_sweep.records.state import Action
from tests.fakes import listing, put_status, put_sweep


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
