"""Weights that a finished run kept are measured by others, and trained no more."""

from pathlib import Path

import pytest

from gsnr_sweep.config.schema import Config
from gsnr_sweep.launcher.reuse import plan_runs, read_history
from gsnr_sweep.preflight.check import check
from gsnr_sweep.records.checkpoint import WEIGHTS_FILE, Checkpoint
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.state import Action
from gsnr_sweep.records.status import read_status
from gsnr_sweep.runs import runner
from gsnr_sweep.runs.control import Attempt
from gsnr_sweep.runs.runner import run_point
from tests.conftest import expanded, tiny_config

TINY = ("n=30", "n_sets=2", "n_test=50", "tracking=none", "lr=0.1")
TRAINED = ("epochs=3", "measure_at=[1,3]", "keep_weights=true")
NEW_MEASURE = (
    "+measures.functions.weight_gradient=gsnr_sweep.measures.weight_gradient.weight_gradient"
)
NETWORKS = {
    "mlp": ("model=mlp",),
    "toy": ("data=toy", "model=mlp"),
    "batch_normalization": ("model=table3_cnn", "ch=2", "n=12"),
}


def _cfg(*overrides: str) -> Config:
    return tiny_config(*TINY, *overrides)


def _run(cfg: Config, folder: Path, resume_from: Path | None = None) -> RunRecord:
    folder.mkdir()
    return run_point(cfg, folder, attempt=Attempt(resume_from=resume_from)).record


def _trained_from(folder: Path) -> int:
    status = read_status(folder)
    assert status is not None
    return status.started_at


@pytest.mark.parametrize("network", NETWORKS)
def test_a_new_measure_needs_no_training(tmp_path: Path, network: str) -> None:
    own = NETWORKS[network]
    _run(_cfg(*own, *TRAINED), tmp_path / "trained")
    wanted = _cfg(*own, "epochs=3", "measure_at=[3]", NEW_MEASURE)
    scratch = _run(wanted, tmp_path / "scratch")
    measured = _run(wanted, tmp_path / "measured", tmp_path / "trained")
    assert (_trained_from(tmp_path / "scratch"), _trained_from(tmp_path / "measured")) == (0, 3)
    assert any(name.startswith("corr_dg_w") for name in measured.measurements[0].metrics)
    assert [(m.epoch, m.metrics, m.arrays) for m in measured.measurements] == [
        (m.epoch, m.metrics, m.arrays) for m in scratch.measurements
    ]


def test_training_goes_on_from_kept_weights(tmp_path: Path) -> None:
    _run(_cfg("model=mlp", *TRAINED), tmp_path / "trained")
    longer = _cfg("model=mlp", "epochs=6", "measure_at=[4,6]")
    scratch = _run(longer, tmp_path / "scratch")
    further = _run(longer, tmp_path / "further", tmp_path / "trained")
    assert _trained_from(tmp_path / "further") == 3
    assert [m.metrics for m in further.measurements] == [m.metrics for m in scratch.measurements]


@pytest.mark.parametrize(
    "others", [("lr=0.2",), ("seed=1",), ("measure_at=[2,3]",), ("model.init=he",)]
)
def test_other_weights_are_trained(tmp_path: Path, others: tuple[str, ...]) -> None:
    _run(_cfg("model=mlp", *TRAINED), tmp_path / "trained")
    _run(
        _cfg("model=mlp", "epochs=3", "measure_at=[3]", *others),
        tmp_path / "o",
        tmp_path / "trained",
    )
    assert _trained_from(tmp_path / "o") == 0


def test_weights_of_other_code_are_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(_cfg("model=mlp", *TRAINED), tmp_path / "trained")
    weights = Checkpoint.read(tmp_path / "trained", WEIGHTS_FILE)
    assert weights is not None
    assert (weights.epoch, weights.measurements) == (3, [])
    known = runner.training_identity
    changed = lambda cfg: type(known(cfg))(known(cfg).hash, "0.1.0+other", 3)  # noqa: E731
    monkeypatch.setattr(runner, "training_identity", changed)
    wanted = _cfg("model=mlp", "epochs=3", "measure_at=[3]")
    _run(wanted, tmp_path / "measured", tmp_path / "trained")
    assert _trained_from(tmp_path / "measured") == 0


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    _run(_cfg("model=mlp", "epochs=3", "measure_at=[3]"), tmp_path / "run")
    assert not (tmp_path / "run" / WEIGHTS_FILE).exists()


def test_who_measures_kept_weights_may_keep_them_too(tmp_path: Path) -> None:
    _run(_cfg("model=mlp", *TRAINED), tmp_path / "trained")
    again = _cfg("model=mlp", *TRAINED[::2], "measure_at=[3]")
    _run(again, tmp_path / "again", tmp_path / "trained")
    first, second = (Checkpoint.read(tmp_path / n, WEIGHTS_FILE) for n in ("trained", "again"))
    assert first is not None
    assert second is not None
    assert all(bool((first.tensors[k] == second.tensors[k]).all()) for k in first.tensors)


def test_a_launch_finds_kept_weights(folder: Path) -> None:
    arguments = (*TINY, "model=mlp", "epochs=3", "measure_at=[3]")
    trained = folder / "outputs" / "2026-01-01" / "10-00-00"
    trained.parent.mkdir(parents=True)
    _run(_cfg("model=mlp", *TRAINED), trained)
    points = check(expanded(*arguments).points)
    sweep = folder / "multirun" / "2026-01-02" / "11-00-00"
    history = read_history(points, folder, sweep)
    (run,) = plan_runs(points, ["new"], history, sweep)
    assert (run.action, run.resume_epoch) == (Action.RUN, 3)
    assert (sweep / run.resume_from).resolve() == trained.resolve()
    assert "weights kept" in run.note
    points = check(expanded(*arguments, "measure_at=[1,3]").points)  # 1 is before the kept weights
    (run,) = plan_runs(points, ["new"], read_history(points, folder, sweep), sweep)
    assert run.action == Action.REUSE  # the very run that kept them
