"""`run` and `sweep` do what the command line does, and leave this process as it was."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pytest

import gsnr_sweep
from gsnr_sweep.records.state import State
from tests.conftest import launch_here
from tests.from_python.conftest import SETTINGS, process_state, working_in

Launched = tuple[Path, Path]
T = TypeVar("T")


def test_the_numbers_are_those_of_the_command_line(launched: Launched, tmp_path: Path) -> None:
    given = [f"{key}={value}" for key, value in SETTINGS.items()]
    assert launch_here(tmp_path, "-m", "n=30,40", *given, "tracking=none").code == 0
    (path,) = tmp_path.glob("multirun/*/*/table.parquet")
    ours = gsnr_sweep.load(launched[1]).table
    pd.testing.assert_frame_equal(
        ours.drop(columns="run_id"), pd.read_parquet(path).drop(columns="run_id")
    )


def test_the_folder_is_that_of_the_command_line(launched: Launched) -> None:
    folder, sweep = launched
    assert sweep.parent.parent == folder / "multirun"
    assert {"table.csv", "lhs_rhs.png", "report.html", "0", "1"} <= {
        p.name for p in sweep.iterdir()
    }
    assert (folder / "mlflow.db").is_file()


def test_a_second_call_reuses_and_this_process_stays_as_it_was(
    here: Path, launched: Launched, capfd: pytest.CaptureFixture[str]
) -> None:
    before = process_state()
    again = gsnr_sweep.sweep("n=30,40", **SETTINGS)
    alone = gsnr_sweep.run(n=40, **SETTINGS)
    assert process_state() == before
    assert capfd.readouterr() == ("", "")
    first = gsnr_sweep.load(launched[1])
    assert again.folder != first.folder
    assert again.runs == first.runs  # the very records, times included
    assert alone == first.runs[1]


def test_progress_is_what_the_command_line_prints(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a notebook's kernel
    gsnr_sweep.run(n=30, progress=True, **SETTINGS)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "plan: 1 run" in out
    assert "Reused; rerun=true runs it again." in out


def test_a_call_in_another_thread(here: Path, launched: Launched) -> None:
    """As in a notebook's kernel, where signals are the main thread's."""
    found = []
    call = threading.Thread(target=lambda: found.append(gsnr_sweep.run(n=30, **SETTINGS)))
    call.start()
    call.join()
    assert found == [gsnr_sweep.load(launched[1]).runs[0]]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["nn=3"], "There is no key 'nn'. Did you mean n?"),
        (["n=-3"], "n=-3: size of each training set must be at least 2."),
        (["n=1,2"], "n=1,2: several values make a sweep; add -m (gsnr-sweep -m …; in Python call"),
        (["--help"], "--help: an option that only prints something has no result."),
        (["--nonsense"], "There is no option --nonsense."),
        (["hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN makes a sweep: call gsnr_sweep.sweep."),
        (["data=toy", "model=mlp", "dry_run=true"], "dry_run=true only shows the plan"),
    ],
)
def test_mistakes_are_one_paragraph_and_nothing_is_written(
    tmp_path: Path, overrides: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with working_in(tmp_path):
        before = process_state()
        with pytest.raises(gsnr_sweep.GsnrError) as raised:
            gsnr_sweep.run(*overrides)
        assert process_state() == before
    assert str(raised.value).startswith(told)
    assert "Traceback" not in str(raised.value)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_with_failed_runs_says_how_to_load_the_others(tmp_path: Path) -> None:
    settings = {**SETTINGS, "measure_at": [[2]], "tracking": "none"}
    with working_in(tmp_path), pytest.raises(gsnr_sweep.GsnrError) as raised:
        gsnr_sweep.sweep(lr=[1e12, 0.001], n=30, **settings)
    told = str(raised.value)
    assert told.startswith("1 of 2 runs failed; the others are complete.")
    assert "Training diverged" in told
    (folder,) = tmp_path.glob("multirun/*/*")
    assert told.endswith(f"gsnr_sweep.load({str(folder)!r}).")
    found = gsnr_sweep.load(folder)
    assert [run.config["lr"] for run in found.runs] == [0.001]
    assert [one.reason for one in found.left_out] == ["diverged after 1 measured epoch"]


def test_code_that_ends_its_process_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "fatal.py").write_text("import os\nos._exit(3)\n")
    with working_in(tmp_path), pytest.raises(gsnr_sweep.GsnrError) as raised:
        gsnr_sweep.run("model=custom", "model._target_=fatal.Net")
    assert "model._target_=fatal.Net" in str(raised.value)
    assert "it ended the whole process (exit code 3)" in str(raised.value)


@pytest.mark.slow
def test_ctrl_c_closes_the_launch_and_the_same_call_goes_on(tmp_path: Path) -> None:
    long = {**SETTINGS, "epochs": 3_000_000, "measure_at": [[0, 2]], "tracking": "none"}
    with working_in(tmp_path):
        before = process_state()

        def interrupt() -> None:
            _awaited(lambda: list(tmp_path.glob("multirun/*/*/*/record.json")))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt) as raised:
            gsnr_sweep.sweep(n=[30], **long)
        assert process_state() == before
    (note,) = raised.value.__notes__
    assert note.startswith("Stopped with 0 of 1 runs complete.")
    (folder,) = tmp_path.glob("multirun/*/*")
    record = gsnr_sweep.load(folder / "0")
    assert record.state == State.INTERRUPTED
    assert (folder / "0" / "checkpoint.safetensors").is_file()


@pytest.mark.slow
def test_a_launch_stops_when_its_caller_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent is gone")
    long = {**SETTINGS, "epochs": 3_000_000, "measure_at": [[0, 2]], "tracking": "none"}
    script = f"import gsnr_sweep; gsnr_sweep.sweep(n=[30], **{long!r})"
    with working_in(tmp_path):
        caller = subprocess.Popen([sys.executable, "-c", script])
    record = _awaited(lambda: next(tmp_path.glob("multirun/*/*/0/record.json"), None))
    caller.kill()
    caller.wait()
    _awaited(lambda: gsnr_sweep.load(record).state == State.INTERRUPTED)
    assert (record.parent / "checkpoint.safetensors").is_file()


def _awaited(look: Callable[[], T]) -> T:
    """Return what comes, at the latest after some minutes."""
    for _ in range(1200):
        if found := look():
            return found
        time.sleep(0.1)
    pytest.fail("waited in vain")
