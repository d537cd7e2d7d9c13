"""One run from config to record: what it leaves behind, on a good day and on a bad one."""

import dataclasses
import json
import math
import signal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor, nn

from gsnr_sweep.config.identity import config_hash
from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.fingerprint import samples_digest
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import WEIGHTS_FILE, Checkpoint
from gsnr_sweep.records.leases import standing
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.status import read_status
from gsnr_sweep.runs.outcome import DivergedError, RunResult
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.runs.status_reporter import StatusReporter
from gsnr_sweep.training.snapshot import Snapshot
from gsnr_sweep.user_code import UserCodeError
from tests.conftest import tiny_config
from tests.fakes import send

SMALL = ("model=mlp", "ch=4", "n=12", "n_test=20")
METRICS = {
    *("osgr_lhs", "osgr_lhs_se", "osgr_rhs", "osgr_rhs_se", "train_loss", "test_loss"),
    *("train_acc", "test_acc", "gen_gap", "grad_sq_norm", "grad_var_sum", "taylor_ratio"),
    *("gsnr_mean", "gsnr_median", "gsnr_debiased_mean", "gsnr_alive_fraction", "p_same_sign"),
}


def _run(folder: Path, *overrides: str, **more: Any) -> RunResult:
    folder.mkdir(exist_ok=True)
    return run_point(tiny_config(*SMALL, "tracking=none", *overrides), folder, **more)


def _numbers(result: RunResult) -> list[tuple[int, dict[str, float]]]:
    return [(m.epoch, m.metrics) for m in result.record.measurements]


# --- a good day


def test_a_run_leaves_its_record_and_its_status(folder: Path) -> None:
    result = _run(folder)
    record = RunRecord.read(folder / "record.json")
    assert record == result.record
    cfg = tiny_config(*SMALL, "tracking=none")
    assert record.config == dataclasses.asdict(cfg)
    assert record.config_hash == config_hash(cfg)
    assert (record.name, record.state) == ("n=12 ch=4 p=0.0", "finished")
    assert [m.epoch for m in record.measurements] == [0, 2]
    for measurement in record.measurements:
        assert set(measurement.metrics) >= METRICS
        assert measurement.nonfinite == []
    summary = record.summary
    assert summary["n_parameters"] == 784 * 4 + 4 + 4 * 10 + 10
    assert 0 < summary["overhead_s"] < summary["wall_time_s"]
    assert summary["train_samples_per_s"] > 0
    assert summary["peak_memory_mb"] > 10
    environment = record.environment
    assert environment["version.torch"] == torch.__version__
    assert {"host", "device", "python", "version.mlflow-skinny"} <= set(environment)
    status = read_status(folder)
    assert status is not None
    assert (status.state, status.epoch, status.epochs) == ("finished", 2, 2)
    assert status.message.startswith("epoch 2: LHS ")
    assert (summary["epochs_trained"], record.stopped_by) == (2, "")
    run_point(cfg, folder)  # told again, nothing is computed
    assert read_status(folder) is not None
    assert read_status(folder).epoch == 2  # type: ignore[union-attr]


def test_a_run_that_stops_says_when_and_why(tmp_path: Path) -> None:
    stops = ("stop.train_loss=100", "epochs=9", "measure_at=[0]", "optim=sgd", "keep_weights=true")
    cfg = tiny_config(*stops, "optim.batch_size=5", "tracking=none")
    record = run_point(cfg, tmp_path).record
    assert (record.stopped_by, record.summary["epochs_trained"]) == ("stop.train_loss", 0)
    assert [(m.epoch, m.step, m.is_end) for m in record.measurements] == [(0, 0, True)]
    status = read_status(tmp_path)
    assert status is not None
    assert (status.state, status.epoch) == ("finished", 0)
    assert RunRecord.read(tmp_path / "record.json").stopped_by == "stop.train_loss"
    kept = Checkpoint.read(tmp_path, WEIGHTS_FILE)
    assert kept is not None
    assert kept.epoch == 0


def test_losses_in_the_record_are_those_of_the_initial_weights(folder: Path) -> None:
    """Against the network and the sets, put together by hand."""
    cfg = tiny_config(*SMALL, "tracking=none", "p_random=0.5")
    result = run_point(cfg, folder)
    torch.manual_seed(torch_seed(0, Stream.INITIAL_WEIGHTS))
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 4), torch.nn.ReLU(), torch.nn.Linear(4, 10)
    )
    sets = draw_sets(distribution(cfg.data), cfg.sampling)

    @torch.no_grad()
    def loss(samples: Samples) -> float:
        x = (samples.x.float() / 255 - 0.1605) / 0.2908
        return float(torch.nn.functional.cross_entropy(model(x), samples.y))

    found = result.record.measurements[0].metrics
    expected = sum(map(loss, sets.train)) / 2
    assert found["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert found["test_loss"] == pytest.approx(loss(sets.test), rel=1e-5)
    assert found["gen_gap"] == pytest.approx(loss(sets.test) - expected, abs=1e-5)


def test_measuring_before_any_training(folder: Path) -> None:
    result = _run(folder, "epochs=0", "measure_at=[0]")
    assert [m.epoch for m in result.record.measurements] == [0]
    assert result.record.state == "finished"


def test_measuring_leaves_training_alone(folder: Path) -> None:
    often = _numbers(_run(folder / "often", "epochs=4", "measure_at=[0,1,2,3,4]"))
    once = _numbers(_run(folder / "once", "epochs=4", "measure_at=[4]"))
    assert once == often[4:]


def test_progress_is_told_step_by_step(folder: Path) -> None:
    epochs: list[int] = []
    _run(folder, "epochs=3", "measure_at=[0]", on_epoch=epochs.append)
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2, 3}


@pytest.mark.parametrize(
    "change", ["threads=1", "threads=2", "n_test=20"], ids=["one", "two", "again"]
)
def test_numbers_do_not_depend_on_threads_or_repetition(folder: Path, change: str) -> None:
    changed, plain = _run(folder / "changed", change), _run(folder / "plain")
    assert _numbers(changed) == _numbers(plain)
    times = [[m.time_ms for m in result.record.measurements] for result in (changed, plain)]
    assert times[0] != times[1]  # it did run again


def test_other_settings_give_other_numbers(folder: Path) -> None:
    plain = _numbers(_run(folder / "plain"))
    for change in ("seed=1", "p_random=0.5", "lr=0.01", "model.init=he", "dtype=float64"):
        assert _numbers(_run(folder / change, change)) != plain


def test_a_regression_has_no_accuracy(folder: Path) -> None:
    (first, _) = _run(folder, "data=toy").record.measurements
    assert not {"train_acc", "test_acc"} & {*first.metrics, *first.nonfinite}
    assert math.isfinite(first.metrics["osgr_lhs"])


def some_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, size=(70, 6, 6), dtype=np.uint8), rng.integers(4, size=70)
    return {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}


def pair() -> Any:
    of = some_arrays()
    return [list(zip(of[f"x_{s}"], of[f"y_{s}"].tolist(), strict=True)) for s in ("train", "test")]


def test_a_pair_of_data_sets_gives_the_numbers_of_its_arrays_in_a_file(folder: Path) -> None:
    np.savez(folder / "mine.npz", **some_arrays())
    file = _run(folder / "file", "data=npz", f"data.path={folder}/mine.npz", "p_random=0.3")
    own = _run(folder / "own", "data=custom", f"data._target_={__name__}.pair", "p_random=0.3")
    assert own.record.state == "finished"
    assert _numbers(own) == _numbers(file)
    digests = ("train_digest", "train_size", "train_sets", "test_digest", "test_size")
    assert [own.record.data[key] for key in digests] == [file.record.data[key] for key in digests]
    assert own.record.data["name"] == f"{__name__}.pair"
    assert own.record.data["source"] == f"{__name__}.pair()"


def test_digests_tell_sets_apart() -> None:
    x, y = torch.arange(6).view(3, 2), torch.arange(3)
    plain = samples_digest([Samples(x, y)])
    assert plain == samples_digest([Samples(x.clone(), y.clone())])
    assert plain != samples_digest([Samples(x.flip(0), y)])
    assert plain != samples_digest([Samples(x, y.flip(0))])
    assert len(plain) == 16


# --- order


def test_the_record_is_on_disk_before_anybody_hears_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, str, list[int]]] = []

    def listen(name: str) -> None:
        def method(reporter: StatusReporter, *_: Any) -> None:
            on_disk = RunRecord.read(folder / "record.json")
            epochs = [m.epoch for m in on_disk.measurements]
            heard.append((name, on_disk.state, epochs))

        monkeypatch.setattr(StatusReporter, name, method)

    for name in ("on_start", "on_measurement", "on_end"):
        listen(name)
    _run(folder)
    assert heard == [
        ("on_start", "running", []),
        ("on_measurement", "running", [0]),
        ("on_measurement", "running", [0, 2]),
        ("on_end", "finished", [0, 2]),
    ]


def test_a_run_knows_nothing_of_mlflow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever launched it sends its record; a worker need not even import MLflow."""
    monkeypatch.setattr(MlflowClient, "__init__", lambda *_: pytest.fail("nobody asked for it"))
    result = run_point(tiny_config(*SMALL), folder)
    assert result.record.state == "finished"


# --- a bad day


def fails_late(snapshot: Snapshot) -> dict[str, float]:
    """A measure that breaks at epoch 2."""
    if snapshot.epoch == 2:
        raise ArithmeticError("no such\nnumber")
    return {"mine": 1.0}


def test_what_was_measured_before_a_failure_is_kept(store: MlflowClient, folder: Path) -> None:
    cfg = tiny_config(*SMALL, f"+measures.functions.mine={__name__}.fails_late")
    with pytest.raises(UserCodeError):
        run_point(cfg, folder)
    record = RunRecord.read(folder / "record.json")
    assert (record.state, [m.epoch for m in record.measurements]) == ("failed", [0])
    assert record.measurements[0].metrics["mine"] == 1.0
    status = read_status(folder)
    assert status is not None
    line = fails_late.__code__.co_firstlineno + 3
    told = f"it fails (ArithmeticError: no such number, test_runner.py line {line})."
    assert (status.state, status.message) == ("failed", f"measures.functions.mine: {told}")
    run_id = send(folder)
    run = store.get_run(run_id)
    assert (run.info.status, run.data.tags["gsnr.state"]) == ("FAILED", "failed")
    assert run.data.tags["gsnr.error"] == record.error == status.message
    assert run.data.metrics["mine"] == 1.0


class Leaves(nn.Linear):
    """A network that ends Python once it has been tried."""

    left: ClassVar[list[BaseException]] = []

    def __init__(self) -> None:
        super().__init__(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and self.left:
            raise self.left[0]
        return super().forward(x)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(0), "it asks to leave Python: SystemExit 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
    ],
)
def test_code_of_the_users_does_not_end_the_process(
    folder: Path, error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Leaves, "left", [])
    model = f"model._target_={__name__}.Leaves"
    with pytest.raises(UserCodeError) as failure:
        _run(
            folder,
            *("data=toy", "model=custom", model),
            on_epoch=lambda _: Leaves.left.append(error),
        )
    assert str(failure.value).startswith(f"{model}: it ends the run ({words}, test_runner.py line")
    record = RunRecord.read(folder / "record.json")
    assert (record.state, record.error) == ("failed", str(failure.value))
    assert [m.epoch for m in record.measurements] == [0]


def test_a_result_that_cannot_be_written_is_no_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full just after the last measurement."""
    write = RunRecord.write

    def full(record: RunRecord, place: Path) -> Path:
        if record.state == "finished":
            raise GsnrError("record.json cannot be written (No space left on device).")
        return write(record, place)

    monkeypatch.setattr(RunRecord, "write", full)
    with pytest.raises(GsnrError, match="No space left"):
        _run(folder)
    now = standing(folder)
    assert (now.state, now.error.startswith("record.json cannot be")) == ("failed", True)
    monkeypatch.undo()
    again = _run(folder)
    assert [m.epoch for m in again.record.measurements] == [0, 2]
    assert standing(folder).state == "finished"


def test_a_folder_that_holds_another_run_is_refused(folder: Path) -> None:
    """The record of that run would be written over, and its MLflow run opened again."""
    _run(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(GsnrError, match=r"holds the run n=12.*other settings.*hydra\.run\.dir"):
        _run(folder, "seed=17")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_diverges_says_so_and_names_what_is_not_finite(
    store: MlflowClient, folder: Path
) -> None:
    cfg = tiny_config(*SMALL, "lr=1e30")
    with pytest.raises(DivergedError, match=r"epoch 0\. Try a learning rate below lr=1e\+30"):
        run_point(cfg, folder)
    record = RunRecord.read(folder / "record.json")
    assert record.state == "diverged"
    assert [m.epoch for m in record.measurements] == [0]  # the step from there on left the numbers
    last = record.measurements[0]
    assert "train_loss" in last.metrics
    assert {"osgr_lhs", "taylor_ratio"} <= set(last.nonfinite)
    assert not set(last.nonfinite) & set(last.metrics)
    assert json.loads((folder / "record.json").read_text())  # strict JSON, no NaN
    status = read_status(folder)
    assert status is not None
    assert status.state == "diverged"
    run_id = send(folder)
    run = store.get_run(run_id)
    assert run.info.status == "FAILED"
    assert "osgr_lhs" in run.data.tags["gsnr.nonfinite"]
    assert len(store.get_metric_history(run_id, "train_loss")) == 1


def test_an_interrupted_run_is_closed(store: MlflowClient, folder: Path) -> None:
    def interrupt(epoch: int) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_point(tiny_config(*SMALL), folder, interrupt)
    status = read_status(folder)
    assert status is not None
    assert (status.state, status.message) == ("interrupted", "KeyboardInterrupt")
    assert store.get_run(send(folder)).info.status == "KILLED"


def test_a_tracked_run_has_the_same_numbers_in_mlflow(store: MlflowClient, folder: Path) -> None:
    cfg: Config = tiny_config(*SMALL)
    result = run_point(cfg, folder)
    run_id = send(folder)
    run = store.get_run(run_id)
    for epoch, metrics in _numbers(result):
        for name, value in metrics.items():
            (found,) = [m.value for m in store.get_metric_history(run_id, name) if m.step == epoch]
            assert found == value
    assert run.data.metrics["run/n_parameters"] == result.record.summary["n_parameters"]
    digests = {i.dataset.digest for i in run.inputs.dataset_inputs}
    sets = draw_sets(distribution(cfg.data), cfg.sampling)
    assert digests == {samples_digest(sets.train), samples_digest([sets.test])}
