"""What earlier launches have computed, and what that means for a grid point."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from gsnr_sweep.config.schema import Config
from gsnr_sweep.launcher.history import Decision, Earlier, History
from gsnr_sweep.records.layout import run_folders, search_roots
from gsnr_sweep.records.state import State
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.tracking.finished_runs import finished_runs
from tests.conftest import tiny_config
from tests.fakes import put_run, put_status, put_sweep, send

CODE = "0.1.0+new"
HASH = "feed"


def _decide(*earlier: Earlier, same_code: bool = False) -> Decision:
    """What is decided about a point of which these runs are known; their order must not matter."""
    decisions = []
    for runs in (earlier, earlier[::-1]):
        history = History()
        for run in runs:
            history.add(HASH, run)
        decisions.append(history.decide(HASH, CODE, same_code))
    assert decisions[0] == decisions[1]
    return decisions[0]


def _earlier(state: str, when: float = 100.0, code: str = CODE, **fields: Any) -> Earlier:
    folder = Path(f"/{state}-{when}-{fields.get('epoch', 0)}")
    return Earlier(State(state), code, when, **{"folder": folder, **fields})


# --- what is decided


def test_nothing_is_known() -> None:
    assert _decide() == Decision("run", None, "")
    history = History()
    history.add("other", _earlier("finished"))
    assert history.decide(HASH, CODE) == Decision()


@pytest.mark.parametrize("state", ["finished", "diverged"])
def test_a_result_is_reused(state: str) -> None:
    found = _decide(_earlier(state, 0.0))
    assert (found.action, found.earlier) == ("reuse", _earlier(state, 0.0))
    assert found.note == f"{state} 1970-01-01 00:00 UTC"


def test_of_several_results_the_newest() -> None:
    old, new = _earlier("finished", 100), _earlier("finished", 200)
    assert _decide(old, new).earlier == new


def test_a_result_of_the_same_code_comes_first() -> None:
    same, newer = _earlier("finished", 100), _earlier("finished", 200, "0.1.0+old")
    found = _decide(same, newer)
    assert found.earlier == same
    assert "another version" not in found.note


def test_a_result_of_other_code_is_reused_and_said_to_be() -> None:
    other = _earlier("finished", 100, "0.1.0+old")
    found = _decide(other)
    assert (found.action, found.earlier) == ("reuse", other)
    assert found.note.endswith(", by another version of the code")


def test_a_result_of_other_code_does_not_count_where_the_code_must_be_the_same() -> None:
    other = _earlier("finished", 200, "0.1.0+old")
    found = _decide(other, same_code=True)
    assert (found.action, found.earlier) == ("run", None)
    same = _earlier("finished", 100)
    assert _decide(other, same, same_code=True).earlier == same
    half = _earlier("interrupted", 50, resumable=True, epoch=4)
    found = _decide(other, half, same_code=True)
    assert (found.action, found.earlier) == ("run", half)


@pytest.mark.parametrize("state", ["preparing", "running", "waiting"])
def test_a_run_under_way_is_left_to_whoever_is_at_it(state: str) -> None:
    alive = _earlier(state, 200)
    found = _decide(alive, _earlier("interrupted", 100, resumable=True))
    assert (found.action, found.earlier) == ("elsewhere", alive)
    assert alive.folder is not None
    assert found.note.endswith(alive.folder.name)


def test_a_result_comes_before_a_run_under_way() -> None:
    result = _earlier("finished", 100)
    assert _decide(result, _earlier("running", 200)).earlier == result


def test_the_run_that_got_furthest_is_continued() -> None:
    far = _earlier("interrupted", 100, resumable=True, epoch=40, epochs=100)
    near = _earlier("killed", 200, resumable=True, epoch=10, epochs=100)
    further = _earlier("killed", 300, epoch=90)  # without a checkpoint
    found = _decide(far, near, further)
    assert (found.action, found.earlier) == ("run", far)
    assert "checkpoint of 1970-01-01" in found.note


def test_a_checkpoint_of_other_code_is_not_continued() -> None:
    found = _decide(_earlier("interrupted", 0, "0.1.0+old", resumable=True, epoch=40))
    assert found == Decision("run", None, "interrupted 1970-01-01 00:00 UTC, starts anew")


@pytest.mark.parametrize("state", ["failed", "killed", "interrupted", "lost"])
def test_what_gave_nothing_starts_anew_and_is_said_to(state: str) -> None:
    found = _decide(_earlier(state, 0))
    assert found == Decision("run", None, f"{state} 1970-01-01 00:00 UTC, starts anew")


def test_a_run_that_only_mlflow_has() -> None:
    known = Earlier(State.FINISHED, CODE, 100.0, run_id="a" * 32)
    found = _decide(known, _earlier("killed", 200))
    assert (found.action, found.earlier) == ("reuse", known)


# --- on disk


@pytest.fixture
def cfg() -> Config:
    return tiny_config("tracking.experiment=tests")


def _read(root: Path, experiment: str = "tests", *wanted: str) -> dict[str, list[Earlier]]:
    history = History()
    history.read_folders([root], experiment, set(wanted or ("feed", "beef")))
    return history.runs


def _put(folder: Path, state: str = "finished", **fields: Any) -> None:
    known = {"config_hash": "feed", "experiment": "tests", "code": CODE}
    put_run(folder, state, **{**known, **fields})


def test_what_a_folder_tells(tmp_path: Path) -> None:
    _put(tmp_path / "d/t/0", "interrupted", checkpoint=True, epoch=4, epochs=10, run_id="abc")
    ((run,),) = _read(tmp_path).values()
    assert (run.state, run.code, run.epoch, run.epochs) == ("interrupted", CODE, 4, 10)
    assert (run.folder, run.run_id) == ((tmp_path / "d/t/0").resolve(), "abc")
    assert (run.resumable, run.attempt) == (True, 1)
    assert abs(run.when - time.time()) < 600


@pytest.mark.parametrize(
    ("state", "alive", "told", "resumable"),
    [
        ("running", True, "running", False),
        ("preparing", True, "preparing", False),
        ("running", False, "killed", True),
        ("killed", False, "killed", True),
        ("interrupted", False, "interrupted", True),
        ("failed", False, "failed", True),
        ("finished", False, "finished", False),
        ("diverged", False, "diverged", False),
    ],
)
def test_states_on_disk(
    tmp_path: Path, state: str, alive: bool, told: str, resumable: bool
) -> None:
    _put(tmp_path / "d/t/0", state, alive=alive, checkpoint=True)
    _put(tmp_path / "d/t/1", state, alive=alive)
    first, second = _read(tmp_path)["feed"]
    assert (first.state, first.resumable) == (told, resumable)
    assert (second.state, second.resumable) == (told, False)


@pytest.mark.parametrize("state", ["finished", "diverged"])
def test_a_result_whose_record_is_gone_is_lost(tmp_path: Path, state: str) -> None:
    _put(tmp_path / "d/t/0", state)
    (tmp_path / "d/t/0/record.json").unlink()
    ((run,),) = _read(tmp_path).values()
    assert run.state == "lost"


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    _put(tmp_path / "d/t/0")
    _put(tmp_path / "d/t/1", config_hash="beef")
    _put(tmp_path / "d/t/2", config_hash="cafe")
    _put(tmp_path / "d/t/3", experiment="another")
    put_status(tmp_path / "d/t/4", "finished")  # of an older version
    assert set(_read(tmp_path)) == {"feed", "beef"}
    assert set(_read(tmp_path, "tests", "cafe")) == {"cafe"}
    assert list(_read(tmp_path, "another")) == ["feed"]
    assert _read(tmp_path, "none") == {}


def test_a_status_that_cannot_be_read_does_no_harm(tmp_path: Path) -> None:
    _put(tmp_path / "d/t/0")
    for index, text in enumerate(("", "{", "[]", "3"), 1):
        (tmp_path / f"d/t/{index}").mkdir()
        (tmp_path / f"d/t/{index}/status.json").write_text(text)
    assert len(_read(tmp_path)["feed"]) == 1


# --- what other sweeps have planned


def _plans(
    root: Path, has_jobs: bool = True, experiment: str = "tests"
) -> dict[str, list[Earlier]]:
    history = History()
    wanted = {"hash0", "hash1", "hash3"}
    history.read_plans([root], experiment, wanted, lambda manifest: has_jobs)
    return history.runs


def test_what_a_sweep_with_jobs_has_not_begun_is_left_to_it(tmp_path: Path) -> None:
    sweep = tmp_path / "2026-11-20" / "23-15-00.0"
    manifest = put_sweep(sweep, 5, experiment="tests")
    manifest.runs[3].action = "reuse"
    manifest.write()
    put_run(sweep / "1", "finished")
    found = _plans(tmp_path)
    assert set(found) == {"hash0"}  # 1 is over, 2 and 4 are not asked for, 3 is not run there
    (run,) = found["hash0"]
    assert (run.state, run.folder) == ("waiting", (sweep / "0").resolve())
    assert _plans(tmp_path, has_jobs=False) == {}
    assert _plans(tmp_path, experiment="another") == {}


def test_a_sweep_that_was_asked_to_stop_will_do_nothing_more(tmp_path: Path) -> None:
    put_sweep(tmp_path / "d" / "t", experiment="tests").stop_file.touch()
    assert _plans(tmp_path) == {}


@pytest.mark.parametrize("place", ["d/t", "d/t/from-2", "mine", "."])
def test_where_sweeps_lie(tmp_path: Path, place: str) -> None:
    put_sweep(tmp_path / place, experiment="tests")
    assert set(_plans(tmp_path)) == {"hash0", "hash1"}


def test_queues_are_not_asked_where_nothing_is_left(tmp_path: Path) -> None:
    """Asking a cluster takes its time."""
    put_sweep(tmp_path / "d" / "t", 1, experiment="tests")
    put_run(tmp_path / "d" / "t" / "0", "finished")
    (tmp_path / "d" / "broken").mkdir()
    (tmp_path / "d" / "broken" / "sweep.json").write_text("{")

    def refuse(_: object) -> bool:
        raise AssertionError("nobody needs to know")

    History().read_plans([tmp_path], "tests", {"hash0"}, refuse)


# --- where they are looked for


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("2026-11-20/23-15-00.1/7", True),  # a run of a sweep
        ("2026-11-20/23-15-00.1", True),  # a run alone
        ("own", True),
        (".", False),
        ("2026-11-20/23-15-00.1/7/deeper/still", False),
    ],
)
def test_depths_at_which_runs_lie(tmp_path: Path, path: str, found: bool) -> None:
    put_status(tmp_path / path, "finished")
    assert run_folders([tmp_path]) == ([(tmp_path / path).resolve()] if found else [])


def test_runs_of_later_batches_of_a_sweep_are_found(folder: Path) -> None:
    """A sweeper that hands out a grid in batches makes a folder in the sweep's for each."""
    put_status(folder / "multirun/2026-11-20/23-15-00.1/from-2/2", "finished")
    assert len(run_folders(search_roots(folder))) == 1


def test_every_run_is_found_once(tmp_path: Path) -> None:
    put_status(tmp_path / "a/b/0", "finished")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    roots = [tmp_path, tmp_path / "a", tmp_path / "a/b", tmp_path / "gone"]
    assert run_folders(roots) == [(tmp_path / "a/b/0").resolve()]


def test_the_usual_roots(tmp_path: Path) -> None:
    here = tmp_path / "user" / "project"
    usual = [here / "multirun", here / "outputs"]
    assert search_roots(here) == usual
    sweep = here / "multirun" / "2026-11-20" / "23-15-00.1"
    assert search_roots(here, sweep) == [*usual, sweep]
    assert search_roots(here, here / "outputs") == usual


@pytest.mark.parametrize("place", ["mine", "results/today/mine", "../mine", "/scratch/me/mine"])
def test_only_the_named_folder_and_the_projects_own_are_searched(
    tmp_path: Path, place: str
) -> None:
    """What lies beside the named folder, or above it, may be anybody's."""
    here = tmp_path / "user" / "project"
    named = here / place
    assert search_roots(here, named) == [here / "multirun", here / "outputs", named]


@pytest.mark.parametrize("above", [".", "..", "../..", "/"])
def test_folders_above_the_launch_are_not_searched(tmp_path: Path, above: str) -> None:
    """A home folder may hold millions of files."""
    here = tmp_path / "user" / "project"
    named = (here / above).resolve()
    assert search_roots(here, named) == [here / "multirun", here / "outputs"]


def test_a_record_planted_beside_the_named_folder_is_not_found(tmp_path: Path) -> None:
    here, shared = tmp_path / "project", tmp_path / "shared"
    put_status(shared / "me" / "out" / "0", "finished")
    for planted in ("evil/0", "evil/out/0", "me/evil/0", "0"):
        put_status(shared / planted, "finished")
    roots = search_roots(here, shared / "me" / "out")
    assert run_folders(roots) == [(shared / "me" / "out" / "0").resolve()]


# --- in MLflow


def test_runs_of_another_machine_are_known_from_mlflow(
    store: MlflowClient, folder: Path, cfg: Config
) -> None:
    small = ("model=mlp", "ch=4", "n=12", "n_test=20", "tracking.experiment=tests")
    result = run_point(tiny_config(*small), folder)
    run_id = send(folder)
    wanted = {result.record.config_hash}
    history = History()
    history.enter_stored(finished_runs(store, "tests"), wanted)
    ((run,),) = history.runs.values()
    assert (run.state, run.run_id, run.folder) == ("finished", run_id, None)
    assert run.code == result.record.environment["code"]
    assert abs(run.when - time.time()) < 600
    for experiment, hashes in (("none", wanted), ("tests", {"beef"})):
        other = History()
        other.enter_stored(finished_runs(store, experiment), hashes)
        assert other.runs == {}


def _tracked(store: MlflowClient, state: str, **tags: str) -> str:
    experiment = store.get_experiment_by_name("tests")
    number = experiment.experiment_id if experiment else store.create_experiment("tests")
    known = {"gsnr.kind": "run", "gsnr.config_hash": "feed", "gsnr.code": CODE}
    run = store.create_run(number, tags={**known, "gsnr.state": state, **tags})
    return str(run.info.run_id)


@pytest.mark.parametrize("state", ["failed", "killed", "interrupted", "diverged"])
def test_only_finished_runs_count_in_mlflow(store: MlflowClient, state: str) -> None:
    _tracked(store, state)
    history = History()
    history.enter_stored(finished_runs(store, "tests"), {"feed"})
    assert history.runs == {}


def test_a_run_that_is_on_disk_is_not_counted_twice(store: MlflowClient, folder: Path) -> None:
    run_id = _tracked(store, "finished")
    other = _tracked(store, "finished")
    _put(folder / "d/t/0", run_id=run_id)
    history = History()
    history.read_folders([folder], "tests", {"feed"})
    history.enter_stored(finished_runs(store, "tests"), {"feed"})
    assert [run.run_id for run in history.runs["feed"]] == [run_id, other]
    assert history.runs["feed"][0].folder is not None


def test_a_record_that_is_lost_on_disk_but_kept_by_mlflow(
    store: MlflowClient, folder: Path
) -> None:
    run_id = _tracked(store, "finished")
    _put(folder / "d/t/0", run_id=run_id)
    (folder / "d/t/0/record.json").unlink()
    history = History()
    history.read_folders([folder], "tests", {"feed"})
    history.enter_stored(finished_runs(store, "tests"), {"feed"})
    decision = history.decide("feed", CODE)
    assert decision.action == "reuse"
    assert decision.earlier is not None
    assert (decision.earlier.run_id, decision.earlier.folder) == (run_id, None)


def test_more_runs_than_a_page_holds(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsnr_sweep.tracking.query.PAGE", 2)
    ids = {_tracked(store, "finished") for _ in range(5)}
    history = History()
    history.enter_stored(finished_runs(store, "tests"), {"feed"})
    assert {run.run_id for run in history.runs["feed"]} == ids


def test_a_large_folder_of_other_things_is_not_walked(tmp_path: Path) -> None:
    """Only three levels are looked at."""
    deep = tmp_path.joinpath(*"abcdefgh")
    deep.mkdir(parents=True)
    opened: list[str] = []
    plain = os.scandir

    def listen(path: Any = ".") -> Any:
        opened.append(str(path))
        return plain(path)

    os.scandir = listen  # type: ignore[assignment]
    try:
        run_folders([tmp_path])
    finally:
        os.scandir = plain
    assert not any("a/b/c/d" in path for path in opened)
