"""Sweeps in which something breaks: the rest goes on, and what broke is told."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from gsnr_sweep.records.checkpoint import has_checkpoint
from gsnr_sweep.records.leases import last_lease
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.status import Status, read_status
from tests.campaign import kill_all
from tests.conftest import ROOT, TINY, Launched, launch

pytestmark = pytest.mark.slow

FRAGILE = """
import os
import signal
import sys

from torch import nn


class Fragile(nn.Module):
    '''Passes every check on a few samples; breaks in training, each width in its own way.'''

    def __init__(self, ch, n_outputs):
        super().__init__()
        self.ch = ch
        self.fc = nn.Linear(784, n_outputs)

    def forward(self, x):
        outputs = self.fc(x.flatten(1))
        if len(x) > 3:
            if self.ch == 3:
                raise KeyError("colour")
            if self.ch == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.ch == 5:
                sys.exit("that is enough")
            if self.ch == 6:
                return outputs / 0
        return outputs
"""
WIDTHS = range(2, 8)
LOGGED = "      | "
FINE = (2, 7)


def _name(ch: int) -> str:
    return f"n=30 ch={ch} p=0.0"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Launched:
    """Six runs in two workers, of which only the first and the last are well."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copy(migrated_store, folder / "mlflow.db")
    (folder / "fragile.py").write_text(FRAGILE)
    custom = ("model=custom", "model._target_=fragile.Fragile")
    widths = "ch=" + ",".join(map(str, WIDTHS))
    return launch(folder, "-m", *TINY, *custom, widths, "hydra.launcher.workers=2")


def _sweep_folder(ended: Launched) -> Path:
    (folder,) = ended.folder.glob("multirun/*/*")
    return folder


def _runs(folder: Path) -> dict[str, Run]:
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    ids = [e.experiment_id for e in client.search_experiments()]
    return {run.info.run_name: run for run in client.search_runs(ids)}


def test_failed_runs_are_listed_and_the_exit_code_is_1(broken: Launched) -> None:
    assert broken.code == 1
    first, *lines = [line for line in broken.err.splitlines() if not line.startswith(LOGGED)]
    assert "Traceback" not in "\n".join(lines)
    assert first == (
        "gsnr-sweep: 4 of 6 runs failed; the others are complete. "
        "The same command tries again what failed."
    )
    told = {line.strip().partition(": ")[0]: line for line in lines}
    assert list(told) == [_name(ch) for ch in (3, 4, 5, 6)]
    assert "KeyError: 'colour'" in told[_name(3)]
    assert "its process died; was memory short?" in told[_name(4)]
    assert "SystemExit 'that is enough', fragile.py line 25" in told[_name(5)]
    assert "Training diverged" in told[_name(6)]
    assert "HYDRA_FULL_ERROR" not in broken.err


def test_the_logs_that_are_named_exist_and_say_more(broken: Launched) -> None:
    lines = [line for line in broken.err.splitlines()[1:] if not line.startswith(LOGGED)]
    assert len(lines) == 4
    for line in lines:
        log = broken.folder / line.rpartition("(log: ")[2].rstrip(")")
        assert log.is_file(), line
    assert 'raise KeyError("colour")' in (_sweep_folder(broken) / "1" / "run.log").read_text()


def test_the_end_of_a_log_is_shown_below_its_run(broken: Launched) -> None:
    below: dict[str, list[str]] = {}
    for line in broken.err.splitlines()[1:]:
        if line.startswith(LOGGED):
            below[next(reversed(below))].append(line.removeprefix(LOGGED))
        else:
            below[line.strip().partition(": ")[0]] = []
    assert below[_name(3)][-2:] == ['    raise KeyError("colour")', "KeyError: 'colour'"]
    assert below[_name(5)][-1] == "SystemExit: that is enough"
    assert "Training diverged" in below[_name(6)][-1]
    assert max(map(len, below.values())) <= 6


def test_a_run_whose_process_dies_is_tried_again_others_are_not(broken: Launched) -> None:
    folders = [_sweep_folder(broken) / str(index) for index in range(len(WIDTHS))]
    leases = {ch: last_lease(folder) for ch, folder in zip(WIDTHS, folders, strict=True)}
    attempts = {ch: lease.number for ch, lease in leases.items() if lease}
    assert attempts == {2: 1, 3: 1, 4: 3, 5: 1, 6: 1, 7: 1}  # max_retries=2


def test_every_run_has_its_line_as_it_ends(broken: Launched) -> None:
    out = " ".join(broken.out.split())
    assert "[6/6]" in out
    for ch in WIDTHS:
        assert (f"{_name(ch)} FAILED: " in out) == (ch not in FINE)


def test_the_other_runs_are_complete(broken: Launched) -> None:
    for index, ch in enumerate(WIDTHS):
        record = RunRecord.read(_sweep_folder(broken) / str(index) / "record.json")
        if ch in FINE:
            assert record.state == "finished"
            assert [m.epoch for m in record.measurements] == [0, 2]
        else:
            assert record.state != "finished"
    assert (_sweep_folder(broken) / "table.csv").is_file()


def test_no_run_is_left_open_in_mlflow(broken: Launched) -> None:
    runs = _runs(broken.folder)
    (parent,) = [run for run in runs.values() if run.data.tags["gsnr.kind"] == "sweep"]
    assert parent.info.status == "FAILED"
    expected = dict.fromkeys(map(_name, FINE), "FINISHED") | {_name(4): "KILLED"}
    expected |= dict.fromkeys(map(_name, (3, 5, 6)), "FAILED")
    assert {name: run.info.status for name, run in runs.items() if run is not parent} == expected
    assert runs[_name(6)].data.tags["gsnr.state"] == "diverged"


def _wait_for(condition: str, found: object, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited in vain for {condition}"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Started in the background, a shell lets its children ignore SIGINT; undo that for ours."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_interrupts")
def test_a_sweep_that_is_interrupted_closes_its_runs(tmp_path: Path, migrated_store: Path) -> None:
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    endless = (*TINY, "data=toy", "epochs=100000000", "measure_at=[0]", "ch=2,3,4")
    launched = subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), "-m", *endless, "hydra.launcher.workers=2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def statuses(state: str) -> list[Status]:
        found = [
            read_status(path.parent) for path in tmp_path.glob("multirun/*/*/[0-9]*/status.json")
        ]
        return [status for status in found if status is not None and status.state == state]

    try:
        _wait_for("two runs in training", lambda: len(statuses("running")) == 2)
        workers = [status.pid for status in statuses("running")]
        launched.send_signal(signal.SIGINT)
        _, err = launched.communicate(timeout=1800)
        _wait_for("the workers' end", lambda: not any(map(_alive, workers)))
    finally:
        launched.kill()
        kill_all(tmp_path)  # leave no endless run behind, in whatever state
    assert launched.returncode == 1
    assert err.startswith("gsnr-sweep: Stopped with 0 of 3 runs complete.")
    assert "The same command goes on from here" in err
    assert "Traceback" not in err
    stopped = statuses("interrupted")
    assert len(stopped) == 2
    folders = [path.parent for path in tmp_path.glob("multirun/*/*/[0-9]*/status.json")]
    assert all(map(has_checkpoint, folders))
    assert all(status.message.startswith("Stopped at epoch ") for status in stopped)
    runs = _runs(tmp_path).values()
    assert sorted(run.info.status for run in runs) == ["KILLED"] * 3
    states = [run.data.tags["gsnr.state"] for run in runs if "gsnr.state" in run.data.tags]
    assert states == ["interrupted"] * 2


VANDAL = """
from pathlib import Path


def vandalize(snapshot):
    if snapshot.n < 30:  # it is tried before the launch
        return {"mine": 1.0}
    for file in Path.cwd().glob("mlflow.db*"):
        file.write_bytes(b"garbage" * 1000)
    return {"mine": 1.0}
"""


def test_a_sweep_outlives_its_store(tmp_path: Path, migrated_store: Path) -> None:
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    (tmp_path / "vandal.py").write_text(VANDAL)
    measure = "+measures.functions.mine=vandal.vandalize"
    ended = launch(tmp_path, "-m", *TINY, "data=toy", "ch=2,3", measure)
    assert ended.code == 0
    out = " ".join(ended.out.split())
    assert "2 run(s) could not be sent to MLflow" in out
    assert "Their records are in multirun/" in out
    assert "python -m gsnr_sweep sync " in out
    assert "Not sent to MLflow: The tracking store sqlite:" in out
    rows = (_sweep_folder(ended) / "table.csv").read_text().splitlines()
    assert len(rows) - 1 == 2 * 2  # aggregated from disk
    assert "SELECT" not in out + ended.err
    assert "Traceback" not in out + ended.err
    for index in (0, 1):
        record = RunRecord.read(_sweep_folder(ended) / str(index) / "record.json")
        assert record.state == "finished"
        assert [m.metrics["mine"] for m in record.measurements] == [1.0, 1.0]


def test_a_run_alone_that_diverges_says_so_in_a_paragraph(tmp_path: Path) -> None:
    ended = launch(tmp_path, *TINY, "data=toy", "lr=1e30", "tracking=none")
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("gsnr-sweep: Training diverged: ")
    path = Path(line.rpartition("Measured so far: ")[2])
    record = RunRecord.read(path)
    assert record.state == "diverged"
    assert not has_checkpoint(path.parent)
    assert "osgr_lhs" in record.measurements[-1].nonfinite
