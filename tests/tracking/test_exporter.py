"""What of a run is sent to MLflow, and what happens when the store fails."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.tracking.dbmodels.models import SqlDataset
from sqlalchemy import event
from sqlalchemy.orm import Session

from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.records.record import Measurement, RunRecord, flatten
from gsnr_sweep.records.sent import SENT_FILE, is_sent, read_sent
from gsnr_sweep.records.state import State
from gsnr_sweep.tracking import exporter
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.run_writer import legal_name
from gsnr_sweep.tracking.store import open_store
from gsnr_sweep.tracking.sweep_tracker import SweepTracker
from tests.conftest import tiny_config

DATA = {
    "name": "digits",
    "source": "from here",
    "train_digest": "digest16",
    "train_size": 3,
    "train_sets": 2,
    "test_digest": "digest17",
    "test_size": 5,
}
FIRST = Measurement(0, {"a": 1.0}, time_ms=1000)
SECOND = Measurement(2, {"a": 2.0}, time_ms=2000)


def _record(*measurements: Measurement, tracking: str = "mlflow", **fields: Any) -> RunRecord:
    cfg = tiny_config("tracking.experiment=tests", f"tracking={tracking}")
    known = {"config": dataclasses.asdict(cfg), "config_hash": "feed", "name": "n=30 ch=6 p=0.0"}
    known["environment"] = {"host": "here", "git.commit": "c0ffee", "git.dirty": "false"}
    return RunRecord(**{**known, "measurements": list(measurements), **fields})


def _experiment(store: MlflowClient) -> list[str]:
    return [open_store(store.tracking_uri, "tests")[1]]


def _send(folder: Path, record: RunRecord | None = None, by: Exporter | None = None) -> str:
    """Send a run as it is now, by a process of its own; return its MLflow run."""
    if record is not None:
        record.write(folder)
    assert (by or Exporter(folder)).send(folder) == ""
    assert is_sent(folder)
    return read_sent(folder).run_id


# --- a run


def test_a_run_has_its_settings_its_values_and_its_files(store: MlflowClient, folder: Path) -> None:
    shared, tags = {"epochs": 2}, {"gsnr.command": "python launch.py"}
    sweep = SweepTracker.start(*open_store(store.tracking_uri, "tests"), "the sweep", shared, tags)
    record = _record(data=DATA, summary={"wall_time_s": 1.25})
    record.config["tracking"]["parent_run_id"] = sweep.run_id
    for epoch, value in ((0, 0.5), (2, 1 / 3)):
        values = {"osgr_lhs": value, "gap": math.nan}
        record.measurements.append(Measurement.from_values(epoch, values))
    record.state = State.FINISHED
    run_id = _send(folder, record)
    sweep.finish("FINISHED")

    run = store.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("n=30 ch=6 p=0.0", "FINISHED")
    params = run.data.params
    assert params["n"] == "30"
    assert params["data.name"] == "digits"
    assert params["measure_at"] == "[0, 2]"
    assert set(params) == set(flatten(record.config))
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == sweep.run_id
    assert (tags["gsnr.kind"], tags["gsnr.state"]) == ("run", "finished")
    assert (tags["gsnr.config_hash"], tags["gsnr.git.commit"]) == ("feed", "c0ffee")
    assert tags["gsnr.nonfinite"] == "gap"
    history = store.get_metric_history(run_id, "osgr_lhs")
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
    (artifact,) = store.list_artifacts(run_id)
    assert artifact.path == "record.json"
    assert (folder / "mlartifacts" / run_id / "artifacts" / "record.json").is_file()

    parent = store.get_run(sweep.run_id)
    assert (parent.info.run_name, parent.info.status) == ("the sweep", "FINISHED")
    assert parent.data.params == {"epochs": "2"}
    assert parent.data.tags["gsnr.kind"] == "sweep"
    assert parent.data.tags["gsnr.command"] == "python launch.py"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("running", "RUNNING"),
        ("failed", "FAILED"),
        ("diverged", "FAILED"),
        ("interrupted", "KILLED"),
        ("killed", "KILLED"),
    ],
)
def test_a_run_that_did_not_finish_is_running_failed_or_killed(
    store: MlflowClient, folder: Path, state: str, status: str
) -> None:
    run = store.get_run(_send(folder, _record(FIRST, state=State(state))))
    assert (run.info.status, run.data.tags["gsnr.state"]) == (status, state)


def test_why_values_are_not_defined_is_said_once_a_reason(
    store: MlflowClient, folder: Path
) -> None:
    values = {"a": Undefined("no margin"), "b": Undefined("no chain"), "c": Undefined("no margin")}
    measured = Measurement.from_values(0, values | {"x": 1.0})
    record = _record(measured, state=State.FINISHED)
    assert record.measurements[0].reasons == {"a": "no margin", "b": "no chain", "c": "no margin"}
    tags = store.get_run(_send(folder, record)).data.tags
    assert tags["gsnr.undefined"] == "a, c: no margin; b: no chain"
    assert tags["gsnr.nonfinite"] == "a, b, c"


def test_a_run_fills_while_it_goes_on(store: MlflowClient, folder: Path) -> None:
    """Each value is sent once: resending is harmless, but costs time."""
    sender, record = Exporter(folder), _record()
    run_id = _send(folder, record, sender)
    run = store.get_run(run_id)
    assert (run.info.status, run.data.metrics, run.data.params["n"]) == ("RUNNING", {}, "30")
    record.data = DATA
    for measurement in (FIRST, SECOND):
        record.measurements.append(measurement)
        assert _send(folder, record, sender) == run_id
        run = store.get_run(run_id)
        assert (run.info.status, run.data.metrics) == ("RUNNING", measurement.metrics)
    assert len(run.inputs.dataset_inputs) == 2
    record.state = State.FINISHED
    _send(folder, record, sender)
    assert store.get_run(run_id).info.status == "FINISHED"


def test_what_has_not_changed_is_not_sent(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _send(folder, _record(FIRST, state=State.FINISHED))
    monkeypatch.setattr(exporter, "open_store", lambda *_: pytest.fail("nothing is to be sent"))
    assert _send(folder) == run_id


def test_the_next_attempt_continues_the_run_and_doubles_nothing(
    store: MlflowClient, folder: Path
) -> None:
    record = _record(FIRST, data=DATA, state=State.INTERRUPTED)
    first = _send(folder, record)
    assert store.get_run(first).info.status == "KILLED"
    record.state, record.data = State.RUNNING, {}
    record.config["threads"] = 7  # may change; a parameter in MLflow may not
    sender = Exporter(folder)
    assert _send(folder, record, sender) == first
    assert store.get_run(first).info.status == "RUNNING"
    record.data, record.state = DATA, State.FINISHED
    record.measurements.append(SECOND)
    assert _send(folder, record, sender) == first
    (run,) = store.search_runs(_experiment(store))
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("FINISHED", "finished")
    history = store.get_metric_history(first, "a")
    assert [(m.step, m.timestamp, m.value) for m in history] == [(0, 1000, 1.0), (2, 2000, 2.0)]
    assert len(run.inputs.dataset_inputs) == 2


@pytest.mark.parametrize("changed", ["measurements", "data"])
def test_an_attempt_that_starts_anew_has_a_run_of_its_own(
    store: MlflowClient, folder: Path, changed: str
) -> None:
    first = _send(folder, _record(FIRST, data=DATA))
    anew = Measurement(0, {"a": 3.0}, time_ms=3000)
    measured, data = (
        ((anew,), DATA) if changed == "measurements" else ((), DATA | {"test_digest": "x"})
    )
    second = _send(folder, _record(*measured, data=data, state=State.FINISHED))
    third = _send(folder, _record(SECOND, data=DATA, state=State.FINISHED))
    assert len({first, second, third}) == 3
    assert store.get_run(first).info.status == "KILLED"
    assert store.get_run(first).data.metrics == {"a": 1.0}
    assert store.get_run(second).info.status == "FINISHED"
    assert store.get_metric_history(third, "a")[-1].value == 2.0


@pytest.mark.parametrize("lost", ["deleted", "noted"])
def test_a_run_that_was_deleted_by_hand_is_made_anew(
    store: MlflowClient, folder: Path, lost: str
) -> None:
    first = _send(folder, _record(FIRST))
    store.delete_run(first)
    if lost == "noted":
        (folder / SENT_FILE).unlink()
    second = _send(folder, _record(FIRST, state=State.FINISHED))
    assert second != first
    assert store.get_run(second).data.metrics["a"] == 1.0


def test_runs_of_earlier_versions_are_continued(store: MlflowClient, folder: Path) -> None:
    """They noted in their status which MLflow run is theirs."""
    run_id = store.create_run(_experiment(store)[0]).info.run_id
    (folder / "status.json").write_text(json.dumps({"state": "interrupted", "run_id": run_id}))
    assert _send(folder, _record(FIRST, state=State.INTERRUPTED)) == run_id
    assert store.get_run(run_id).info.status == "KILLED"


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
    (experiment,) = _experiment(store)
    monkeypatch.setattr(exporter, "open_store", lambda *_: (counting, experiment))
    record = _record(state=State.FINISHED, error="e" * 7000)
    record.config = {f"key{i}": i for i in range(230)} | {"long": "x" * 7000}
    record.config["tracking"] = {
        **{"name": "mlflow", "uri": None, "experiment": "tests"},
        **{"parent_run_id": None, "run_name": None},
    }
    for epoch in range(25):
        record.measurements.append(Measurement(epoch, {f"m{i}": float(i) for i in range(100)}))
    run_id = _send(folder, record)
    assert [params for _, params in counting.batches if params] == [100, 100, 36]
    assert [metrics for metrics, _ in counting.batches if metrics] == [1000, 1000, 500]
    run = store.get_run(run_id)
    assert run.data.params["key229"] == "229"
    assert run.data.params["long"] == "x" * 6000
    assert run.data.tags["gsnr.error"] == "e" * 5000
    assert [m.step for m in store.get_metric_history(run_id, "m99")] == list(range(25))


# --- failures


@pytest.mark.parametrize(
    "failing", ["create_run", "log_inputs", "log_batch", "log_artifact", "set_terminated"]
)
def test_a_store_that_comes_back_misses_nothing(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("the disk is full\n[SQL: SELECT …]")

    measured = [Measurement(epoch, {"a": 1.0}, time_ms=epoch) for epoch in range(5)]
    _record(*measured, data=DATA, state=State.FINISHED, summary={"wall": 2.0}).write(folder)
    sender = Exporter(folder)
    with monkeypatch.context() as away:
        away.setattr(MlflowClient, failing, fail)
        assert sender.send(folder) == "MLflow: the disk is full"
    assert not is_sent(folder)
    run_id = _send(folder, by=sender)
    (run,) = store.search_runs(_experiment(store))
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert [m.step for m in store.get_metric_history(run_id, "a")] == list(range(5))
    assert len(store.get_metric_history(run_id, "run/wall")) == 1
    assert run.data.params["n"] == "30"
    assert len(run.inputs.dataset_inputs) == 2
    assert len(store.list_artifacts(run_id)) == 1


def test_a_store_that_fails_is_asked_once(
    folder: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead server costs its time-out once, not at every run."""
    folders = [folder / str(index) for index in range(3)]
    for each in folders:
        each.mkdir()
        _record(state=State.FINISHED).write(each)
    tried: list[int] = []

    def fail(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise MlflowException("gone")

    with monkeypatch.context() as away:
        away.setattr(MlflowClient, "create_run", fail)
        assert Exporter(folder).send_all(folders) == (3, "MLflow: gone")
    assert len(tried) == 1
    assert Exporter(folder).send_all(folders) == (0, "")


def test_a_run_that_cannot_be_sent_does_not_keep_others_back(
    store: MlflowClient, folder: Path
) -> None:
    folders = [folder / str(index) for index in range(3)]
    for each in folders:
        each.mkdir()
        _record(FIRST, state=State.FINISHED).write(each)
    broken = _record(FIRST, state=State.FINISHED)
    broken.config = {}
    broken.write(folders[0])
    sender = Exporter(folder)
    unsent, why = sender.send_all(folders)
    assert (unsent, sender.away) == (1, False)
    assert why.startswith("MLflow: 'tracking'")
    assert [is_sent(each) for each in folders] == [False, True, True]


def test_names_that_mlflow_refuses_are_made_legal_and_said(
    store: MlflowClient, folder: Path
) -> None:
    names = ["acc@5", "acc#5", "gsnr_mean/conv,1", "/a//b", "m" * 300, "", "fine:name 1.0"]
    measured = Measurement(0, {name: float(i) for i, name in enumerate(names)}, time_ms=1)
    record = _record(measured, state=State.FINISHED, environment={"odd,key": "x"})
    record.config |= {"model": {"args": {"a=b": 1, "long": "x" * 7000, "half": "\ud800\0"}}}
    run_id = _send(folder, record)
    run = store.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {legal_name(name): float(i) for i, name in enumerate(names)}
    assert "fine:name 1.0" in run.data.metrics
    assert run.data.params[legal_name("model.args.a=b")] == "1"
    assert run.data.params["model.args.half"] == "?"
    assert len(run.data.params["model.args.long"]) == 6000
    assert run.data.tags[legal_name("gsnr.odd,key")] == "x"
    told = read_sent(folder).remarks
    assert f"'acc@5' is called '{legal_name('acc@5')}'" in told
    assert "parameter model.args.long is cut to 6000 characters" in told
    assert run.data.tags["gsnr.remarks"] == "; ".join(told)[:5000]
    assert RunRecord.read(folder / "record.json").measurements[0].metrics == measured.metrics


@pytest.mark.parametrize("kind", ["metrics", "params", "tags", "inputs", "file"])
def test_a_value_that_is_refused_is_left_out_alone(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A store may have rules of its own, which nobody knows before."""
    refused = {"metrics": "m7", "params": "epochs", "tags": "gsnr.host"}.get(kind, "")
    called = {"inputs": "log_inputs", "file": "log_artifact"}.get(kind, "log_batch")
    call = getattr(MlflowClient, called)

    def refuse(client: MlflowClient, run_id: str, *given: Any, **named: Any) -> None:
        if not refused or any(each.key == refused for each in named.get(kind, ())):
            raise MlflowException("I do not like it", INVALID_PARAMETER_VALUE)
        call(client, run_id, *given, **named)

    monkeypatch.setattr(MlflowClient, called, refuse)
    metrics = {f"m{i}": float(i) for i in range(20)}
    sender = Exporter(folder)
    run = store.get_run(
        _send(folder, _record(Measurement(0, metrics), data=DATA, state=State.FINISHED), sender)
    )
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {name: v for name, v in metrics.items() if name != refused}
    assert ("epochs" in run.data.params) == (kind != "params")
    assert run.data.params["n"] == "30"
    (remark,) = read_sent(folder).remarks
    assert remark.endswith("missing, for it was refused (I do not like it)")
    assert refused in remark


def test_a_run_that_is_deleted_while_it_goes_on_begins_again(
    store: MlflowClient, folder: Path
) -> None:
    sender = Exporter(folder)
    first = _send(folder, _record(FIRST), sender)
    store.delete_run(first)
    _record(FIRST, SECOND, state=State.FINISHED).write(folder)
    assert "deleted" in sender.send(folder)
    assert not sender.away
    second = _send(folder, by=sender)
    assert second != first
    assert [m.step for m in store.get_metric_history(second, "a")] == [0, 2]


def test_another_process_logs_the_same_data_in_the_same_moment(
    store: MlflowClient, folder: Path
) -> None:
    """Both look and find no such set; the other one writes first."""
    senders = {folder / name: Exporter(folder) for name in "ab"}
    for each, sender in senders.items():
        each.mkdir()
        _send(each, _record(), sender)
        _record(data=DATA).write(each)
    first, second = senders
    meanwhile = [first]

    def write_first(session: Session, *_: Any) -> None:
        if meanwhile and any(isinstance(row, SqlDataset) for row in session.new):
            place = meanwhile.pop()
            _send(place, by=senders[place])

    event.listen(Session, "before_flush", write_first)
    try:
        _send(second, by=senders[second])
    finally:
        event.remove(Session, "before_flush", write_first)
    assert meanwhile == []
    for each in senders:
        inputs = store.get_run(read_sent(each).run_id).inputs.dataset_inputs
        assert {one.dataset.digest for one in inputs} == {"digest16", "digest17"}


class _Killed(BaseException):
    """Stands in for a signal that leaves no time for anything."""


@pytest.mark.parametrize("error", [MlflowException("the line broke"), _Killed()], ids=repr)
@pytest.mark.parametrize("last", ["create_run", "log_batch", "log_artifact", "set_terminated"])
def test_the_answer_is_lost_or_the_process_dies_before_it_can_note_what_it_sent(
    store: MlflowClient,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
    error: BaseException,
) -> None:
    """All is there, but who sent it does not know: nothing must be made twice."""
    call = getattr(MlflowClient, last)

    def lose(*arguments: Any, **named: Any) -> None:
        call(*arguments, **named)
        raise error

    own = folder / "o'brien's \"run\" 100%"
    own.mkdir()
    _record(FIRST, SECOND, data=DATA, state=State.FINISHED, summary={"wall": 2.0}).write(own)
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, last, lose)
        if isinstance(error, _Killed):
            with pytest.raises(_Killed):
                Exporter(folder).send(own)
        else:
            assert Exporter(folder).send(own) == "MLflow: the line broke"
    assert Exporter(folder).send(own) == ""
    (run,) = store.search_runs(_experiment(store))
    assert (run.info.run_id, run.info.status) == (read_sent(own).run_id, "FINISHED")
    for name, steps in (("a", [0, 2]), ("run/wall", [0])):
        assert [m.step for m in store.get_metric_history(run.info.run_id, name)] == steps


def test_a_full_disk_costs_only_the_note(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(FIRST, state=State.FINISHED).write(folder)
    (folder / SENT_FILE).mkdir()  # what cannot be replaced by a file
    for _ in range(2):
        assert Exporter(folder).send(folder) == ""
    (run,) = store.search_runs(_experiment(store))
    assert len(store.get_metric_history(run.info.run_id, "a")) == 1


def test_tracking_can_be_left_out(folder: Path) -> None:
    record = _record(FIRST, tracking="none", state=State.FINISHED)
    before = record.write(folder)
    assert Exporter(folder).send(folder) == ""
    assert list(folder.iterdir()) == [before]


def test_a_folder_without_a_record_has_nothing_to_send(folder: Path) -> None:
    assert Exporter(folder).send(folder) == ""


def test_a_sweep_outlives_its_store(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = SweepTracker.start(*open_store(store.tracking_uri, "tests"), "the sweep", {}, {})

    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("gone")

    monkeypatch.setattr(MlflowClient, "set_terminated", fail)
    sweep.finish("FINISHED")
    assert [record.getMessage() for record in caplog.records] == [
        f"MLflow: sweep {sweep.run_id} could not be changed (gone)"
    ]
