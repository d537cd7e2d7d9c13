"""Stores that die, hang, refuse or are crowded, and a disk that is full: no result is lost."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gsnr_sweep.records.checkpoint import Checkpoint
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.sent import SENT_FILE, is_sent, read_sent
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import read_status
from gsnr_sweep.tracking.exporter import Exporter
from tests.campaign import (
    ROOT,
    Server,
    Store,
    end,
    environment,
    kill_all,
    numbers_on_disk,
    run_folders,
    server,
    start_sweep,
    sync,
    wait_for,
)
from tests.conftest import TINY, Launched, launch, tiny_config
from tests.fakes import (
    gone_process,
    put_record,
)

pytestmark = pytest.mark.slow

# --- a server that dies and stays dead

GRID = ("-m", *TINY, "data=toy", "ch=2,3", "seed=0,1", "epochs=4000", "measure_at=[0,2000,4000]")


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def orphaned(tmp_path_factory: pytest.TempPathFactory, tracking: Server) -> Launched:
    """A sweep whose server dies when the first run has ended."""
    folder = tmp_path_factory.mktemp("orphaned")
    more = ("hydra.launcher.workers=1", f"tracking.uri={tracking.uri}")
    sweep = start_sweep(folder, *GRID, *more, "tracking.experiment=orphaned")

    def one_has_ended() -> bool:
        sent = {read_sent(path).state for path in run_folders(folder) if is_sent(path)}
        return sweep.poll() is not None or "finished" in sent

    try:
        wait_for("the first run's end", one_has_ended)
        tracking.kill()
        code = sweep.wait(300)
    finally:
        end(sweep)
        kill_all(folder)
    return Launched(code, (folder / "out.txt").read_text(), "", folder)


def _tracked(folder: Path) -> list[bool]:
    statuses = [read_status(path) for path in run_folders(folder)]
    assert [s.state for s in statuses if s is not None] == ["finished"] * 4
    return [is_sent(path) for path in run_folders(folder)]


def test_a_sweep_ends_well_although_its_server_died(orphaned: Launched) -> None:
    """All that was asked for is there, on disk: that is success."""
    assert orphaned.code == 0
    left = _tracked(orphaned.folder).count(False)
    assert 1 <= left <= 3
    for numbers in numbers_on_disk(orphaned.folder).values():
        assert [epoch for epoch, _ in numbers["osgr_lhs"]] == [0, 2000, 4000]
    (table,) = orphaned.folder.glob("multirun/*/*/table.csv")
    assert len(table.read_text().splitlines()) - 1 == 4 * 3
    out = " ".join(orphaned.out.split())
    assert f"{left} run(s) could not be sent to MLflow" in out
    assert "no server answers there" in out
    assert "when the store is back, send them: python -m gsnr_sweep sync " in out
    assert "Traceback" not in orphaned.out


def test_sync_sends_what_is_missing_and_doubles_nothing(
    orphaned: Launched, tracking: Server
) -> None:
    short = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    too_early = sync(orphaned.folder, **short)
    assert too_early.returncode == 1
    assert "no server answers there" in " ".join(too_early.stdout.split())
    assert "Traceback" not in too_early.stdout + too_early.stderr
    tracking.start()
    left = _tracked(orphaned.folder).count(False)
    first, second = sync(orphaned.folder), sync(orphaned.folder)
    assert (first.returncode, first.stderr) == (0, "")
    assert f"{left} of {left} runs sent" in first.stdout
    assert (second.returncode, second.stdout) == (0, "MLflow has everything that is on disk.\n")
    assert _tracked(orphaned.folder) == [True] * 4
    store = Store(tracking.uri, "orphaned")
    problems, values = store.problems(orphaned.folder, numbers_on_disk(orphaned.folder))
    assert problems == []  # nor is the sweep's own run open
    assert values > 4 * 3 * 15  # runs, epochs, metrics


def test_what_nobody_closed_does_not_keep_sync_from_the_rest(
    tracking: Server, orphaned: Launched, tmp_path: Path
) -> None:
    """After a power cut: one run says that it is running, one left no record, one is complete."""
    shutil.copytree(orphaned.folder, tmp_path / "copy")
    if not tracking.answers():
        tracking.start()
    lost, without, *_, complete = run_folders(tmp_path / "copy")
    for path in (lost, without, complete):
        status = json.loads((path / "status.json").read_text())
        (path / SENT_FILE).unlink()
        if path != complete:
            status |= {"state": "running", "process": gone_process()}
        (path / "status.json").write_text(json.dumps(status))
        record = RunRecord.read(path / "record.json")
        record.state = State.FINISHED if path == complete else State.RUNNING
        record.config["tracking"]["experiment"] = "cut"
        record.write(path)
    (without / "record.json").unlink()
    sent = sync(tmp_path / "copy")
    assert "Traceback" not in sent.stdout + sent.stderr
    store = Store(tracking.uri, "cut")
    states = {run.info.run_name: run.info.status for run in store.children}
    assert states[RunRecord.read(complete / "record.json").name] == "FINISHED"
    assert "RUNNING" not in states.values()


# --- servers that hang or refuse


@contextmanager
def _silent() -> Iterator[tuple[str, list[object]]]:
    """A listener that accepts every connection and never answers."""
    heard: list[object] = []
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:

        def accept() -> None:
            while True:
                try:
                    heard.append(listener.accept())
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@contextmanager
def _refusing(code: int) -> Iterator[tuple[str, list[object]]]:
    """A server that answers every request with an error and a page of HTML, as proxies do."""
    heard: list[object] = []

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            page = b"<html><body><h1>No.</h1></body></html>"
            self.send_response(code)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", heard
        made.shutdown()
        thread.join(10)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("listening", "told"),
    [
        (_silent, "no server answers there"),
        (lambda: _refusing(403), "403"),
        (lambda: _refusing(500), "500"),
    ],
    ids=["silent", "403", "500"],
)
def test_only_the_first_run_waits_for_an_answer(
    folder: Path, listening: Callable[..., Iterator[tuple[str, list[object]]]], told: str
) -> None:
    with listening() as (uri, heard):  # type: ignore[attr-defined]
        cfg = tiny_config("data=toy", f"tracking.uri={uri}")
        folders = [folder / str(index) for index in range(3)]
        for each in folders:
            put_record(each, cfg)
        assert Exporter(folder).send(folders[0]) != ""
        once = len(heard)
        left, problem = Exporter(folder).send_all(folders)
        assert left == 3
        assert told in problem
        assert "<html>" not in problem
        assert len(heard) == 2 * once > 0


def test_a_silent_server_is_told_before_anything_starts(tmp_path: Path) -> None:
    quick = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with _silent() as (uri, _):
        ended = launch(tmp_path, "-m", *TINY, "data=toy", f"tracking.uri={uri}", **quick)
    assert ended.code == 1
    assert ended.err.startswith(f"gsnr-sweep: The tracking store {uri} cannot be used (no server")
    assert len(ended.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# --- a full disk

GLUTTON = """
import time
from pathlib import Path

HERE = Path(__file__).parent


def gorge(snapshot):
    '''Fill the disk to its last byte at epoch 400, the first time.'''
    if snapshot.epoch == 400 and not (HERE / "been").exists():
        (HERE / "been").touch()
        with (HERE / "ballast").open("wb", buffering=0) as file:
            for size in (2**16, 1, 1, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    time.sleep(0.1)  # others may let go of something yet
    return {"mine": 1.0}
"""
HUNGRY = (
    *(*TINY, "data=toy", "tracking=none", "epochs=1000", "measure_at=[0,200,400,1000]"),
    *("checkpoint_minutes=0", "+measures.functions.mine=glutton.gorge"),
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB (a page takes six) with a measure that fills it."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    tried = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False)
    if not tried or tried.returncode:
        pytest.skip("a small disk cannot be mounted here: that takes a privileged user")
    try:
        (path / "glutton.py").write_text(GLUTTON)
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("many", [False, True], ids=["alone", "sweep"])
def test_a_full_disk_costs_no_more_than_the_steps_since_the_last_checkpoint(
    small_disk: Path, tmp_path: Path, many: bool
) -> None:
    command = ("-m", *HUNGRY, "ch=2,3", "hydra.launcher.workers=1") if many else HUNGRY
    full = launch(small_disk, *command)
    assert full.code == 1
    first, *rest = full.err.splitlines()
    assert first.startswith(f"gsnr-sweep: {small_disk}/")
    assert "cannot be written (No space left on device)" in first
    assert "free some space" in first
    assert rest == []
    (path,) = small_disk.rglob("checkpoint.safetensors")
    checkpoint = Checkpoint.read(path.parent)
    assert checkpoint is not None
    assert 400 <= checkpoint.epoch < 410  # a page that others let go of may last for some steps
    measured = [m.epoch for m in checkpoint.measurements]
    assert measured == [epoch for epoch in (0, 200, 400) if epoch < checkpoint.epoch]
    record = RunRecord.read(path.parent / "record.json")
    assert [m.epoch for m in record.measurements][: len(measured)] == measured
    (small_disk / "ballast").unlink()
    again = launch(small_disk, *command)
    assert (again.code, again.err) == (0, "")
    assert "checkpoint" in again.out
    statuses = [read_status(p.parent) for p in small_disk.rglob("status.json")]
    finished = [status for status in statuses if status is not None and status.state == "finished"]
    assert len(finished) == 1 + many
    assert checkpoint.epoch in [status.started_at for status in finished]
    (tmp_path / "plenty").mkdir()
    shutil.copy(small_disk / "glutton.py", tmp_path / "plenty")
    (tmp_path / "plenty" / "been").touch()
    plenty = launch(tmp_path / "plenty", *command)
    assert plenty.code == 0
    assert _finished(small_disk) == _finished(tmp_path / "plenty")


def _finished(folder: Path) -> dict[str, list[tuple[int, dict[str, float]]]]:
    records = [RunRecord.read(path) for path in folder.rglob("record.json")]
    return {
        record.name: [(m.epoch, m.metrics) for m in record.measurements]
        for record in records
        if record.state == "finished"
    }


# --- a crowded store

CROWD = """
import multiprocessing
import sys
from dataclasses import asdict
from pathlib import Path

from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking.exporter import Exporter
from tests.conftest import tiny_config

here, processes, runs = Path.cwd(), 16, 2
data = dict(name="digits", source="", train_size=3, train_sets=2, test_size=5)


def write(cfg, process: int, run: int) -> None:
    name = f"{process}-{run}"
    record = RunRecord(name, asdict(cfg), name, {}, started=name)
    exporter = Exporter(here)
    record.data = data | {"train_digest": name, "test_digest": f"test {name}"}
    (here / name).mkdir()
    for epoch in range(4):
        values = {f"m{i}": process + run / 10 + i / 1000 for i in range(25)}
        record.measurements.append(Measurement(epoch, values, time_ms=1000 + epoch))
        record.state = State.FINISHED if epoch == 3 else State.RUNNING
        record.write(here / name)
        problem = exporter.send(here / name)
        assert not problem, problem


def work(cfg, process: int) -> None:
    for run in range(runs):
        write(cfg, process, run)


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")  # nothing is forked that has threads
    slow = ["mlflow.store.tracking.sqlalchemy_store", "tests.conftest"]  # to import
    context.set_forkserver_preload(slow)
    cfg = tiny_config("tracking.experiment=crowd")
    children = [context.Process(target=work, args=(cfg, i)) for i in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    sys.exit(sum(child.exitcode != 0 for child in children))
"""


def test_sixteen_processes_write_to_one_store_at_once(folder: Path, store: MlflowClient) -> None:
    script = folder / "crowd.py"
    script.write_text(CROWD)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT), OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    found = store.get_experiment_by_name("crowd")
    assert found is not None
    runs = store.search_runs([found.experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(
        f"{process}-{run}" for process in range(16) for run in range(2)
    )
    for run in runs:
        process, _, number = run.info.run_name.partition("-")
        assert run.info.status == "FINISHED"
        assert len(run.inputs.dataset_inputs) == 2
        assert len(run.data.metrics) == 25
        for name, value in run.data.metrics.items():
            assert value == int(process) + int(number) / 10 + int(name[1:]) / 1000
        history = store.get_metric_history(run.info.run_id, "m24")
        assert [m.step for m in history] == [0, 1, 2, 3]
