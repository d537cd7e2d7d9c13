"""Text for a terminal, and outputs that are gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gsnr_sweep.cli.standard_streams import paragraph
from gsnr_sweep.launcher.launch import _heeding_interrupts, _stop
from tests.conftest import ROOT

_PRINTS = """
from gsnr_sweep.cli.standard_streams import prepare_output
prepare_output()
print("∈ é" * 10000, flush=True)
print("later")
import sys
print("told", file=sys.stderr)
"""


def test_a_message_is_text_and_no_more() -> None:
    assert paragraph("a\x1b[31mb\x07 é ∈\nline") == "a[31mb é ∈\nline"
    assert len(paragraph("x" * 10**6 + " and y")) < 200
    assert paragraph("x" * 10**6 + " and y").endswith(" and y")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_takes_any_text(encoding: str) -> None:
    done = _printed(stdout=subprocess.PIPE, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"told\n")
    assert done.stdout.endswith(b"later\n")


def test_work_goes_on_if_the_output_is_full() -> None:
    with Path("/dev/full").open("wb") as full:
        done = _printed(stdout=full)
    assert (done.returncode, done.stderr) == (0, b"told\n")


def test_work_goes_on_if_nobody_reads_the_output() -> None:
    read, write = os.pipe()
    os.close(read)
    done = _printed(stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"told\n")


def _printed(encoding: str = "utf-8", **outputs: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", _PRINTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        stderr=subprocess.PIPE,
        check=False,
        **outputs,
    )


_WORKS = """
import os, signal, sys
from gsnr_sweep.cli.interrupts import closing_at_ctrl_c, heeding_ctrl_c
with heeding_ctrl_c():
    if sys.argv[1] == "late":
        closing_at_ctrl_c()
    try:
        for _ in range(int(sys.argv[2])):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        print("closed")
"""


@pytest.mark.parametrize(("moment", "closed"), [("early", b""), ("late", b"closed\n")])
@pytest.mark.parametrize("times", ["1", "6"])
def test_ctrl_c_ends_without_a_traceback(moment: str, closed: bytes, times: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WORKS, moment, times], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, closed)
    assert done.stderr == b"\ngsnr-sweep: stopped.\n"


class _Monitor:
    """A monitor whose user is impatient while it stops."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.killed = False

    def stop(self, *_: object) -> None:
        for _ in range(self.times):
            os.kill(os.getpid(), signal.SIGINT)

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        self.killed = True


class _Progress:
    look = None

    def say(self, _: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)  # at once again


@pytest.mark.parametrize("times", [0, 1, 6])
def test_a_sweep_is_closed_however_often_it_is_interrupted(times: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    monitor = _Monitor(times)
    try:
        with _heeding_interrupts() as interrupts:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            _stop(monitor, _Progress(), interrupts)  # type: ignore[arg-type]
            os.kill(os.getpid(), signal.SIGINT)  # while the results are gathered
        assert monitor.killed
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
