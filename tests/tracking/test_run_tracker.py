"""MLflow: what is written where, and what happens when the store fails."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlDataset
from sqlalchemy import event
from sqlalchemy.orm import Session

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import read_status
from gsnr_sweep.runs.control import Attempt
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.tracking import circuit_breaker as breaker
from gsnr_sweep.tracking import run_tracker as tracking
from gsnr_sweep.tracking.circuit_breaker import CircuitBreaker
from gsnr_sweep.tracking.run_tracker import RunTracker
from gsnr_sweep.tracking.store import open_store
from gsnr_sweep.tracking.sweep_tracker import SweepTracker, close_killed_run
from gsnr_sweep.tracking.uri import tracking_uri
from tests.conftest import tiny_config


def _cfg(**changes: str | None) -> TrackingConfig:
    plain = TrackingConfig("mlflow", None, "tests", None, None)
    return dataclasses.replace(plain, **changes)


def _record(measurements: list[Measurement] | None = None) -> RunRecord:
    return RunRecord(
        name="n=30 ch=6 p=0.0",
        config=dataclasses.asdict(tiny_config()),
        config_hash="feed",
        environment={"host": "here", "git.commit": "c0ffee", "git.dirty": "false"},
        measurements=measurements or [],
    )


DATA = {
    "name": "digits",
    "source": "from here",
    "train_digest": "digest16",
    "train_size": 3,
    "train_sets": 2,
    "test_digest": "digest17",
    "test_size": 5,
}


# --- where the store is


def test_the_default_store_lies_in_the_launch_folder(folder: Path) -> None:
    assert tracking_uri(_cfg(), Path("/some/where")) == "sqlite:////some/where/mlflow.db"


def test_config_comes_before_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert tracking_uri(_cfg(), Path("/x")) == "http://there:5000"
    assert tracking_uri(_cfg(uri="sqlite:///mine.db"), Path("/x")) == "sqlite:////x/mine.db"


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("sqlite:///mine.db", "sqlite:////x/mine.db"),
        ("sqlite:///sub/mine.db", "sqlite:////x/sub/mine.db"),
        ("sqlite:////abs/mine.db", "sqlite:////abs/mine.db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
    ],
)
def test_sqlite_files_are_absolute(uri: str, absolute: str) -> None:
    assert tracking_uri(_cfg(uri=uri), Path("/x")) == absolute


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "/abs/mlruns", "file:///abs/mlruns"])
def test_folders_are_no_stores_any_more(uri: str) -> None:
    with pytest.raises(GsnrError, match=r"no longer in plain folders.*sqlite:///FILE\.db"):
        tracking_uri(_cfg(uri=uri), Path("/x"))


def test_a_store_that_cannot_be_opened(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(GsnrError, match=r"cannot be opened.*tracking=none"):
        open_store(f"sqlite:///{folder}/file/mlflow.db", "tests")


def test_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(GsnrError, match=r"http://127.0.0.1:9 cannot be used \(no server answers"):
        open_store("http://127.0.0.1:9", "tests")
    assert capfd.readouterr().err == ""


def test_an_experiment_is_made_once_with_its_artifacts_beside_the_store(
    store: MlflowClient, folder: Path
) -> None:
    uri = store.tracking_uri
    first, again = open_store(uri, "tests")[1], open_store(uri, "tests")[1]
    assert first == again
    assert store.get_experiment(first).artifact_location == (folder / "mlartifacts").as_uri()


def test_another_process_makes_the_experiment_in_the_same_moment(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = open_store(store.tracking_uri, "tests")[1]
    look, looks = MlflowClient.get_experiment_by_name, []

    def too_early(*arguments: Any) -> Any:
        looks.append(1)
        return look(*arguments) if len(looks) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", too_early)
    assert open_store(store.tracking_uri, "tests")[1] == made


# --- a run


def test_a_run_has_its_settings_its_values_and_its_files(store: MlflowClient, folder: Path) -> None:
    sweep = SweepTracker.start(
        store.tracking_uri,
        "tests",
        "the sweep",
        {"epochs": 2},
        {"gsnr.command": "python launch.py"},
    )
    record = _record()
    tracker = RunTracker(_cfg(parent_run_id=sweep.run_id), folder)
    tracker.start(record)
    tracker.describe_data(DATA)
    for epoch, value in ((0, 0.5), (2, 1 / 3)):
        measurement = Measurement.from_values(epoch, {"osgr_lhs": value, "gap": math.nan})
        record.measurements.append(measurement)
        tracker.measured(measurement)
    record.state, record.summary = State.FINISHED, {"wall_time_s": 1.25}
    path = record.write(folder)
    tracker.finish(record, [path, folder / "absent.yaml"])
    sweep.finish("FINISHED")
    assert tracker.problem == ""

    run = store.get_run(tracker.run_id)
    assert (run.info.run_name, run.info.status) == ("n=30 ch=6 p=0.0", "FINISHED")
    params = run.data.params
    assert params["n"] == "30"
    assert params["data.name"] == "digits"
    assert params["measure_at"] == "[0, 2]"
    assert set(params) == set(tracking.flatten(record.config))
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == sweep.run_id
    assert (tags["gsnr.kind"], tags["gsnr.state"]) == ("run", "finished")
    assert (tags["gsnr.config_hash"], tags["gsnr.git.commit"]) == ("feed", "c0ffee")
    assert tags["gsnr.nonfinite"] == "gap"
    history = store.get_metric_history(tracker.run_id, "osgr_lhs")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (2, 1 / 3)]
    assert "gap" not in run.data.metrics
    assert run.data.metrics["run/wall_time_s"] == 1.25
    inputs = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
    assert {k: json.loads(d.profile) for k, d in inputs.items()} == {
        "training": {"samples": 3, "sets": 2},
        "testing": {"samples": 5, "sets": 1},
    }
    assert {k: (d.name, d.digest) for k, d in inputs.items()} == {
        "training": ("digits training", "digest16"),
        "testing": ("digits testing", "digest17"),
    }
    (artifact,) = store.list_artifacts(tracker.run_id)
    assert artifact.path == "record.json"
    assert (folder / "mlartifacts" / tracker.run_id / "artifacts" / "record.json").is_file()

    parent = store.get_run(sweep.run_id)
    assert (parent.info.run_name, parent.info.status) == ("the sweep", "FINISHED")
    assert parent.data.params == {"epochs": "2"}
    assert parent.data.tags["gsnr.kind"] == "sweep"
    assert parent.data.tags["gsnr.command"] == "python launch.py"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("failed", "FAILED"),
        ("diverged", "FAILED"),
        ("interrupted", "KILLED"),
        ("killed", "KILLED"),
    ],
)
def test_a_run_that_did_not_finish_is_failed_or_killed(
    store: MlflowClient, folder: Path, state: str, status: str
) -> None:
    tracker, record = RunTracker(_cfg(), folder), _record([Measurement(0, {"a": 1.0})])
    tracker.start(record)
    record.state = State(state)
    tracker.finish(record, [])
    assert tracker.problem == ""
    run = store.get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["gsnr.state"]) == (status, state)


def test_the_next_attempt_continues_the_run_and_doubles_nothing(
    store: MlflowClient, folder: Path
) -> None:
    first, record = RunTracker(_cfg(), folder), _record()
    first.start(record)
    first.describe_data(DATA)
    record.measurements.append(Measurement(0, {"a": 1.0}, time_ms=1000))
    first.measured(record.measurements[0])
    record.state = State.INTERRUPTED
    first.finish(record, [])
    second = RunTracker(_cfg(), folder, first.run_id)
    record.state = State.RUNNING
    second.start(record)
    assert store.get_run(first.run_id).info.status == "RUNNING"
    second.describe_data(DATA)
    record.measurements.append(Measurement(2, {"a": 2.0}, time_ms=2000))
    second.measured(record.measurements[1])
    record.state = State.FINISHED
    second.finish(record, [record.write(folder)])
    assert (second.problem, second.run_id) == ("", first.run_id)
    (run,) = store.search_runs([open_store(store.tracking_uri, "tests")[1]])
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("FINISHED", "finished")
    history = store.get_metric_history(first.run_id, "a")
    assert [(m.step, m.timestamp, m.value) for m in history] == [(0, 1000, 1.0), (2, 2000, 2.0)]
    assert len(run.inputs.dataset_inputs) == 2


def test_a_run_that_was_deleted_by_hand_is_made_anew(store: MlflowClient, folder: Path) -> None:
    first, record = RunTracker(_cfg(), folder), _record([Measurement(0, {"a": 1.0})])
    first.start(record)
    store.delete_run(first.run_id)
    second = RunTracker(_cfg(), folder, first.run_id)
    second.start(record)
    record.state = State.FINISHED
    second.finish(record, [])
    assert (second.problem, second.run_id != first.run_id) == ("", True)
    assert store.get_run(second.run_id).data.metrics["a"] == 1.0


class _Counting:
    """A client that notes the size of every batch it passes on."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self.batches: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self.batches.append((len(metrics), len(params)))
        self._client.log_batch(run_id, metrics=metrics, params=params, tags=tags)

    def log_metric(self, *_: Any) -> None:
        pytest.fail("metrics one by one are seven times as slow")

    log_param = log_metric


def test_values_go_in_batches_within_mlflows_limits(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = _Counting(store)
    experiment = open_store(store.tracking_uri, "tests")[1]
    monkeypatch.setattr(tracking, "open_store", lambda *_: (counting, experiment))
    record = _record()
    record.config = {f"key{i}": i for i in range(230)} | {"long": "x" * 7000}
    record.config["tracking"] = {"uri": None}
    tracker = RunTracker(_cfg(), folder)
    tracker.start(record)
    for epoch in range(25):
        record.measurements.append(Measurement(epoch, {f"m{i}": float(i) for i in range(100)}))
        tracker.measured(record.measurements[-1])
    assert sum(metrics for metrics, _ in counting.batches) == 0  # not yet: soon is enough
    record.state = State.FINISHED
    tracker.finish(record, [])
    assert tracker.problem == ""
    assert [params for _, params in counting.batches if params] == [100, 100, 32]
    assert [metrics for metrics, _ in counting.batches if metrics] == [1000, 1000, 500]
    run = store.get_run(tracker.run_id)
    assert run.data.params["key229"] == "229"
    assert run.data.params["long"] == "x" * 6000
    assert [m.step for m in store.get_metric_history(tracker.run_id, "m99")] == list(range(25))


def test_values_are_sent_on_the_way_once_some_seconds_have_passed(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_SECONDS_BETWEEN_SENDS", 0.0)
    tracker = RunTracker(_cfg(), folder)
    tracker.start(_record())
    tracker.measured(Measurement(0, {"a": 1.0}))
    assert store.get_run(tracker.run_id).data.metrics == {"a": 1.0}
    tracker.measured(Measurement(1, {"a": 2.0}))
    assert len(store.get_metric_history(tracker.run_id, "a")) == 2  # each once


# --- failures


@pytest.mark.parametrize("failing", ["create_run", "log_inputs", "log_batch", "set_terminated"])
def test_a_store_that_fails_ends_nothing(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("the disk is full\n[SQL: SELECT …]")

    monkeypatch.setattr(MlflowClient, failing, fail)
    tracker, record = RunTracker(_cfg(), folder), _record()
    tracker.start(record)
    tracker.describe_data(DATA)
    tracker.measured(Measurement(0, {"a": 1.0}))
    record.state = State.FINISHED
    tracker.finish(record, [record.write(folder)])
    assert tracker.problem == "MLflow: the disk is full"


@pytest.mark.parametrize("failing", ["create_run", "log_inputs", "log_batch"])
def test_a_store_that_comes_back_misses_nothing(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    tried: list[str] = []

    def fail(*_: Any, **__: Any) -> None:
        tried.append(failing)
        raise MlflowException("gone")

    monkeypatch.setattr(tracking, "_SECONDS_BETWEEN_SENDS", 0.0)
    monkeypatch.setattr(breaker, "SECONDS_OF_REST", 0.0)
    tracker, record = RunTracker(_cfg(), folder), _record()
    with monkeypatch.context() as away:
        away.setattr(MlflowClient, failing, fail)
        tracker.start(record)
        tracker.describe_data(DATA)
        for epoch in range(5):
            tracker.measured(Measurement(epoch, {"a": 1.0}))
        assert tried == [failing]  # a dead server costs its time-out once, not at every epoch
        assert tracker.problem == "MLflow: gone"
    record.state = State.FINISHED
    tracker.finish(record, [record.write(folder)])
    assert tracker.problem == ""
    (run,) = store.search_runs([open_store(store.tracking_uri, "tests")[1]])
    assert (run.info.run_id, run.info.status) == (tracker.run_id, "FINISHED")
    assert [m.step for m in store.get_metric_history(tracker.run_id, "a")] == list(range(5))
    assert run.data.params["n"] == "30"
    assert len(run.inputs.dataset_inputs) == 2
    assert len(store.list_artifacts(tracker.run_id)) == 1


def test_another_run_logs_the_same_data_in_the_same_moment(
    store: MlflowClient, folder: Path
) -> None:
    """Both look and find no such set; the other one writes first."""
    first, second = (RunTracker(_cfg(), folder, key=name) for name in "ab")
    for tracker in (first, second):
        tracker.start(_record())
    meanwhile = [first]

    def write_first(session: Session, *_: Any) -> None:
        if meanwhile and any(isinstance(row, SqlDataset) for row in session.new):
            meanwhile.pop().describe_data(DATA)

    event.listen(Session, "before_flush", write_first)
    try:
        second.describe_data(DATA)
    finally:
        event.remove(Session, "before_flush", write_first)
    assert meanwhile == []
    for tracker in (first, second):
        assert tracker.problem == ""
        inputs = store.get_run(tracker.run_id).inputs.dataset_inputs
        assert {one.dataset.digest for one in inputs} == {"digest16", "digest17"}


def test_the_answer_to_a_new_run_is_lost(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is there, but who made it does not know: it must not be made twice."""
    create_run = MlflowClient.create_run

    def lose(*arguments: Any, **named: Any) -> None:
        create_run(*arguments, **named)
        raise MlflowException("the line broke")

    monkeypatch.setattr(breaker, "SECONDS_OF_REST", 0.0)
    tracker, record = RunTracker(_cfg(), folder), _record()
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "create_run", lose)
        tracker.start(record)
    assert tracker.run_id == ""
    record.state = State.FINISHED
    tracker.finish(record, [])
    assert tracker.problem == ""
    (run,) = store.search_runs([open_store(store.tracking_uri, "tests")[1]])
    assert (run.info.run_id, run.info.status) == (tracker.run_id, "FINISHED")


class _Killed(BaseException):
    """Stands in for a signal that leaves no time for anything."""


def test_the_process_dies_before_it_can_note_its_new_run(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt must find that run: it would stay open for ever."""
    sweep = SweepTracker.start(store.tracking_uri, "tests", "the sweep", {}, {})
    own = ("tracking.experiment=tests", f"tracking.parent_run_id={sweep.run_id}")
    cfg = tiny_config("data=toy", *own)
    create_run = MlflowClient.create_run

    def die(*arguments: Any, **named: Any) -> None:
        create_run(*arguments, **named)
        raise _Killed

    with monkeypatch.context() as deadly:
        deadly.setattr(MlflowClient, "create_run", die)
        with pytest.raises(_Killed):
            run_point(cfg, folder, folder, attempt=Attempt(1))
    record = RunRecord.read(folder / "record.json")
    record.started = "2026-01-01T00:00:00+00:00"  # a while ago
    record.write(folder)
    result = run_point(cfg, folder, folder, attempt=Attempt(2))
    ids = [open_store(store.tracking_uri, "tests")[1]]
    runs = store.search_runs(ids, "tags.`gsnr.kind` = 'run'")
    assert [(run.info.run_id, run.info.status) for run in runs] == [(result.run_id, "FINISHED")]


def test_a_folder_of_any_name_is_found_again(store: MlflowClient, folder: Path) -> None:
    own = folder / "o'brien's \"run\" 100%"
    own.mkdir()
    cfg = tiny_config("data=toy", "tracking.experiment=tests")
    assert run_point(cfg, own, folder, attempt=Attempt(2)).untracked == ""


@pytest.mark.parametrize("last", ["log_batch", "log_artifact", "set_terminated"])
def test_the_process_dies_while_it_sends_its_results(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """The next attempt must not add durations of its own."""
    cfg = tiny_config("data=toy", "tracking.experiment=tests")
    finish, send, call = RunTracker._finish, RunTracker._send, getattr(MlflowClient, last)

    def die(*arguments: Any, **named: Any) -> None:
        call(*arguments, **named)
        raise _Killed

    def finish_and_die(*arguments: Any) -> None:
        send(arguments[0])  # what is killed is what comes after
        with monkeypatch.context() as deadly:
            deadly.setattr(RunTracker, "_send", lambda _: None)
            deadly.setattr(MlflowClient, last, die)
            finish(*arguments)

    with monkeypatch.context() as deadly:
        deadly.setattr(RunTracker, "_finish", finish_and_die)
        with pytest.raises(_Killed):
            run_point(cfg, folder, folder, attempt=Attempt(1))
    result = run_point(cfg, folder, folder, attempt=Attempt(2))
    (run,) = store.search_runs([open_store(store.tracking_uri, "tests")[1]])
    assert (run.info.run_id, run.info.status) == (result.run_id, "FINISHED")
    history = store.get_metric_history(result.run_id, "run/wall_time_s")
    assert [m.value for m in history] == [result.record.summary["wall_time_s"]]
    assert [m.step for m in store.get_metric_history(result.run_id, "osgr_lhs")] == [0, 2]
    status = read_status(folder)
    assert status is not None
    assert (status.state, status.attempt, status.tracked) == ("finished", 2, True)


def test_runs_of_one_process_do_not_all_wait_for_a_dead_store(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def fail(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise MlflowException("gone")

    known = CircuitBreaker()
    with monkeypatch.context() as away:
        away.setattr(MlflowClient, "create_run", fail)
        for _ in range(3):
            tracker, record = RunTracker(_cfg(), folder, "", known), _record()
            tracker.start(record)
            record.state = State.FINISHED
            tracker.finish(record, [])
            assert tracker.problem == "MLflow: gone"
    assert len(tried) == 1
    known.since -= breaker.SECONDS_OF_REST  # a while later
    tracker = RunTracker(_cfg(), folder, "", known)
    tracker.start(record)
    tracker.finish(record, [])
    assert (tracker.problem, known.problem) == ("", "")


def test_tracking_can_be_left_out(folder: Path) -> None:
    tracker = RunTracker(_cfg(name="none"), folder)
    tracker.start(_record())
    tracker.measured(Measurement(0, {"a": 1.0}))
    tracker.finish(_record(), [])
    assert (tracker.run_id, tracker.problem) == ("", "tracking=none")
    assert list(folder.iterdir()) == []


def test_a_sweep_outlives_its_store(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = SweepTracker.start(store.tracking_uri, "tests", "the sweep", {}, {})

    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("gone")

    monkeypatch.setattr(MlflowClient, "set_terminated", fail)
    monkeypatch.setattr(MlflowClient, "get_run", fail)
    close_killed_run(store.tracking_uri, "0" * 32)
    sweep.finish("FINISHED")
    assert [record.getMessage() for record in caplog.records] == [
        f"MLflow: run {'0' * 32} could not be changed (gone)",
        f"MLflow: sweep {sweep.run_id} could not be changed (gone)",
    ]


def test_only_children_that_still_run_are_closed(store: MlflowClient, folder: Path) -> None:
    done, lost = RunTracker(_cfg(), folder), RunTracker(_cfg(), folder)
    for tracker in (done, lost):
        tracker.start(_record())
    record = _record()
    record.state = State.FAILED
    done.finish(record, [])
    for run_id in (done.run_id, lost.run_id, ""):
        close_killed_run(store.tracking_uri, run_id)
    assert store.get_run(done.run_id).info.status == "FAILED"  # its own
    run = store.get_run(lost.run_id)
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("KILLED", "killed")
