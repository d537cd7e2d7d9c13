"""The presets: the paper's grids, what figures share, and that every one of them runs."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.config.schedule import epochs_of
from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.papers.registry import FIGURES
from gsnr_sweep.preflight.check import check
from gsnr_sweep.runs.runner import run_point
from tests.conftest import CONF, expanded
from tests.papers.presets import SCALES, aggregate, configs_of, grid_of, value_of

COMMON = {
    "n_sets": 1, "lr": 0.01, "optim.name": "sgd", "optim.batch_size": 64,
    "optim.args": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    "stop.train_error": 0, "stop.train_loss": 0.01, "data.noisy_test": False,
    "measures.name": "neyshabur",
}  # fmt: skip
SIZES = (5000, 10_000, 20_000, 30_000, 40_000, 50_000)
VGG = {"data.name": "cifar10", "data.train_pool": 50_000, "model.name": "vgg", "ch": 64}
SEEDS = (0, 1, 2)
# By experiment: what is fixed at the paper's scale, the axes, and their values.
GRIDS: dict[str, tuple[dict[str, Any], tuple[str, ...], Iterable[tuple[Any, ...]]]] = {
    "neyshabur_fig1_norms": (
        VGG, ("n", "p_random", "seed"), itertools.product(SIZES, (0, 1), SEEDS),
    ),
    "neyshabur_fig2_sharpness": (
        VGG, ("n", "p_random", "seed"), itertools.product(SIZES, (0, 1), SEEDS),
    ),
    "neyshabur_fig1_norms_vgg": (
        VGG,
        ("n", "p_random", "model.args.batch_norm", "seed"),
        itertools.product(SIZES, (0, 1), (False, True), SEEDS),
    ),
    "neyshabur_fig3_confusion": (
        VGG | {"n": 10_000, "p_random": 0},
        ("data.confusion", "seed"),
        itertools.product((0, 1000, 2000, 3000, 4000, 5000), SEEDS),
    ),
    "neyshabur_fig4_width": (
        {"data.name": "mnist", "model.name": "mlp", "n": 60_000, "p_random": 0, "model.args": {}},
        ("ch", "seed"),
        itertools.product([2**k for k in range(3, 14)], SEEDS),
    ),
    "neyshabur_fig5_conditions": (
        {
            "data.name": "mnist", "data.resize": 32, "model.name": "mlp", "model.init": "he",
            "model.args": {"bias": False, "depth": 10}, "ch": 1000, "measure_at": [0, "end"],
        },
        ("seed",),
        itertools.product(SEEDS),
    ),
}  # fmt: skip
EXPERIMENTS = tuple(GRIDS)


def _own_measures(experiment: str) -> dict[str, str]:
    is_of_conditions = experiment == "neyshabur_fig5_conditions"
    return {"measures.name": "neyshabur_conditions"} if is_of_conditions else {}


def _value(cfg: Config, key: str) -> Any:
    if key.startswith("model.args."):
        return cfg.model.args[key.removeprefix("model.args.")]
    return value_of(cfg, key)


def test_every_experiment_is_known_here() -> None:
    found = {path.stem for path in (CONF / "experiment").glob("neyshabur_*.yaml")}
    assert found == set(EXPERIMENTS)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_grid_can_run(experiment: str, scale: str) -> None:
    """All that can be checked without the data, the network on noise included."""
    checked = check(grid_of(experiment, scale).points)
    assert len(checked) > 1
    for point in checked:
        assert problems(point.cfg) == []
        assert (point.cfg.preset.name, point.cfg.preset.scale) == (experiment, scale)
        assert set(point.cfg.preset.figures) <= FIGURES.keys()
        assert epochs_of(point.cfg.measure_at, point.cfg.epochs)[-1] == point.cfg.epochs
        for key, value in (COMMON | _own_measures(experiment)).items():
            small = scale == "smoke" and key in ("lr", "optim.batch_size")
            assert value_of(point.cfg, key) == value or small, key
    assert len({run_identity(point.cfg) for point in checked}) == len(checked)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_scales_have_the_same_axes_and_the_smaller_cost_less(experiment: str) -> None:
    costs = []
    for scale in SCALES:
        grid = grid_of(experiment, scale)
        assert grid.axes.keys() == set(GRIDS[experiment][1])
        costs.append(sum(point.flops for point in check(grid.points)))
    assert costs == sorted(costs)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_papers_grid(experiment: str) -> None:
    fixed, axes, points = GRIDS[experiment]
    configs = configs_of(experiment, "paper")
    found = [tuple(_value(cfg, axis) for axis in axes) for cfg in configs]
    assert sorted(found) == sorted(points)
    for key, value in fixed.items():
        assert all(value_of(cfg, key) == value for cfg in configs), key


@pytest.mark.parametrize("scale", SCALES)
def test_figures_1_and_2_share_their_runs(scale: str) -> None:
    both = ("neyshabur_fig1_norms", "neyshabur_fig2_sharpness")
    first, second = (list(map(run_identity, configs_of(name, scale))) for name in both)
    assert first == second


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_grid_has_the_seeds_that_claims_need(experiment: str, scale: str) -> None:
    assert len({cfg.seed for cfg in configs_of(experiment, scale)}) >= 2


def test_the_perceptron_of_figure_5_has_more_than_ten_million_parameters() -> None:
    """As the caption says: 32² · 1000 + 9 · 1000² + 1000 · 10 weights, and no biases."""
    checked = check(grid_of("neyshabur_fig5_conditions", "paper").points)
    assert {point.n_parameters for point in checked} == {10_034_000}


def test_the_papers_curves_are_asked_for_by_a_key() -> None:
    line = ("-m", "experiment=neyshabur_fig1_norms", "scale=laptop")
    (first, *_), (asked, *_) = (
        expanded(*line).points,
        expanded(*line, "preset.paper_curves=true").points,
    )
    assert first.cfg is not None
    assert asked.cfg is not None
    assert (first.cfg.preset.paper_curves, asked.cfg.preset.paper_curves) == (False, True)
    assert run_identity(first.cfg) == run_identity(asked.cfg)


_FEW = {
    "neyshabur_fig1_norms": ("seed=0",),
    "neyshabur_fig2_sharpness": ("seed=0",),
    "neyshabur_fig3_confusion": ("seed=0",),
    "neyshabur_fig4_width": ("seed=0",),
    "neyshabur_fig5_conditions": (),
}


@pytest.mark.parametrize("experiment", _FEW)
def test_the_smoke_scale_runs(
    experiment: str, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, to figures, claims and page; the one on CIFAR-10 needs its images."""
    monkeypatch.setenv("GSNR_DATA_ROOT", str(real_data))
    line = ("-m", f"experiment={experiment}", "scale=smoke", *_FEW[experiment])
    points = check(expanded(*line, "tracking=none", "threads=1").points)
    sweep = tmp_path / "sweep"
    for index, point in enumerate(points):
        (sweep / str(index)).mkdir(parents=True)
        record = run_point(point.cfg, sweep / str(index)).record
        assert record.state == "finished"
        assert record.stopped_by == "stop.train_loss and stop.train_error"
    result = aggregate(sweep, points)
    assert result.claims
    assert {path.stem for path in sweep.glob("*.png")} == set(points[0].cfg.preset.figures)
