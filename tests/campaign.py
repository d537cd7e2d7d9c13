"""A fault campaign: one sweep under fire, one left in peace, and nothing may differ.

``python -m tests.campaign --runs 24 --kills 20 --outage 60`` launches a sweep that reports to a
real MLflow server, kills worker processes at random moments, stops the server for a while in the
middle, and then compares table and store with those of the same grid undisturbed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from gsnr_sweep.records.leases import last_lease  # noqa: E402
from gsnr_sweep.records.record import RunRecord  # noqa: E402
from gsnr_sweep.records.sent import is_sent, read_sent  # noqa: E402
from gsnr_sweep.records.status import Status, read_status  # noqa: E402

EXPERIMENT = "campaign"
NAP = """
import os
import time
from pathlib import Path

HOLD = Path(__file__).with_name("hold")


def nap(snapshot):
    time.sleep(float(os.environ.get("NAP", "0")))
    while HOLD.exists():
        time.sleep(0.05)
    return {"nap": 0.0}
"""
"""A measure that makes runs last, and keeps the last ones waiting while there is more to come."""
IDENTITY = ("run_id",)
"""Columns of the table that say which run it was, not what came out."""
_WITHIN = 180.0
Numbers = dict[str, dict[str, list[tuple[int, float]]]]


@dataclass(frozen=True)
class Options:
    """What a campaign does.

    Attributes:
        folder: Where everything happens.
        runs: Grid points, an even number.
        kills: Worker processes to kill.
        outage: Seconds without a server, 0 for none.
        seed: Of the random moments.
        workers: Processes side by side.
        epochs: Steps of a run.
        nap: Seconds that a disturbed run sleeps at each measurement, so that it takes a while
            whatever the machine.
        pause: Mean number of seconds between two kills.
        tracked_reference: Whether the undisturbed sweep has a store, too, to be compared.
        seconds: Longest time for a sweep.
    """

    folder: Path
    runs: int = 24
    kills: int = 20
    outage: float = 60.0
    seed: int = 0
    workers: int = 2
    epochs: int = 6000
    nap: float = 0.5
    pause: float = 4.0
    tracked_reference: bool = True
    seconds: float = 1800.0

    @property
    def grid(self) -> tuple[str, ...]:
        """The command line of the grid."""
        every = max(1, self.epochs // 6)
        epochs = [*range(0, self.epochs, every), self.epochs]
        return (
            *("-m", "data=toy", "n=30", "n_sets=2", "n_test=50", "ch=2,3"),
            f"seed={','.join(map(str, range(self.runs // 2)))}",
            f"epochs={self.epochs}",
            f"measure_at=[{','.join(map(str, epochs))}]",
            f"hydra.launcher.workers={self.workers}",
            "+measures.functions.nap=nap.nap",
            f"tracking.experiment={EXPERIMENT}",
        )


@dataclass
class Result:
    """What came of a campaign.

    Attributes:
        seconds: Duration of the disturbed sweep.
        peace: Duration of the undisturbed one.
        kills: At which kind of moment each was.
        outage: Seconds for which the server did not answer.
        attempts: Attempts of each run.
        sent_later: Runs whose results were sent after the end.
        values: Metric values in MLflow that were compared.
        differences: What is not as it should be; empty if all is well.
    """

    seconds: float = 0.0
    peace: float = 0.0
    kills: list[str] = field(default_factory=list)
    outage: float = 0.0
    attempts: list[int] = field(default_factory=list)
    sent_later: int = 0
    values: int = 0
    differences: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Say it in a few lines."""
        states = ", ".join(f"{count} {state}" for state, count in Counter(self.kills).items())
        spread = Counter(self.attempts)
        tries = ", ".join(f"{spread[n]} runs took {n}" for n in sorted(spread))
        lines = [
            f"disturbed sweep  {self.seconds:.0f} s, undisturbed {self.peace:.0f} s",
            f"kills            {len(self.kills)} ({states or 'none'})",
            f"outage           {self.outage:.0f} s; {self.sent_later} runs sent later by sync",
            f"attempts         {sum(self.attempts)} in all: {tries}",
            f"compared         the tables, and {self.values} values in MLflow",
        ]
        lines += [f"DIFFERENT        {text}" for text in self.differences]
        return "\n".join(
            [*lines, "FAILED" if self.differences else "nothing lost, nothing doubled"]
        )


# --- a tracking server


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """An MLflow server of our own that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: Gets the store and the log.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"
        self.store = f"sqlite:///{folder / 'server.db'}"

    def start(self) -> None:
        """Start it on the same port and store as before, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", self.store]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the server", self.answers)

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def kill(self) -> None:
        """Kill it and all of its processes at once."""
        if self._process is not None:
            end(self._process)
            self._process = None


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Run a server for a while."""
    made = Server(folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()


# --- processes


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command: ours, without what points elsewhere."""
    left_out = ("MLFLOW_TRACKING_URI", "GSNR_DATA_ROOT", "COLUMNS")
    own = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**own, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT), **more}


def start_sweep(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
    """Start ``python launch.py`` in `folder`, its output in ``out.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "out.txt").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "launch.py"), *arguments],
            cwd=folder,
            env=environment(**more),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def sync(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Send what MLflow does not have, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "gsnr_sweep", "sync"],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(what: str, there: Callable[[], object], seconds: float = _WITHIN) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.1)


# --- what lies on disk


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of all runs of the sweeps launched in a folder, in the grid's order."""
    found = [path for path in folder.glob("multirun/*/*/*") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def alive(folder: Path) -> list[Status]:
    """Return the reports of the runs that a process is working on."""
    found = [read_status(path) for path in run_folders(folder)]
    return [status for status in found if status is not None and status.alive]


def kill_all(folder: Path) -> None:
    """Leave no worker behind, nor one that is only about to begin: its command names the folder."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    for status in alive(folder):
        os.kill(status.pid, signal.SIGKILL)


def table(folder: Path, written: Path | None = None) -> list[dict[str, str]]:
    """Read a sweep's table as it is written, without the columns that say which run it was.

    Args:
        folder: Where the sweep was launched, the only one there.
        written: The table, where there are several.
    """
    (path,) = [written] if written else folder.glob("multirun/*/*/table.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: cell for key, cell in row.items() if key not in IDENTITY} for row in rows]


def numbers_on_disk(folder: Path) -> Numbers:
    """Return every run's metrics, as lists of epochs and values."""
    found: Numbers = {}
    for path in run_folders(folder):
        record = RunRecord.read(path / "record.json")
        own = found.setdefault(f"{record.name} {path.name}", {})
        for measurement in record.measurements:
            for name, value in measurement.metrics.items():
                own.setdefault(name, []).append((measurement.epoch, value))
    return found


# --- what MLflow has


class Store:
    """What a store has of one sweep."""

    def __init__(self, uri: str, experiment: str = EXPERIMENT) -> None:
        """Read it.

        Args:
            uri: The store.
            experiment: That of the sweep.
        """
        from mlflow import MlflowClient

        self.client = MlflowClient(uri)
        found = self.client.get_experiment_by_name(experiment)
        ids = [found.experiment_id] if found else []
        self.runs: list[Any] = list(self.client.search_runs(ids, max_results=5000)) if ids else []

    @cached_property
    def children(self) -> list[Any]:
        """The runs of the grid."""
        return [run for run in self.runs if run.data.tags.get("gsnr.kind") == "run"]

    def numbers(self, run: Any) -> dict[str, list[tuple[int, float]]]:
        """Return all values of a run, in the order of their epochs, as often as they are there."""
        found = {}
        for name in run.data.metrics:
            history = self.client.get_metric_history(run.info.run_id, name)
            found[name] = sorted((metric.step, metric.value) for metric in history)
        return found

    def problems(self, folder: Path, wanted: Numbers) -> tuple[list[str], int]:
        """Compare with what another sweep of the same grid has on disk.

        Args:
            folder: Where the sweep was launched whose runs are in this store.
            wanted: The other sweep's numbers.

        Returns:
            What is lost, doubled, different or open, and how many values were compared.
        """
        found = [
            f"{run.info.run_name} ({run.info.run_id}) is {run.info.status} in MLflow"
            for run in self.runs
            if run.info.status != "FINISHED"
        ]
        if len(self.children) != len(wanted):
            found.append(f"MLflow has {len(self.children)} runs instead of {len(wanted)}")
        by_id = {run.info.run_id: run for run in self.children}
        compared = 0
        for path, (name, numbers) in zip(run_folders(folder), wanted.items(), strict=True):
            run = by_id.get(read_sent(path).run_id)
            if run is None:
                found.append(f"{name} is not in MLflow")
                continue
            there = self.numbers(run)
            compared += sum(map(len, there.values()))
            found += _differences(name, there, numbers)
            files = {file.path for file in self.client.list_artifacts(run.info.run_id)}
            if "record.json" not in files:
                found.append(f"{name} has no record in MLflow")
            if len(run.inputs.dataset_inputs) != 2:
                found.append(f"{name} has {len(run.inputs.dataset_inputs)} data sets in MLflow")
        return found, compared


def _differences(
    name: str,
    there: Mapping[str, list[tuple[int, float]]],
    wanted: Mapping[str, list[tuple[int, float]]],
) -> list[str]:
    found = []
    for metric in sorted({*there, *wanted}):
        if metric.startswith("run/"):  # durations and the like: once, whatever they are
            if len(there[metric]) != 1:
                found.append(f"{name}: {metric} is {len(there[metric])} times in MLflow")
        elif there.get(metric) != wanted.get(metric):
            found.append(f"{name}: {metric} is {there.get(metric)}, not {wanted.get(metric)}")
    return found


# --- the campaign


def disturbed(options: Options, folder: Path, tracking: Server, result: Result) -> int:
    """Launch the sweep, kill and cut off as planned; return its exit code."""
    folder.mkdir(parents=True)
    (folder / "nap.py").write_text(NAP)
    sweep = start_sweep(
        folder,
        *options.grid,
        f"tracking.uri={tracking.uri}",
        "checkpoint_minutes=0.005",
        "hydra.launcher.max_retries=1000",
        NAP=str(options.nap),
    )
    started = time.monotonic()
    killer = Killer(folder, options)
    away: float | None = None
    try:
        while sweep.poll() is None:
            now = time.monotonic()
            if now - started > options.seconds:
                result.differences.append(f"the sweep was not over after {options.seconds:.0f} s")
                return -1
            if moment := killer.look(now):
                result.kills.append(moment)
            killer.hold_the_last_ones()
            half = 2 * len(result.kills) >= options.kills
            if options.outage and not result.outage and away is None and half and alive(folder):
                tracking.kill()
                away = time.monotonic()
            if away is not None and now - away >= options.outage:
                tracking.start()
                result.outage, away = time.monotonic() - away, None
            time.sleep(0.01)
    finally:
        end(sweep)
        kill_all(folder)
        result.seconds = time.monotonic() - started
        if away is not None:
            tracking.start()
            result.outage = time.monotonic() - away
    return int(sweep.returncode)


MOMENTS = ("at random", "before it reports its result")
"""When to kill, in turn: at the last one the record is complete and the status does not say so."""
_PATIENCE = 6.0


class Killer:
    """Kills workers, one after another."""

    def __init__(self, folder: Path, options: Options) -> None:
        """Prepare.

        Args:
            folder: Where the sweep is launched.
            options: How many workers to kill, and how often.
        """
        self._folder, self._options = folder, options
        self._chance = random.Random(options.seed)
        self._left = options.kills
        self._choose(time.monotonic())

    def look(self, now: float) -> str:
        """Kill some run's process if it is time to; return which moment it was, or nothing."""
        if not self._left or now < self._next:
            return ""
        paths = run_folders(self._folder)
        known = {path: status for path in paths if (status := read_status(path))}
        living = {path: status for path, status in known.items() if status.alive}
        if not living:
            self._next = now  # patience begins with the first run
        if now - self._next > _PATIENCE:  # that moment does not come
            self._moment = MOMENTS[0]
        victims = self._victims(living)
        if not victims:
            return ""
        victim, moment = self._chance.choice(victims), self._moment
        if not victim.alive:
            return ""
        with suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
        self._left -= 1
        self._choose(now)
        return moment

    def hold_the_last_ones(self) -> None:
        """Let no sweep end before all are killed that are to be."""
        hold = self._folder / "hold"
        if not self._left:
            hold.unlink(missing_ok=True)
        elif not hold.exists():
            states = [status.state for p in run_folders(self._folder) if (status := read_status(p))]
            if states.count("finished") >= self._options.runs - 2 * self._options.workers:
                hold.touch()

    def _victims(self, living: dict[Path, Status]) -> list[Status]:
        if self._moment == MOMENTS[1]:
            return [one for path, one in living.items() if _state_on_disk(path) != "running"]
        return list(living.values())

    def _choose(self, now: float) -> None:
        self._next = now + self._chance.uniform(0.1, 2 * self._options.pause)
        self._moment = MOMENTS[self._left % len(MOMENTS)]


def _state_on_disk(path: Path) -> str:
    try:
        return RunRecord.read(path / "record.json").state
    except (OSError, ValueError):
        return "running"


def undisturbed(options: Options, folder: Path, result: Result) -> int:
    """Launch the same grid in peace; return its exit code."""
    started = time.monotonic()
    folder.mkdir(parents=True)
    (folder / "nap.py").write_text(NAP)
    tracking = () if options.tracked_reference else ("tracking=none",)
    grid = [a for a in options.grid if options.tracked_reference or EXPERIMENT not in a]
    sweep = start_sweep(folder, *grid, *tracking)
    try:
        return sweep.wait(options.seconds)
    finally:
        end(sweep)
        kill_all(folder)
        result.peace = time.monotonic() - started


def campaign(options: Options) -> Result:
    """Do it all and compare."""
    result = Result()
    fire, peace = options.folder / "fire", options.folder / "peace"
    with server(options.folder / "server") as tracking:
        code = disturbed(options, fire, tracking, result)
        if code != 0:
            result.differences.append(f"the disturbed sweep ended with exit code {code}")
        result.sent_later = sum(not is_sent(path) for path in run_folders(fire))
        for _ in range(2):  # the second time there is nothing left to do
            sent = sync(fire)
            if sent.returncode:
                result.differences.append(f"sync failed: {sent.stdout}{sent.stderr}")
        if (code := undisturbed(options, peace, result)) != 0:
            result.differences.append(f"the undisturbed sweep ended with exit code {code}")
        try:
            _compare(options, fire, peace, tracking, result)
        except (OSError, ValueError) as error:
            result.differences.append(f"cannot be compared: {error!r}")
    leases = [last_lease(path) for path in run_folders(fire)]
    result.attempts = [lease.number for lease in leases if lease is not None]
    if len(result.kills) < options.kills:
        result.differences.append(
            f"the sweep was over after {len(result.kills)} of {options.kills} kills"
        )
    return result


def _compare(options: Options, fire: Path, peace: Path, tracking: Server, result: Result) -> None:
    disturbed_rows, rows = table(fire), table(peace)
    if len(rows) != options.runs * len({row["epoch"] for row in rows}):
        result.differences.append(f"the undisturbed table has {len(rows)} rows")
    if disturbed_rows != rows:
        unlike = sum(a != b for a, b in zip(disturbed_rows, rows, strict=False))
        result.differences.append(
            f"table.csv: {len(disturbed_rows)} rows and {len(rows)}, {unlike} of them unlike"
        )
    wanted = numbers_on_disk(peace)
    problems, result.values = Store(tracking.uri).problems(fire, wanted)
    result.differences += problems
    if options.tracked_reference:
        own = Store(f"sqlite:///{peace / 'mlflow.db'}")
        result.differences += [f"undisturbed: {p}" for p in own.problems(peace, wanted)[0]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign",
        description="Kill workers of a sweep and its tracking server, and look what is lost.",
    )
    parser.add_argument("--runs", type=int, default=24, help="grid points, an even number (24)")
    parser.add_argument("--kills", type=int, default=20, help="workers to kill (20)")
    parser.add_argument("--outage", type=float, default=60, help="seconds without server (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side (2)")
    parser.add_argument("--epochs", type=int, default=6000, help="steps of a run (6000)")
    parser.add_argument("--nap", type=float, default=0.5, help="seconds a measurement (0.5)")
    parser.add_argument("--pause", type=float, default=4, help="mean seconds between kills (4)")
    parser.add_argument("--folder", type=Path, help="where to work; kept. A temporary one if not")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, too")
    given = parser.parse_args(arguments)
    if given.runs < 2 or given.runs % 2:
        parser.error("--runs: an even number is needed")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="campaign-"))
    options = Options(
        folder.absolute(),
        *(given.runs, given.kills, given.outage, given.seed, given.workers, given.epochs),
        nap=given.nap,
        pause=given.pause,
    )
    result = campaign(options)
    print(result.report())
    if given.json:
        print(json.dumps(vars(result)))
    if given.folder is None and not result.differences:
        shutil.rmtree(folder)
    else:
        print(f"Everything is in {folder}")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())
