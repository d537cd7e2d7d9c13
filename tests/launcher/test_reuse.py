"""What a launch is going to do with each grid point."""

import dataclasses
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from gsnr_sweep.config.identity import code_version, run_identity
from gsnr_sweep.launcher.history import Earlier, History
from gsnr_sweep.launcher.reuse import (
    axes_of,
    describe_action,
    describe_reuse,
    name_run,
    name_runs,
    plan_runs,
    read_history,
)
from gsnr_sweep.preflight.check import CheckedPoint
from gsnr_sweep.records.checkpoint import CHECKPOINT_FILE
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.manifest import Manifest, SweepJob, SweepRun
from gsnr_sweep.records.processes import identify
from gsnr_sweep.records.state import State
from tests.conftest import tiny_config
from tests.fakes import (
    gone_process,
    listing,
    process_elsewhere,
    put_run,
    put_sweep,
)

SMALL = ("model=mlp", "ch=4", "tracking.experiment=tests")


def _point(*overrides: str) -> CheckedPoint:
    return CheckedPoint("", overrides, tiny_config(*SMALL, *overrides), 10, 1e6, 10.0)


def _plan(
    points: list[CheckedPoint], history: History, sweep_dir: Path, first_index: int = 0
) -> list[SweepRun]:
    return plan_runs(
        points, [f"run {i}" for i in range(len(points))], history, sweep_dir, first_index
    )


def _known(folder: Path, point: CheckedPoint, state: str, **fields: Any) -> Path:
    """Leave a run of an earlier launch."""
    put_run(folder, state, cfg=point.cfg, **fields)
    return folder


def _sweep_dir(folder: Path) -> Path:
    return folder / "multirun" / "2026-11-21" / "10-00-00.0"


# --- what becomes of a point


def test_a_fresh_grid_is_run(folder: Path) -> None:
    points = [_point("seed=0"), _point("seed=1")]
    runs = _plan(points, History(), _sweep_dir(folder))
    assert [run.action for run in runs] == ["run", "run"]
    assert [(run.index, run.folder, run.name) for run in runs] == [
        *((0, "0", "run 0"), (1, "1", "run 1")),
    ]
    assert [run.config_hash for run in runs] == [run_identity(point.cfg) for point in points]
    assert [run.cost for run in runs] == [1e6, 1e6]


def test_a_later_batch_goes_on_counting(folder: Path) -> None:
    runs = _plan([_point(), _point("seed=1")], History(), _sweep_dir(folder), 7)
    assert [(run.index, run.folder) for run in runs] == [(7, "7"), (8, "8")]


def test_every_way(folder: Path) -> None:
    points = [_point(f"seed={seed}") for seed in range(5)]
    old = folder / "multirun" / "2026-11-20" / "09-00-00.0"
    _known(old / "0", points[0], "finished", run_id="a" * 32)
    _known(old / "1", points[1], "interrupted", checkpoint=True, epoch=4, epochs=10)
    _known(folder / "outputs/2026-11-20/08-00-00.0", points[2], "running")
    _known(old / "3", points[3], "failed")
    sweep_dir = _sweep_dir(folder)
    history = read_history(points, folder, sweep_dir)
    runs = _plan([*points, points[4], points[0]], history, sweep_dir)
    assert [run.action for run in runs] == [
        *("reuse", "run", "elsewhere", "run", "run", "repeat", "repeat"),
    ]
    manifest = Manifest("", "", sweep_dir, runs=runs)
    reused, resumed, elsewhere, failed, fresh, twice, reused_twice = runs
    assert manifest.folder_of(reused) == old / "0"
    assert reused.run_id == "a" * 32
    assert (resumed.folder, resumed.resume_epoch) == ("1", 4)
    assert (sweep_dir / resumed.resume_from).resolve() == old / "1"
    assert "epoch 4 of 10" in resumed.note
    assert manifest.folder_of(elsewhere) == folder / "outputs/2026-11-20/08-00-00.0"
    assert (failed.resume_from, failed.folder) == ("", "3")
    assert "starts anew" in failed.note
    assert (fresh.note, fresh.resume_from) == ("", "")
    assert twice.folder == "4"
    assert "run 4" in twice.note
    assert (reused_twice.folder, reused_twice.run_id) == (reused.folder, "a" * 32)


def test_rerun_runs_all_the_same(folder: Path) -> None:
    point = _point()
    _known(folder / "multirun/d/t/0", point, "finished")
    again = dataclasses.replace(point, cfg=dataclasses.replace(point.cfg, rerun=True))
    sweep_dir = _sweep_dir(folder)
    runs = _plan([again, again], read_history([again], folder, sweep_dir), sweep_dir)
    assert [run.action for run in runs] == ["run", "repeat"]
    assert runs[0].resume_from == ""


def test_same_code_runs_again_what_other_code_gave(folder: Path) -> None:
    point = _point()
    _known(folder / "multirun/d/t/0", point, "finished", code="0.0.1+old")
    sweep_dir = _sweep_dir(folder)
    history = read_history([point], folder, sweep_dir)
    assert [run.action for run in _plan([point], history, sweep_dir)] == ["reuse"]
    strict = dataclasses.replace(point, cfg=dataclasses.replace(point.cfg, same_code=True))
    assert [run.action for run in _plan([strict], history, sweep_dir)] == ["run"]


def test_a_run_that_only_mlflow_has(folder: Path) -> None:
    point = _point()
    history = History()
    code = code_version(point.cfg)
    history.add(run_identity(point.cfg), Earlier(State.FINISHED, code, 0.0, run_id="b" * 32))
    (run,) = _plan([point], history, _sweep_dir(folder))
    assert (run.action, run.folder, run.run_id) == ("reuse", "", "b" * 32)


def test_an_earlier_run_is_found_through_a_linked_folder(folder: Path) -> None:
    """Sweeps lie on a large disk, single runs do not."""
    point = _point()
    earlier = _known(folder / "outputs/2026-11-20/08-00-00.0", point, "finished")
    scratch = folder / "scratch" / "user" / "far" / "away"
    scratch.mkdir(parents=True)
    (folder / "multirun").symlink_to(scratch)
    sweep_dir = _sweep_dir(folder)
    runs = _plan([point], read_history([point], folder, sweep_dir), sweep_dir)
    found = Manifest("", "", sweep_dir, runs=runs).folder_of(runs[0])
    sweep_dir.mkdir(parents=True)
    assert found.resolve() == earlier.resolve()


def test_a_folder_that_holds_another_run_is_not_taken_for_this_one(folder: Path) -> None:
    """Two different grids put into one folder by hydra.sweep.dir: their numbers must not mix."""
    before, point = _point("seed=0"), _point("seed=1")
    sweep_dir = folder / "mine"
    _known(sweep_dir / "0", before, "finished")
    history = read_history([point], folder, sweep_dir)
    (run,) = _plan([point], history, sweep_dir)
    assert run.action == "run"
    assert standing(Manifest("", "", sweep_dir).folder_of(run)).state == "waiting"


@pytest.mark.parametrize("state", ["finished", "failed", "diverged"])
def test_a_rerun_into_the_same_folder_is_not_over_before_it_starts(
    folder: Path, state: str
) -> None:
    point = _point()
    sweep_dir = folder / "mine"
    _known(sweep_dir / "0", point, state)
    again = dataclasses.replace(point, cfg=dataclasses.replace(point.cfg, rerun=True))
    (run,) = _plan([again], read_history([again], folder, sweep_dir), sweep_dir)
    assert run.action == "run"
    assert standing(Manifest("", "", sweep_dir).folder_of(run)).may_go_on(0)


def test_a_run_that_had_failed_is_run_in_the_same_folder(folder: Path) -> None:
    """The same command tries again what failed, wherever the sweep lies."""
    point = _point()
    sweep_dir = folder / "mine"
    _known(sweep_dir / "0", point, "failed")
    (run,) = _plan([point], read_history([point], folder, sweep_dir), sweep_dir)
    assert run.action == "run"
    assert standing(Manifest("", "", sweep_dir).folder_of(run)).may_go_on(0)


# --- looking for them


def test_looking_makes_nothing(folder: Path) -> None:
    """Not even the store that is not there."""
    read_history([_point()], folder, _sweep_dir(folder))
    assert listing(folder) == {}


def test_other_experiments_do_not_count(folder: Path) -> None:
    point = _point()
    _known(folder / "multirun/d/t/0", point, "finished", experiment="another")
    assert read_history([point], folder, None).runs == {}


def test_a_store_is_asked_where_there_is_one(store: MlflowClient, folder: Path) -> None:
    point = _point()
    number = store.create_experiment("tests")
    tags = {"gsnr.kind": "run", "gsnr.config_hash": run_identity(point.cfg)}
    store.create_run(number, tags={**tags, "gsnr.state": "finished"})
    assert len(read_history([point], folder, None).runs[run_identity(point.cfg)]) == 1
    untracked = dataclasses.replace(
        point, cfg=tiny_config(*SMALL, "tracking=none", "tracking.experiment=tests")
    )
    assert read_history([untracked], folder, None).runs == {}


def test_a_store_that_cannot_be_read_adds_nothing(folder: Path) -> None:
    point = _point()
    _known(folder / "multirun/d/t/0", point, "finished")
    (folder / "mlflow.db").write_bytes(b"garbage" * 1000)
    assert len(read_history([point], folder, None).runs) == 1


# --- in words


def test_axes_are_what_differs() -> None:
    overrides = [["n=30", "ch=2", "seed=0"], ["n=30", "ch=3", "seed=0"], ["n=30", "ch=2", "seed=1"]]
    assert axes_of(overrides) == {"ch": ["2", "3"], "seed": ["0", "1"]}
    assert axes_of([["n=30"]]) == {}
    assert axes_of([]) == {}


def test_names() -> None:
    point = _point("n=40")
    axes = {"n": ["30", "40"], "lr": ["1", "2"], "model.init": ["he", "torch"]}
    found = name_run(point, ["n=40", "lr=1", "model.init=he", "seed=3"], axes)
    assert found == "n=40 ch=4 p=0.0 lr=1 model.init=he"


def test_reuse_in_a_line() -> None:
    runs = [
        SweepRun(0, "", "", action="reuse", note="finished x"),
        SweepRun(1, "", "", action="reuse", note="finished x, by another version of the code"),
        SweepRun(2, "", "", action="elsewhere"),
        SweepRun(3, "", "", action="repeat"),
        SweepRun(4, "", "", resume_from="../x"),
        SweepRun(5, "", ""),
    ]
    assert describe_reuse(runs) == (
        "2 finished before (1 by another version of the code; same_code=true runs them again), "
        "1 under way in another launch, 1 asked for twice, 1 resumed from a checkpoint"
    )
    assert describe_reuse(runs[5:]) == ""


def test_actions_in_words() -> None:
    """A few words that are the same for many runs, particulars in brackets."""
    for words, fields in {
        "run": {},
        "resume": {"resume_from": "../x"},
        "reused": {"action": "reuse"},
        "under way elsewhere": {"action": "elsewhere"},
        "asked for twice": {"action": "repeat"},
    }.items():
        assert describe_action(SweepRun(0, "", "", **fields)) == words
        assert describe_action(SweepRun(0, "", "", note="why", **fields)) == f"{words} (why)"


def test_what_another_sweep_has_queued_is_left_to_it(folder: Path) -> None:
    point = _point()
    other = folder / "multirun" / "2026-11-20" / "09-00-00.0"
    run = SweepRun(0, "", run_identity(point.cfg), folder="0")
    job = SweepJob(str(os.getpid()), [0], socket.gethostname(), process=identify())
    put_sweep(other, runs=[run], jobs=[job], experiment="tests")
    sweep_dir = _sweep_dir(folder)
    (planned,) = _plan([point], read_history([point], folder, sweep_dir), sweep_dir)
    assert planned.action == "elsewhere"
    assert Manifest("", "", sweep_dir).folder_of(planned) == other / "0"


def test_what_a_dead_sweep_had_planned_is_run(folder: Path) -> None:
    point = _point()
    run = SweepRun(0, "", run_identity(point.cfg), folder="0")
    gone = SweepJob(str(os.getpid()), [0], socket.gethostname(), process=gone_process())
    for name, jobs in (("gone", [gone]), ("never", [])):
        put_sweep(folder / "multirun" / "d" / name, runs=[run], jobs=jobs, experiment="tests")
    assert read_history([point], folder, None).runs == {}


def test_a_sweep_of_another_machine_that_has_been_silent_for_long_is_dead(folder: Path) -> None:
    """A container that was killed has another name when it is started again."""
    point = _point()
    run = SweepRun(0, "", run_identity(point.cfg), folder="0")
    other = SweepRun(1, "", "beef", folder="1")
    job = SweepJob("17", [0, 1], "another-machine", 1000.0, process_elsewhere())
    sweep = folder / "multirun" / "d" / "t"
    put_sweep(sweep, runs=[run, other], jobs=[job], experiment="tests")
    put_run(sweep / "1", "running", process=process_elsewhere(), updated=2000.0)
    assert read_history([point], folder, None).runs == {}


def test_what_is_resumed_has_a_checkpoint_there(folder: Path) -> None:
    point = _point()
    old = _known(folder / "multirun/d/t/0", point, "killed", checkpoint=True)
    sweep_dir = _sweep_dir(folder)
    (run,) = _plan([point], read_history([point], folder, sweep_dir), sweep_dir)
    assert (sweep_dir / run.resume_from / CHECKPOINT_FILE).resolve() == old / CHECKPOINT_FILE


def test_a_name_that_is_asked_for_tells_the_runs_of_a_sweep_apart() -> None:
    grid = [("n=20", "ch=2"), ("n=20", "ch=3"), ("n=30", "ch=2")]
    points = [_point(*overrides, "tracking.run_name=mine") for overrides in grid]
    assert name_runs(points, grid) == ["mine n=20 ch=2", "mine n=20 ch=3", "mine n=30 ch=2"]
    named = [("tracking.run_name=a",), ("tracking.run_name=b",)]
    assert name_runs([_point(*one) for one in named], named) == ["a", "b"]


def test_what_a_name_says_already_is_not_said_twice() -> None:
    grid = [
        ("n=20", f"random_labels={labels}", f"data.confusion={size}")
        for labels in ("false", "true")
        for size in (0, 3)
    ]
    found = [name.partition("ch=")[2][2:] for name in name_runs([_point(*o) for o in grid], grid)]
    assert found == ["p=0.0", "p=0.0 confusion=3", "p=1.0", "p=1.0 confusion=3"]
