"""What runs and jobs have printed, where it is of interest."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gsnr_sweep.cli.commands.logs import show_logs
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest, SweepJob
from tests.fakes import put_claim, put_run, put_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Manifest:
    """One run is well, one has failed, one was killed, one never began; two jobs."""
    manifest = put_sweep(tmp_path / "sweep", 4)
    manifest.jobs = [SweepJob("j0", [0, 1]), SweepJob("j1", [2, 3])]
    for index, (state, job) in enumerate((("finished", "j0"), ("failed", "j0"), ("killed", "j1"))):
        put_run(manifest.folder / str(index), state, job=job, message=f"why {state}")
        lines = [f"line {i} of run {index}" for i in range(30)]
        (manifest.folder / str(index) / "run.log").write_text("\n".join(lines) + "\n\n")
    jobs = manifest.folder / "jobs"
    jobs.mkdir()
    for job in ("j0", "j1"):
        (jobs / f"{job}_0_log.out").write_text(f"out of {job}\n")
        (jobs / f"{job}_0_log.err").write_text("")
    (jobs / "j1_0_log.err").write_text("Killed [1]\n")
    return manifest


def _shown(manifest: Manifest, *wanted: str, lines: int = 20) -> str:
    console = Console(file=io.StringIO(), width=100)
    show_logs(manifest, console, wanted, lines)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_those_that_did_not_end_well(sweep: Manifest) -> None:
    out = _shown(sweep)
    assert "1  run 1: failed\n  why failed\n" in out
    assert "2  run 2: killed\n  why killed\n" in out
    assert "run 0" not in out
    assert "run 3" not in out


def test_the_end_of_each_log_and_where_it_is(sweep: Manifest) -> None:
    out = _shown(sweep, lines=3)
    assert str(sweep.folder / "1" / "run.log") in out.replace("\n", "")
    assert out.count("of run 1") == 3
    assert "    | line 29 of run 1\n" in out
    assert "line 26 of run 1" not in out


def test_logs_of_the_job_that_was_at_it(sweep: Manifest) -> None:
    out = _shown(sweep, "2")
    assert "    | Killed [1]\n" in out
    assert out.index("Killed [1]") < out.index("out of j1")  # errors first
    assert "out of j0" not in out


@pytest.mark.parametrize("wanted", ["0", "run 0"])
def test_a_run_by_its_number_or_name(sweep: Manifest, wanted: str) -> None:
    out = _shown(sweep, wanted)
    assert out.startswith("0  run 0: finished\n")
    assert "line 29 of run 0" in out
    assert "of run 1" not in out


def test_several_runs(sweep: Manifest) -> None:
    out = _shown(sweep, "2", "0")
    assert out.index("run 2: killed") < out.index("run 0: finished")


def test_a_run_that_never_began_has_its_jobs_logs(sweep: Manifest) -> None:
    out = _shown(sweep, "3")
    assert out.startswith("3  run 3: waiting\n")
    assert "Killed [1]" in out


def test_a_run_that_was_begun_by_a_job_that_nobody_knows(sweep: Manifest) -> None:
    put_claim(sweep.folder / "3", job="by hand")
    assert "Killed [1]" not in _shown(sweep, "3")


def test_nothing_to_complain_about(sweep: Manifest) -> None:
    for run in sweep.runs:
        put_run(sweep.folder_of(run), "finished")
    out = _shown(sweep)
    assert out.startswith("No run has failed or was stopped.")
    assert "out of j0" in out


@pytest.mark.parametrize("wanted", ["7", "run 7", "", "-1"])
def test_a_run_that_does_not_exist(sweep: Manifest, wanted: str) -> None:
    with pytest.raises(GsnrError, match=r"has no run .*There are: 0 to 3, .*'run 0'"):
        _shown(sweep, wanted)


def test_logs_that_are_gone(sweep: Manifest) -> None:
    (sweep.folder / "1" / "run.log").unlink()
    assert _shown(sweep, "1").startswith("1  run 1: failed\n")
