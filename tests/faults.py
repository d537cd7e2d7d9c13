"""Kinds of faults, one after another at random moments, and nothing may be lost or doubled.

``python -m tests.faults --rounds 10`` goes ten times through all of them; ``--only clock`` through
one. Where `tests.campaign` keeps a sweep under fire from outside, these are faults of what lies on
disk, of the first seconds of a launch, of other machines and of strangers. Each ends with the same
command once more, whose table must be that of an undisturbed sweep, bit for bit.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gsnr_sweep.records.checkpoint import CHECKPOINT_FILE, has_checkpoint
from gsnr_sweep.records.leases import last_lease
from gsnr_sweep.records.manifest import SWEEP_FILE
from gsnr_sweep.records.processes import identify
from gsnr_sweep.records.record import RECORD_FILE
from tests.campaign import (
    NAP,
    ROOT,
    Store,
    alive,
    end,
    environment,
    kill_all,
    numbers_on_disk,
    run_folders,
    start_sweep,
    sync,
    table,
    wait_for,
)

GRID = (
    *("-m", "data=toy", "n=20", "n_sets=2", "n_test=20", "ch=2,3", "seed=0,1", "epochs=3000"),
    *("measure_at=[0,1000,2000,3000]", "checkpoint_minutes=0.002", "hydra.launcher.workers=2"),
    *("+measures.functions.nap=nap.nap", "tracking.experiment=campaign"),
)
NEYSHABUR = (
    *("-m", "experiment=neyshabur_fig1_norms", "scale=smoke", "seed=0", "measure_at=[0,1,2,end]"),
    *("checkpoint_minutes=0.0002", "hydra.launcher.workers=2"),
    *("+measures.functions.nap=nap.nap", "tracking.experiment=campaign"),
)
"""Trainings by mini-batches to a loss, of which nobody knows before how long they take."""
UNTRACKED = (*(word for word in GRID if not word.startswith("tracking")), "tracking=none")
_WITHIN = 300.0


class NotHereError(Exception):
    """A fault cannot be made on this machine, or by this user."""


@dataclass
class Scene:
    """Where a fault is made.

    Attributes:
        folder: Empty at first.
        chance: Decides the moments.
        reference: Where the grid was computed in peace.
        grid: What is launched.
        problems: What is not as it should be.
    """

    folder: Path
    chance: random.Random
    reference: Path
    grid: Sequence[str] = GRID
    problems: list[str] = field(default_factory=list)

    def start(self, *arguments: str, nap: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a launch; the output of all launches is in ``out.txt``."""
        return start_sweep(self.folder, *(arguments or self.grid), NAP=str(nap))

    def launch(self, *arguments: str, code: int = 0) -> str:
        """Launch, wait for the end and return what was printed."""
        before = len(self.printed)
        process = self.start(*arguments)
        try:
            found = process.wait(_WITHIN)
        finally:
            end(process)
        self.expect(found == code, f"exit code {found} of {arguments or 'the grid'}, not {code}")
        return self.printed[before:]

    @property
    def printed(self) -> str:
        """All that was printed."""
        path = self.folder / "out.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def attempts(self) -> list[int]:
        """How often each run was begun, in the grid's order."""
        leases = [last_lease(path) for path in run_folders(self.folder)]
        return [lease.number for lease in leases if lease]

    def expect(self, so: object, otherwise: str) -> None:
        """Note a problem unless something is so."""
        if not so:
            self.problems.append(otherwise)

    def compare_tables(self) -> None:
        """Compare the last table with that of the grid in peace, and look for a traceback."""
        self.expect("Traceback" not in self.printed, "a traceback was printed")
        newest = max(self.folder.glob("multirun/*/*/table.csv"), default=None, key=_written)
        rows = _unnamed(table(self.folder, newest)) if newest else []
        same = rows == _unnamed(table(self.reference))
        self.expect(same, "the table is not the one of a sweep in peace")

    def compare(self) -> None:
        """Compare the store, too, after all is sent."""
        self.compare_tables()
        sent = sync(self.folder)
        self.expect(sent.returncode == 0, f"sync failed: {sent.stdout}{sent.stderr}")
        store = Store(f"sqlite:///{self.folder / 'mlflow.db'}")
        wanted = list(map(_science, numbers_on_disk(self.reference).values()))
        finished = [run for run in store.children if run.info.status == "FINISHED"]
        there = [_science(store.numbers(run)) for run in finished]
        self.expect(all(one in there for one in wanted), "MLflow lacks a result")
        still = [run.info.run_name for run in store.runs if run.info.status == "RUNNING"]
        self.expect(not still, f"MLflow says that they are running: {', '.join(still)}")


def _unnamed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out the runs' names: a run that is reused has that of the grid it was first in."""
    return [{key: cell for key, cell in row.items() if key != "name"} for row in rows]


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def _science(numbers: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    return {name: values for name, values in numbers.items() if not name.startswith("run/")}


# --- the faults


def damaged_records(scene: Scene) -> None:
    """Records are cut off, emptied, overwritten, of another schema, or gone: they are made anew."""
    scene.launch(*UNTRACKED)  # a store would have whole ones still, and those would be reused
    for path in run_folders(scene.folder):
        _damage(path / RECORD_FILE, scene.chance)
    told = scene.launch(*UNTRACKED)
    scene.expect("finished before" not in told, "a run whose record was damaged was reused")
    scene.compare_tables()


def _damage(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    damages: list[Callable[[], object]] = [
        lambda: path.write_bytes(content[: chance.randrange(len(content) - 1)]),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(chance.randbytes(500)),
        lambda: path.write_bytes(content.replace(b'"schema": 1', b'"schema": 2')),
        path.unlink,
    ]
    chance.choice(damages)()


def flipped_checkpoints(scene: Scene) -> None:
    """A bit of each checkpoint is another one after a power cut: it is noticed."""
    _cut_off(scene)
    flipped = 0
    for path in run_folders(scene.folder):
        if (checkpoint := path / CHECKPOINT_FILE).is_file():
            content = bytearray(checkpoint.read_bytes())
            content[scene.chance.randrange(len(content))] ^= 1 << scene.chance.randrange(8)
            checkpoint.write_bytes(content)
            flipped += 1
    scene.launch()
    aside = list(scene.folder.glob(f"multirun/*/*/*/{CHECKPOINT_FILE}.damaged"))
    scene.expect(len(aside) == flipped, f"{len(aside)} of {flipped} damaged ones were set aside")
    scene.compare()


def _cut_off(scene: Scene) -> None:
    """Kill everything once a run has a checkpoint."""
    sweep = scene.start(nap=0.5)
    try:
        wait_for("a checkpoint", lambda: any(map(has_checkpoint, run_folders(scene.folder))))
        time.sleep(scene.chance.uniform(0, 0.5))
    finally:
        end(sweep)
        kill_all(scene.folder)


def killed_first_launch(scene: Scene) -> None:
    """The first launches in a folder are killed while all is being made there, the store too."""
    for _ in range(3):
        sweep = scene.start(nap=0.2)
        begun = time.monotonic()
        moment = scene.chance.uniform(0.3, 7.0)
        while time.monotonic() - begun < moment and sweep.poll() is None:
            time.sleep(0.01)
        end(sweep)
        kill_all(scene.folder)
    scene.launch()
    scene.compare()


def launches_at_once(scene: Scene) -> None:
    """Several first launches in one folder share its store from the first moment."""
    grids = [tuple("seed=0" if a == "seed=0,1" else a for a in GRID), GRID, GRID]
    launched = [scene.start(*grid) for grid in grids]
    codes = [process.wait(_WITHIN) for process in launched]
    scene.expect(codes == [0, 0, 0], f"exit codes {codes}")
    scene.launch()
    scene.compare()


def interrupted(scene: Scene) -> None:
    """Ctrl-C at any moment, once or many times: a word, and nothing is lost.

    The exit code is 130, or 1 where runs were asked to write their checkpoints first.
    """
    for _ in range(3):
        sweep = scene.start(nap=0.3)
        time.sleep(scene.chance.uniform(0.05, 9.0))
        for _ in range(scene.chance.choice([1, 1, 2, 6])):
            if sweep.poll() is None:
                sweep.send_signal(signal.SIGINT)
            time.sleep(0.02)
        code = sweep.wait(_WITHIN)
        scene.expect(code in (0, 1, 130), f"exit code {code} after Ctrl-C")
        kill_all(scene.folder)
    scene.launch()
    scene.compare()


def container(scene: Scene) -> None:
    """The same command in a container with the same host name: live runs are left alone."""
    inside = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        raise NotHereError("this user may not make a PID namespace")
    sweep = scene.start(nap=1.0)
    try:
        wait_for("the first runs", lambda: len(alive(scene.folder)) == 2)
        command = [*inside, sys.executable, str(ROOT / "launch.py"), *GRID]
        with (scene.folder / "out.txt").open("ab") as out:
            other = subprocess.run(
                command, cwd=scene.folder, env=environment(), stdout=out, stderr=out, check=False
            )
        scene.expect(other.returncode in (0, 1), f"exit code {other.returncode} in the container")
        scene.expect(sweep.wait(_WITHIN) == 0, "the sweep failed beside it")
    finally:
        end(sweep)
        kill_all(scene.folder)
    scene.expect(set(scene.attempts) == {1}, f"attempts of the runs: {scene.attempts}")
    scene.launch()
    scene.compare()


def other_data(scene: Scene) -> None:
    """An array file is written anew under its name: its runs are other runs, until it is back."""
    draw = np.random.default_rng(scene.chance.randrange(1000))
    contents = [
        {
            f"{axis}_{split}": draw.normal(size=(30, 4)) if axis == "x" else np.arange(30) % 3
            for axis in "xy"
            for split in ("train", "test")
        }
        for _ in range(2)
    ]
    path = scene.folder / "own.npz"
    scene.folder.mkdir(parents=True, exist_ok=True)
    command = ("data=npz", f"data.path={path}", "model=mlp", "n=10", "n_sets=2", "n_test=10")
    command = (*command, "epochs=1", "measure_at=[1]", "tracking=none")
    for content, reused in ((0, False), (1, False), (0, True), (1, True)):
        np.savez(path, **contents[content])  # type: ignore[arg-type]
        said = "Reused" in scene.launch(*command)
        scene.expect(said == reused, f"file {content}: reused {said}, not {reused}")


def forged_sweep(scene: Scene) -> None:
    """A stranger's sweep.json names another process, or an option of scancel's, as its job."""
    scene.launch()
    (manifest,) = scene.folder.glob(f"multirun/*/*/{SWEEP_FILE}")
    content = json.loads(manifest.read_text())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        host, own = socket.gethostname(), identify(bystander.pid)
        for backend, job in (("local", str(bystander.pid)), ("slurm", "--user=root")):
            job_of = {"id": job, "runs": [0], "host": host, "process": own}
            forged = content | {"backend": backend, "jobs": [job_of]}
            manifest.write_text(json.dumps(forged))
            subprocess.run(
                [sys.executable, "-m", "gsnr_sweep", "cancel", str(manifest.parent)],
                env=environment(PATH=f"{_trap(scene.folder)}{os.pathsep}{os.environ['PATH']}"),
                cwd=scene.folder,
                capture_output=True,
                timeout=_WITHIN,
                check=False,
            )
            scene.expect(bystander.poll() is None, f"{backend}: another process was ended")
        bystander.kill()
    called = scene.folder / "bin" / "called"
    scene.expect(not called.exists(), "scancel was called with what the stranger wrote")


def _trap(folder: Path) -> Path:
    """Put a scancel in front of the real one that only tells that it was called."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "scancel"
    program.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/called"\n')
    program.chmod(0o755)
    return folder / "bin"


def planted_record(scene: Scene) -> None:
    """Beside the folder of my sweep lies somebody's with a better result: mine is computed."""
    named = (*GRID, f"hydra.sweep.dir={scene.folder / 'shared' / 'me' / 'out'}")
    stranger = scene.folder / "shared" / "evil" / "out"
    shutil.copytree(next(iter(scene.reference.glob("multirun/*/*"))), stranger)
    for record in stranger.glob(f"*/{RECORD_FILE}"):
        record.write_text(record.read_text().replace('"osgr_lhs": ', '"osgr_lhs": 9'))
    told = scene.launch(*named)
    scene.expect("finished before" not in told, "a stranger's result was taken for mine")
    rows = table(scene.folder, scene.folder / "shared" / "me" / "out" / "table.csv")
    scene.expect(rows == table(scene.reference), "the table is not the one of a sweep in peace")


def one_folder_twice(scene: Scene) -> None:
    """Another run in a folder that holds one: the first one stays, in the store too."""
    single = ("data=toy", "model=mlp", "n=20", "ch=2", "n_sets=2", "n_test=20", "epochs=1")
    single = (*single, "measure_at=[1]", "hydra.run.dir=out", "tracking.experiment=campaign")
    scene.launch(*single, "seed=16")
    record = (scene.folder / "out" / RECORD_FILE).read_bytes()
    told = scene.launch(*single, "seed=17", code=1)
    scene.expect("holds the run" in told, f"it was said: {told[-300:]}")
    scene.expect((scene.folder / "out" / RECORD_FILE).read_bytes() == record, "it was overwritten")
    scene.expect(sync(scene.folder).returncode == 0, "sync failed")
    states = [run.info.status for run in Store(f"sqlite:///{scene.folder / 'mlflow.db'}").runs]
    scene.expect(states == ["FINISHED"], f"MLflow has {states}")


def full_disk(scene: Scene) -> None:
    """The disk fills up at some moment; with room again, the same command makes it whole."""
    if os.getuid() != 0:
        raise NotHereError("only root may mount a small disk")
    scene.folder.mkdir(parents=True, exist_ok=True)
    size = f"size={scene.chance.randrange(1200, 3000)}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(scene.folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        raise NotHereError("nothing may be mounted here")
    try:
        (scene.folder / "nap.py").write_text(NAP)
        sweep = scene.start()
        try:
            sweep.wait(_WITHIN)
        finally:
            end(sweep)
            kill_all(scene.folder)
        more = ["mount", "-o", "remount,size=500m", str(scene.folder)]
        subprocess.run(more, check=True)
        scene.launch()
        scene.compare()
    finally:
        subprocess.run(["umount", "-l", str(scene.folder)], check=True)


FAULTS: dict[str, Callable[[Scene], None]] = {
    "records": damaged_records,
    "checkpoints": flipped_checkpoints,
    "first": killed_first_launch,
    "at-once": launches_at_once,
    "ctrl-c": interrupted,
    "container": container,
    "data": other_data,
    "forged": forged_sweep,
    "planted": planted_record,
    "folder": one_folder_twice,
    "disk": full_disk,
}


# --- one after another


@contextmanager
def stage(folder: Path, grid: Sequence[str] = GRID) -> Iterator[Callable[[str, int], list[str]]]:
    """Compute a grid once in peace; yields a function that makes a fault and tells what broke."""
    reference = folder / "peace"
    peace = _scene(reference, 0, reference, grid)
    peace.launch()
    if peace.problems:
        raise RuntimeError(f"the grid fails in peace: {peace.problems}\n{peace.printed}")

    def make(name: str, seed: int) -> list[str]:
        scene = _scene(folder / f"{name}-{seed}", seed, reference, grid)
        try:
            FAULTS[name](scene)
        finally:
            kill_all(scene.folder)
        if not scene.problems:
            shutil.rmtree(scene.folder)
        return scene.problems

    yield make


def _scene(folder: Path, seed: int, reference: Path, grid: Sequence[str]) -> Scene:
    folder.mkdir(parents=True)
    (folder / "nap.py").write_text(NAP)
    return Scene(folder, random.Random(seed), reference, grid)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often to make each fault (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (0)")
    parser.add_argument("--only", choices=sorted(FAULTS), nargs="+", help="these faults alone")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    failed = 0
    with stage(folder) as make:
        for seed in range(given.seed, given.seed + given.rounds):
            for name in given.only or FAULTS:
                begun = time.monotonic()
                try:
                    problems = make(name, seed)
                except NotHereError as error:
                    print(f"{name} {seed}: not made: {error}", flush=True)
                    continue
                failed += bool(problems)
                told = "; ".join(problems) or "nothing lost, nothing doubled"
                print(f"{name} {seed}: {told} ({time.monotonic() - begun:.0f} s)", flush=True)
    if failed:
        print(f"{failed} failed; everything is in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
