"""The process that waits for the one in which code of the user's is called."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import ROOT, launch

SCRIPT = """
import ctypes, os, signal, sys, threading, time
from gsnr_sweep.cli.guard import go_on_guarded
from gsnr_sweep.user_code import call
{before}
go_on_guarded()
{after}
"""


def started(after: str, before: str = "") -> subprocess.Popen[str]:
    script = SCRIPT.format(before=before, after=after)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=pipe, stderr=pipe, text=True
    )


def ended(after: str, before: str = "") -> tuple[int, str, str]:
    process = started(after, before)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("work", "how"),
    [
        ("os._exit(0)", "exit code 0"),
        ("os._exit(3)", "exit code 3"),
        ("ctypes.string_at(0)", "signal SIGSEGV"),
        ("os.abort()", "signal SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal SIGKILL"),
    ],
)
def test_what_ended_the_process_is_named(work: str, how: str) -> None:
    code, out, err = ended(f"call('model._target_=a.B', lambda: {work})")
    assert (code, out) == (1, "")
    assert err.startswith(
        f"gsnr-sweep: model._target_=a.B: it ended the whole process ({how}), as os._exit,"
    )
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("sys.exit(5)", 5),
        ("os._exit(0)", 0),  # no code of the user's was at work
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("call('key=value', os._exit, 130)", 130),  # as Ctrl-C ends it at once
        ("call('key=value', os.kill, os.getpid(), signal.SIGTERM)", 128 + 15),
    ],
)
def test_other_ends_are_passed_on(work: str, code: int) -> None:
    assert ended(work) == (code, "", "")


def test_a_process_with_threads_goes_on_alone() -> None:
    waits = "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); me = os.getpid()"
    assert ended("print(os.getpid() == me)", waits) == (0, "True\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_process_that_works(number: signal.Signals) -> None:
    process = started(
        f"signal.signal({number:d}, lambda *_: os._exit(130)); print('ready', flush=True)\n"
        "call('key=value', time.sleep, 600)"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_a_process_that_is_stopped_goes_on() -> None:
    process = started("print(os.getpid(), flush=True); time.sleep(0.2); sys.exit(5)")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    for number in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(child, number)
    process.communicate(timeout=60)
    assert process.returncode == 5


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends a child with its parent")
def test_nothing_is_left_behind() -> None:
    """The pipe is closed once both processes are gone."""
    process = started("print('ready', flush=True); call('key=value', time.sleep, 600)")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    assert process.stdout.read() == ""


TOY = ("data=toy", "n=20", "n_sets=2", "n_test=20", "epochs=1", "measure_at=[1]")


def test_a_launch_says_which_code_ended_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\n\n\ndef measure(snapshot):\n    os._exit(0)\n")
    measure = "measures.functions.mine=mine.measure"
    done = launch(tmp_path, *TOY, "model=mlp", f"+{measure}")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"gsnr-sweep: {measure}: it ended the whole process (exit code 0)")
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.py", "__pycache__"}


def test_a_command_says_which_code_ended_it(tmp_path: Path) -> None:
    lines = [
        *("import os", "from torch import nn", "", "", "class Net(nn.Linear):"),
        *("    def __init__(self):", "        os._exit(0)"),
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    save_file({"weight": torch.zeros(1, 2)}, tmp_path / "a.safetensors")
    command = [sys.executable, "-m", "gsnr_sweep", "measure", "--model", "mine.Net"]
    given = ["--weights", "a.safetensors", "data=toy", "n=20", "n_test=20"]
    done = subprocess.run(
        [*command, *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gsnr-sweep: model._target_=mine.Net: it ended the whole process")
