"""``dry_run=true`` tells what would happen, and nothing happens."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.cli import launch as cli
from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.config.schema import Config
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.launcher.dry_run import show_dry_run
from gsnr_sweep.preflight.check import check
from tests.conftest import CONF, ROOT, TINY, expanded
from tests.fakes import listing, put_run

SMALL = (*TINY, "data=toy", "model=mlp", "dry_run=true", "tracking.experiment=tests")
Show = Callable[..., str]


@pytest.fixture
def show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Dry runs in an empty folder, as text without line breaks within cells."""
    # what timing gives is none of these tests' business
    monkeypatch.setattr("gsnr_sweep.preflight.timing.TRIAL_FLOPS", 0.0)

    def dry(*overrides: str) -> str:
        grid = expanded(*SMALL, *overrides)
        console = Console(file=io.StringIO(), width=200)
        sweep_dir = folder / (grid.sweep_dir or "outputs/dry/run")
        show_dry_run(check(grid.points), grid.launcher, folder, sweep_dir, console)
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    return dry


def _line(out: str, start: str) -> str:
    (line,) = [line for line in out.splitlines() if line.strip().startswith(start)]
    return line


def _cfg(*overrides: str) -> Config:
    (point,) = expanded(*SMALL, *overrides).points
    assert point.cfg is not None
    return point.cfg


def test_a_grid_is_shown_point_by_point(show: Show, folder: Path) -> None:
    out = show("-m", "ch=2,3", "seed=0,1", "hydra.launcher.workers=2")
    assert "plan: 4 runs" in out
    for label in ("ch=2 seed=0", "ch=2 seed=1", "ch=3 seed=0", "ch=3 seed=1"):
        assert _line(out, label).split()[2] == "run"
    assert "2 processes of 1 thread on this machine" in out
    assert "dry_run=true: nothing was launched, nothing was written." in out
    assert listing(folder) == {}


def test_a_single_run(show: Show, folder: Path) -> None:
    out = show("ch=2")
    assert "plan: 1 run" in out
    assert "1 process of 1 thread" in out
    assert listing(folder) == {}


def test_what_earlier_launches_have_done_is_shown(show: Show, folder: Path) -> None:
    day = folder / "multirun" / "2026-11-20" / "23-15-00.0"
    put_run(day / "0", "finished", cfg=_cfg("ch=2"))
    put_run(day / "1", "interrupted", cfg=_cfg("ch=3"), checkpoint=True, epoch=1, epochs=2)
    put_run(day / "2", "running", cfg=_cfg("ch=4"))
    put_run(day / "3", "failed", cfg=_cfg("ch=5"))
    put_run(day / "4", "finished", cfg=_cfg("ch=6"), code="0.0.1+old")
    before = listing(folder)
    out = show("-m", "ch=2,3,4,5,6,7,7")
    assert "reused" in _line(out, "ch=2")
    assert "resume" in _line(out, "ch=3")
    assert "epoch 1 of 2" in _line(out, "ch=3")
    assert "elsewhere" in _line(out, "ch=4")
    assert "starts anew" in _line(out, "ch=5")
    assert "another version of the code" in _line(out, "ch=6")
    first, second = [line for line in out.splitlines() if line.strip().startswith("ch=7")]
    assert first.split()[1] == "run"
    assert "twice" in second
    assert "2 finished before (1 by another version of the code" in out
    assert "1 under way in another launch, 1 asked for twice, 1 resumed" in out
    assert listing(folder) == before


def test_same_code_and_rerun_are_heeded(show: Show, folder: Path) -> None:
    day = folder / "multirun" / "2026-11-20" / "23-15-00.0"
    put_run(day / "0", "finished", cfg=_cfg("ch=2"), code="0.0.1+old")
    put_run(day / "1", "finished", cfg=_cfg("ch=3"))
    out = show("-m", "ch=2,3", "same_code=true")
    assert _line(out, "ch=2").split()[1] == "run"
    assert "reused" in _line(out, "ch=3")
    out = show("-m", "ch=2,3", "rerun=true")
    assert {_line(out, f"ch={ch}").split()[1] for ch in (2, 3)} == {"run"}


def test_nothing_is_left_to_do(show: Show, folder: Path) -> None:
    put_run(folder / "outputs" / "2026-11-20" / "23-15-00.0", "finished", cfg=_cfg("ch=2"))
    out = show("-m", "ch=2")
    assert "reused" in _line(out, "n=30 ch=2")
    assert "0 of 1 grid point" in out


def test_a_cluster_is_asked_for_nothing(
    show: Show, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a dry run submits nothing")

    monkeypatch.setattr("gsnr_sweep.launcher.backends.slurm.SlurmBackend.submit", refuse)
    out = show("-m", "ch=2,3,4", "hydra/launcher=slurm", "hydra.launcher.runs_per_job=2")
    assert "2 jobs of 1 process of 1 thread on SLURM" in out
    assert sorted(_line(out, f"ch={ch}").split()[-1] for ch in (2, 3, 4)) in (
        ["1", "1", "2"],
        ["1", "2", "2"],
    )
    assert listing(folder) == {}


def test_a_store_that_is_there_stays_as_it_is(
    store: MlflowClient, show: Show, folder: Path
) -> None:
    """It is read, for runs of other machines, and nothing is added, no experiment either."""
    experiments = len(store.search_experiments())
    before = {name: size for name, (size, _) in listing(folder).items()}
    show("-m", "ch=2,3")
    assert {name: size for name, (size, _) in listing(folder).items()} == before
    assert len(store.search_experiments()) == experiments


# --- as a user sees it


HEAVY = {"mlflow", "sqlalchemy", "sklearn", "pandas", "scipy", "torch._dynamo", "torch._inductor"}
if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 13):
    HEAVY.add("sympy")  # older ones (2.10 at least) import it themselves, to reason about shapes
SCRIPT = f"""
import runpy, sys
sys.argv = ["launch.py", *sys.argv[1:]]
sys.path.insert(0, {str(ROOT)!r})
try:
    runpy.run_path({str(ROOT / "launch.py")!r}, run_name="__main__")
finally:
    print("HEAVY", sorted({HEAVY} & set(sys.modules)))
"""


def _in_a_process(*arguments: str) -> str:
    """What a dry run prints, at the end which of the modules it has loaded that take long."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_nothing_is_imported_in_vain(folder: Path) -> None:
    """Each would take a second: MLflow, PyTorch's compiler for widths, SciPy's statistics."""
    out = _in_a_process("-m", "n=100,200", "ch=2,3", "dry_run=true")
    assert "by a short timing here" in out
    assert out.splitlines()[-1] == "HEAVY []"
    assert listing(folder) == {}


def test_a_store_in_a_file_is_read(store: MlflowClient, folder: Path) -> None:
    """Without importing MLflow for it."""
    (key,) = {run_identity(_cfg("ch=2"))}
    tags = {"gsnr.kind": "run", "gsnr.state": "finished", "gsnr.config_hash": key}
    store.create_run(store.create_experiment("tests"), tags=tags)
    out = _in_a_process("-m", *SMALL, "ch=2,3")
    assert "reused (finished" in _line(out, "ch=2")
    assert _line(out, "ch=3").split()[1] == "run"
    assert out.splitlines()[-1] == "HEAVY []"


def test_a_store_that_cannot_be_read_adds_nothing(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"no database at all")
    out = _in_a_process("-m", *SMALL, "ch=2,3")
    assert _line(out, "ch=2").split()[1] == "run"


def test_other_launchers_are_not_known(show: Show) -> None:
    with pytest.raises(GsnrError, match=r"knows the launchers local and slurm.*BasicLauncher"):
        show("-m", "ch=2,3", "hydra/launcher=basic")


@pytest.mark.parametrize("arguments", [("-m", "ch=2,3"), ("ch=2",)], ids=["sweep", "single"])
def test_the_command_line_ends_there(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    """Hydra is not called, no store is opened, no data are fetched, no file is made."""
    monkeypatch.setattr("gsnr_sweep.preflight.timing.TRIAL_FLOPS", 0.0)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dry run does none of this")

    monkeypatch.setattr(cli, "_hand_to_hydra", refuse)
    monkeypatch.setattr("gsnr_sweep.tracking.store.open_store", refuse)
    monkeypatch.setattr("gsnr_sweep.preflight.check.prepare", refuse)
    cli.main(CONF, [*SMALL, *arguments])
    assert "nothing was launched, nothing was written" in capsys.readouterr().out
    assert listing(folder) == {}


@pytest.mark.parametrize("key", ["dry_run", "rerun", "same_code"])
def test_a_launch_is_dry_or_not(folder: Path, key: str) -> None:
    with pytest.raises(SystemExit) as refusal:
        cli.main(CONF, [*TINY, "-m", f"{key}=true,false"])
    assert f"{key} holds for a whole launch" in str(refusal.value)
    assert listing(folder) == {}
