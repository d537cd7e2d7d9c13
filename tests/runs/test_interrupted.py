"""A run that goes on after an interruption gives what it would have given undisturbed."""

import logging
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import CHECKPOINT_FILE, Checkpoint
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.sent import SENT_FILE
from gsnr_sweep.records.status import read_status
from gsnr_sweep.runs.control import Attempt, RunControl
from gsnr_sweep.runs.outcome import RunResult, RunStoppedError
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import tiny_config
from tests.fakes import send

EPOCHS = 5
SMALL = ("n=12", "n_test=16", f"epochs={EPOCHS}", "measure_at=[0,2,4,5]", "checkpoint_minutes=null")
UNTRACKED = (*SMALL, "tracking=none")
MLP = ("model=mlp", "ch=4", "lr=0.1")
TRANSITIONS = (
    "+measures.functions.transitions=gsnr_sweep.measures.sign_transitions.sign_transitions"
)
CASES = {
    "table2": ("lr=0.1",),
    "table3": ("model=table3_cnn", "ch=2", "lr=0.1"),
    "table3_in_chunks": ("model=table3_cnn", "ch=2", "lr=0.1", "chunk_size=7"),
    "mlp": MLP,
    "toy": ("data=toy", "model=mlp", "ch=5", "lr=0.1"),
    "float64": ("dtype=float64", "lr=0.1"),
    "threads": ("n_sets=3", "threads=3", "lr=0.1"),
    "noise": (*MLP, "p_random=0.5", "model.init=he"),
    "adam": (
        *(*MLP, "optim=adam", "optim.batch_size=5", "optim.schedule=cosine"),
        *("lr=0.01", "measure_at=[0,step:2,step:7,2,end]", "stop.train_loss=1e-9"),
    ),
    "dropout": (
        *("model=custom", f"model._target_={__name__}.Dropping", "optim=sgd", "optim.batch_size=5"),
        *("measures.batch_norm=running", "loss=cross_entropy", "loss.label_smoothing=0.1"),
        *("lr=0.1", "optim.args.momentum=0.9", "n_sets=3", "threads=2", "measures.own_steps=4"),
    ),
    "followed": (
        "data=toy",
        "model=mlp",
        "ch=5",
        "lr=0.1",
        "measure_at=log:4",
        "model.frozen=[fc1.bias]",
        "measures.parameters=[fc2.weight]",
        *(
            f"+measures.functions.{name}=gsnr_sweep.measures.{name}.{name}"
            for name in ("feature_target", "weight_gradient", "first_term", "sign_transitions")
        ),
    ),
}


class Dropping(nn.Module):
    """Random, and normalized by running statistics."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.flat, self.first, self.norm = nn.Flatten(), nn.Linear(784, 6), nn.BatchNorm1d(6)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(6, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, n_outputs]."""
        hidden: Tensor = self.drop(self.norm(self.first(self.flat(x))).tanh())
        return self.last(hidden)


Numbers = list[tuple[float, dict[str, float], list[str], dict[str, list[float | None]]]]


def _cfg(*overrides: str) -> Config:
    return tiny_config(*UNTRACKED, *overrides)


def _numbers(record: RunRecord) -> Numbers:
    return [(m.epoch, m.metrics, m.nonfinite, m.arrays) for m in record.measurements]


@lru_cache
def _undisturbed(*overrides: str) -> Numbers:
    with TemporaryDirectory() as folder:
        return _numbers(run_point(_cfg(*overrides), Path(folder)).record)


def _stop(cfg: Config, folder: Path, epoch: int, at_once: bool = False, **attempt: Any) -> None:
    """Start a run and ask it to stop so that it has then taken so many steps in all."""
    request = RunControl()

    def on_epoch(reached: int) -> None:
        if reached == epoch - 1:
            request.stop("as the test wants it")

    if at_once or epoch == 1:
        request.stop("as the test wants it")
    with pytest.raises(RunStoppedError, match=f"Stopped at epoch {epoch} of {EPOCHS}"):
        run_point(cfg, folder, on_epoch, Attempt(request=request, **attempt))


def _resume(cfg: Config, folder: Path, number: int = 2, **attempt: Any) -> RunResult:
    return run_point(cfg, folder, attempt=Attempt(number, **attempt))


def _lost(cfg: Config, folder: Path, to: Path, at: int, saved: int | None = None) -> None:
    """Leave in `to` what lies on disk if the process is killed after so many steps.

    Args:
        cfg: The run.
        folder: Where it runs.
        to: What stays.
        at: Steps taken when it is killed.
        saved: Steps taken when it wrote its only checkpoint; None if it wrote none.
    """
    request = RunControl()
    folder.mkdir()

    def on_epoch(reached: int) -> None:
        if saved is not None and reached == saved - 1:
            request.save()
        if reached == at:
            shutil.copytree(folder, to)

    if saved == 1:
        request.save()
    run_point(cfg, folder, on_epoch, Attempt(request=request))
    assert (to / CHECKPOINT_FILE).exists() == (saved is not None)


# --- the same numbers, bit for bit


@pytest.mark.parametrize("epoch", [1, 2, 3, EPOCHS], ids=lambda epoch: f"at {epoch}")
@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    folder: Path, overrides: tuple[str, ...], epoch: int
) -> None:
    """Before, at and after an epoch that is measured, and with all steps taken."""
    cfg = _cfg(*overrides)
    _stop(cfg, folder, epoch)
    record = RunRecord.read(folder / "record.json")
    assert record.state == "interrupted"
    schedule = sorted(cfg.measured_epochs)
    assert [m.epoch for m in record.measurements] == [e for e in schedule if e < epoch]
    epochs: list[int] = []
    result = run_point(cfg, folder, epochs.append, Attempt(2))
    assert epochs == list(range(epoch + 1, EPOCHS + 1))  # no step was taken twice
    assert _numbers(result.record) == _undisturbed(*overrides)
    assert _numbers(RunRecord.read(folder / "record.json")) == _undisturbed(*overrides)


def test_the_cases_are_sensitive_to_a_step_more_or_less(folder: Path) -> None:
    """Without this the equalities above would say little."""
    for overrides in CASES.values():
        by_epoch = {epoch: metrics for epoch, metrics, *_ in _undisturbed(*overrides)}
        losses = {metrics["train_loss"] for metrics in by_epoch.values()}
        assert len(losses) == len(by_epoch) >= 4


def test_lists_are_among_what_is_compared() -> None:
    undisturbed = _undisturbed(*CASES["followed"])
    assert [epoch for epoch, *_ in undisturbed] == [0, 1, 2, 5]
    for name in ("gsnr/fc2.weight", "p_same_sign/fc2.weight", "feature_target/fc2.weight"):
        assert all(len(arrays[name]) == 5 for *_, arrays in undisturbed)
    assert len({str(arrays["gsnr/fc2.weight"]) for *_, arrays in undisturbed}) == 4
    assert all("corr_dg_w" in metrics for _, metrics, *_ in undisturbed)
    assert ["changed" in metrics for _, metrics, *_ in undisturbed] == [False, True, True, True]
    assert all("first_term_corr/fc2" in metrics for _, metrics, *_ in undisturbed)


def test_a_run_that_is_interrupted_at_every_step(folder: Path) -> None:
    cfg = _cfg(*MLP)
    for epoch in range(1, EPOCHS + 1):
        _stop(cfg, folder, epoch, at_once=True, number=epoch)
    assert _numbers(_resume(cfg, folder, EPOCHS + 1).record) == _undisturbed(*MLP)


def test_a_run_may_go_on_with_other_threads_and_other_chunks(folder: Path) -> None:
    """Neither is a setting that a checkpoint must agree with."""
    _stop(_cfg("lr=0.1", "threads=1"), folder, 3)
    result = _resume(_cfg("lr=0.1", "threads=2", "device=cpu"), folder)
    assert _numbers(result.record) == _undisturbed("lr=0.1")


def test_what_an_interrupted_run_says_of_itself(folder: Path) -> None:
    cfg = _cfg(*MLP)
    _stop(cfg, folder, 3)
    status = read_status(folder)
    assert status is not None
    assert (status.state, status.epoch, status.attempt) == ("interrupted", 3, 1)
    assert status.message == f"Stopped at epoch 3 of {EPOCHS} (as the test wants it)."
    assert (folder / CHECKPOINT_FILE).is_file()
    _resume(cfg, folder)
    status = read_status(folder)
    assert status is not None
    assert (status.state, status.epoch, status.started_at) == ("finished", EPOCHS, 3)
    assert status.attempt == 2
    assert RunRecord.read(folder / "record.json").error == ""
    assert not (folder / CHECKPOINT_FILE).exists()


def test_time_spent_before_counts(folder: Path) -> None:
    cfg = _cfg(*MLP)
    _stop(cfg, folder, 3)
    checkpoint = Checkpoint.read(folder)
    assert checkpoint is not None
    spent = {"wall": 5000.0, "compute": 4000.0}
    fields = {**vars(checkpoint), "seconds": spent}
    Checkpoint(**fields).write(folder)
    summary = _resume(cfg, folder).record.summary
    assert 5000 < summary["wall_time_s"] < 5900
    assert 0 < summary["overhead_s"] - 1000 < 900


# --- after a loss


@pytest.mark.parametrize(
    ("saved", "killed"), [(1, 3), (2, 3), (2, 5), (4, 5), (None, 3), (None, 5)], ids=str
)
@pytest.mark.parametrize(
    "overrides",
    [MLP, CASES["table3"], CASES["followed"], (*CASES["adam"], TRANSITIONS)],
    ids=["mlp", "table3", "followed", "adam"],
)
def test_a_run_whose_process_was_lost_keeps_what_it_measured(
    folder: Path, overrides: tuple[str, ...], saved: int | None, killed: int
) -> None:
    """Its record is ahead of its checkpoint, or there is no checkpoint at all."""
    cfg, place = _cfg(*overrides), folder / "killed"
    _lost(cfg, folder / "alive", place, killed, saved)
    left = RunRecord.read(place / "record.json")
    assert left.state == "running"
    epochs: list[int] = []
    result = run_point(cfg, place, epochs.append, Attempt(2))
    assert epochs[0] == (saved or 0) + 1
    assert _numbers(result.record) == _undisturbed(*overrides)
    times = {m.epoch: m.time_ms for m in result.record.measurements}
    assert all(times[m.epoch] == m.time_ms for m in left.measurements)  # they were not repeated


def test_a_checkpoint_that_is_cut_off_does_no_harm(folder: Path) -> None:
    cfg = _cfg(*MLP)
    _stop(cfg, folder, 3)
    path = folder / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:-7])
    assert _numbers(_resume(cfg, folder).record) == _undisturbed(*MLP)


def test_a_record_that_is_lost_with_its_checkpoint_kept(folder: Path) -> None:
    cfg = _cfg(*MLP)
    _stop(cfg, folder, 3)
    (folder / "record.json").write_text("")
    assert _numbers(_resume(cfg, folder).record) == _undisturbed(*MLP)


def test_an_attempt_that_fails_leaves_the_last_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = _cfg(*MLP, "checkpoint_minutes=0")
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise GsnrError("the disk is full")

    def on_epoch(epoch: int) -> None:
        if epoch == 3:
            monkeypatch.setattr("gsnr_sweep.records.checkpoint.Checkpoint.write", fail)

    with pytest.raises(GsnrError, match="the disk is full"):
        run_point(cfg, folder, on_epoch)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert calls == [1]
    checkpoint = Checkpoint.read(folder)
    assert checkpoint is not None
    assert checkpoint.epoch == 3
    status = read_status(folder)
    assert status is not None
    assert status.state == "failed"
    assert _numbers(_resume(cfg, folder).record) == _undisturbed(*MLP)


# --- what does not belong together


def _starts_anew(cfg: Config, folder: Path, caplog: pytest.LogCaptureFixture, why: str) -> Numbers:
    epochs: list[int] = []
    with caplog.at_level(logging.WARNING):
        result = run_point(cfg, folder, epochs.append, Attempt(2))
    (told,) = [r.getMessage() for r in caplog.records if "starting anew" in r.getMessage()]
    assert why in told
    assert epochs[0] == 1
    return _numbers(result.record)


def test_other_settings_are_refused_and_the_run_goes_on_later(folder: Path) -> None:
    _stop(_cfg(*MLP), folder, 3)
    with pytest.raises(GsnrError, match="holds the run"):
        _resume(_cfg(*MLP, "seed=7"), folder)
    assert _numbers(_resume(_cfg(*MLP), folder).record) == _undisturbed(*MLP)


def test_other_code_starts_anew_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("gsnr_sweep.runs.runner.code_version", lambda _: "0.0.1+old")
        _stop(_cfg(*MLP), folder, 3)
    found = _starts_anew(_cfg(*MLP), folder, caplog, "the code changed")
    assert found == _undisturbed(*MLP)


def _other_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run draw sets in which one pixel is another."""
    from gsnr_sweep.runs import runner as run

    plain = run.draw_sets

    def draw(*arguments: Any) -> RunSets:
        sets = plain(*arguments)
        sets.train[0].x.view(-1)[300] += 1
        return sets

    monkeypatch.setattr("gsnr_sweep.runs.runner.draw_sets", draw)


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_other_data_start_anew_and_say_so(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    with_checkpoint: bool,
) -> None:
    with monkeypatch.context() as patch:
        _other_draw(patch)
        _stop(_cfg(*MLP), folder, 3)
    if not with_checkpoint:
        (folder / CHECKPOINT_FILE).unlink()
    found = _starts_anew(_cfg(*MLP), folder, caplog, "the data are not what they were")
    assert found == _undisturbed(*MLP)


def test_time_spent_on_what_was_thrown_away_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = _cfg(*MLP)
    with monkeypatch.context() as patch:
        _other_draw(patch)
        _stop(cfg, folder, 3)
    checkpoint = Checkpoint.read(folder)
    assert checkpoint is not None
    spent = {"wall": 5000.0, "compute": 4000.0}
    Checkpoint(**{**vars(checkpoint), "seconds": spent}).write(folder)
    assert _resume(cfg, folder).record.summary["wall_time_s"] < 900


# --- from another folder


def test_going_on_from_an_earlier_launch(folder: Path) -> None:
    cfg, earlier, here = _cfg(*MLP), folder / "earlier", folder / "here"
    for place in (earlier, here):
        place.mkdir()
    _stop(cfg, earlier, 3)
    before = RunRecord.read(earlier / "record.json")
    epochs: list[int] = []
    result = run_point(cfg, here, epochs.append, Attempt(1, resume_from=earlier))
    assert epochs[0] == 4
    assert _numbers(result.record) == _undisturbed(*MLP)
    times = [m.time_ms for m in result.record.measurements]
    assert times[:2] == [m.time_ms for m in before.measurements]
    assert not (earlier / CHECKPOINT_FILE).exists()  # of no use any more
    assert RunRecord.read(earlier / "record.json") == before


def test_the_own_checkpoint_comes_before_an_earlier_launchs(folder: Path) -> None:
    cfg, earlier, here = _cfg(*MLP), folder / "earlier", folder / "here"
    for place in (earlier, here):
        place.mkdir()
    _stop(cfg, earlier, 2)
    _stop(cfg, here, 4, resume_from=earlier)
    epochs: list[int] = []
    result = run_point(cfg, here, epochs.append, Attempt(2, resume_from=earlier))
    assert epochs == [5]
    assert _numbers(result.record) == _undisturbed(*MLP)


def test_an_earlier_launchs_checkpoint_outlives_a_loss_before_the_first_own_one(
    folder: Path,
) -> None:
    """The own folder has a record by then, but no weights."""
    cfg, earlier, here = _cfg(*MLP), folder / "earlier", folder / "here"
    earlier.mkdir()
    _stop(cfg, earlier, 3)
    here.mkdir()
    kept = folder / "kept"
    shutil.copytree(earlier, kept)

    def on_epoch(epoch: int) -> None:
        if epoch == 4:
            shutil.copytree(here, folder / "killed")

    run_point(cfg, here, on_epoch, Attempt(1, resume_from=earlier))
    killed = folder / "killed"
    assert not (killed / CHECKPOINT_FILE).exists()
    epochs: list[int] = []
    result = run_point(cfg, killed, epochs.append, Attempt(2, resume_from=kept))
    assert _numbers(result.record) == _undisturbed(*MLP)
    assert epochs == [4, 5]


# --- randomness


def wavering(snapshot: Snapshot) -> dict[str, float]:
    """A user's measure that draws, as a bootstrap does."""
    return {"mine": float(torch.rand(()))}


def test_random_numbers_go_on_where_they_were(folder: Path) -> None:
    cfg = _cfg(*MLP, f"+measures.functions.mine={__name__}.wavering")
    places = {name: folder / name for name in ("whole", "parts")}
    for place in places.values():
        place.mkdir()
    torch.manual_seed(1)
    whole = run_point(cfg, places["whole"]).record
    torch.manual_seed(1)
    _stop(cfg, places["parts"], 3)
    torch.manual_seed(2)  # another process has other random numbers
    assert _numbers(_resume(cfg, places["parts"]).record) == _numbers(whole)


# --- in MLflow


def _histories(store: MlflowClient, run_id: str, record: RunRecord) -> dict[str, list[Any]]:
    names = {name for m in record.measurements for name in m.metrics}
    return {
        name: sorted((m.step, m.value, m.timestamp) for m in store.get_metric_history(run_id, name))
        for name in names
    }


def _expected(record: RunRecord) -> dict[str, list[Any]]:
    names = {name for m in record.measurements for name in m.metrics}
    return {
        name: [
            (m.epoch, m.metrics[name], m.time_ms) for m in record.measurements if name in m.metrics
        ]
        for name in names
    }


def _tracked(*overrides: str) -> Config:
    return tiny_config(*SMALL, *MLP, *overrides)


def test_mlflow_has_every_value_once(store: MlflowClient, folder: Path) -> None:
    _stop(_tracked(), folder, 3)
    first = send(folder)
    assert store.get_run(first).info.status == "KILLED"
    record = _resume(_tracked(), folder).record
    assert send(folder) == first
    before = store.get_metric_history(first, "run/wall_time_s")
    assert len(before) == 1
    (folder / SENT_FILE).unlink()  # sending everything again doubles nothing
    assert send(folder) == first
    assert _histories(store, first, record) == _expected(record)
    assert store.get_metric_history(first, "run/wall_time_s") == before
    run = store.get_run(first)
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("FINISHED", "finished")
    assert run.data.tags["gsnr.error"] == ""
    assert len(run.inputs.dataset_inputs) == 2
    assert len(store.search_runs([run.info.experiment_id])) == 1


def test_a_lost_process_has_its_run_continued_in_mlflow(store: MlflowClient, folder: Path) -> None:
    """Values that had been sent and are not on disk any more belong to another MLflow run."""
    place = folder / "killed"
    _lost(_tracked(), folder / "alive", place, 5, 2)
    send(place, folder)
    record = run_point(_tracked(), place, attempt=Attempt(2)).record
    assert _histories(store, send(place, folder), record) == _expected(record)


def test_a_resumed_run_of_another_launch_is_complete_in_mlflow(
    store: MlflowClient, folder: Path
) -> None:
    earlier, here = folder / "earlier", folder / "here"
    for place in (earlier, here):
        place.mkdir()
    _stop(_tracked("tracking=none"), earlier, 3)
    record = run_point(_tracked(), here, attempt=Attempt(resume_from=earlier)).record
    assert _histories(store, send(here, folder), record) == _expected(record)


@pytest.mark.parametrize("changed", ["code", "data"])
def test_a_run_that_starts_anew_has_every_value_once_in_mlflow(
    store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    with monkeypatch.context() as patch:
        if changed == "code":
            patch.setattr("gsnr_sweep.runs.runner.code_version", lambda _: "0.0.1+old")
        else:
            _other_draw(patch)
        _stop(_tracked(), folder, 3)
        first = send(folder)
    record = _resume(_tracked(), folder).record
    second = send(folder)
    assert second != first
    assert _numbers(record) == _undisturbed(*MLP)
    assert _histories(store, second, record) == _expected(record)


# --- the ensemble alone


@pytest.fixture(scope="module")
def make_ensemble() -> Callable[[], Ensemble]:
    from gsnr_sweep.data.registry import distribution
    from gsnr_sweep.data.sampling import draw_sets
    from gsnr_sweep.runs.runner import build_ensemble

    cfg = _cfg(*CASES["table3"], "measure_at=[0,1,2,3,4,5]")
    sets = draw_sets(distribution(cfg.data), cfg.sampling)
    return lambda: build_ensemble(cfg, sets, torch.device("cpu"))


def test_measured_epochs_are_passed_over(make_ensemble: Callable[[], Ensemble]) -> None:
    told: list[int] = []
    found = [s.epoch for s in make_ensemble().run(told.append, measured=[0, 3, 5])]
    assert found == [1, 2, 4]
    assert told == [1, 2, 3, 4, 5]


def test_a_later_beginning(make_ensemble: Callable[[], Ensemble]) -> None:
    told: list[int] = []
    assert [s.epoch for s in make_ensemble().run(told.append, 4)] == [4, 5]
    assert told == [5]
    assert [s.epoch for s in make_ensemble().run(None, EPOCHS)] == [EPOCHS]
    assert list(make_ensemble().run(None, EPOCHS, [EPOCHS])) == []


def test_a_state_taken_out_and_put_back(make_ensemble: Callable[[], Ensemble]) -> None:
    one, other = make_ensemble(), make_ensemble()
    initial = {name: tensor.clone() for name, tensor in other.state().items()}
    list(one.run())
    state = {name: tensor.clone() for name, tensor in one.state().items()}
    assert {name.partition(".")[0] for name in state} == {"0", "1"}
    weights = [name for name in state if ".buffer." not in name]
    assert all(state[name].dtype == torch.float64 for name in weights)
    assert any(not torch.equal(state[name], initial[name]) for name in weights)
    other.load_state(state)
    assert all(torch.equal(other.state()[name], tensor) for name, tensor in state.items())
    for a, b in zip(one.replicas, other.replicas, strict=True):
        pairs = zip(a.model.parameters(), b.model.parameters(), strict=True)
        assert all(torch.equal(p, q) for p, q in pairs)


def test_a_state_of_fewer_replicas_is_refused(make_ensemble: Callable[[], Ensemble]) -> None:
    ensemble = make_ensemble()
    with pytest.raises(KeyError):
        ensemble.load_state({n: t for n, t in ensemble.state().items() if n.startswith("0.")})
