"""The presets: the paper's grids as FACTS has them, and that every one of them runs."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsnr_sweep.config.grid import CommandLine, expand
from gsnr_sweep.config.identity import run_identity
from gsnr_sweep.config.schedule import epochs_of
from gsnr_sweep.config.validation import problems
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.liu2020.catalog import FIGURES
from gsnr_sweep.preflight.check import check
from gsnr_sweep.runs.runner import run_point
from tests.conftest import CONF, expanded, tiny_config
from tests.papers.presets import SCALES, aggregate, configs_of, grid_of, value_of

OPTIONS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
EXPERIMENTS = [name for name in OPTIONS if not name.startswith(("neyshabur_", "which_"))]


def _told(*arguments: str) -> str:
    with pytest.raises(GsnrError) as refusal:
        check(expanded(*arguments).points)
    return str(refusal.value)


# --- at every scale


def test_every_experiment_is_known_here_and_has_every_scale() -> None:
    assert GRIDS.keys() == set(EXPERIMENTS)
    one_has = {("fig4_mnist", "paper_start")}
    scales = {path.stem for path in (CONF / "scale").glob("*.yaml")}
    assert scales == {*SCALES, *(scale for _, scale in one_has)}
    found = {(path.parent.name, path.stem) for path in (CONF / "scales").glob("*/*.yaml")}
    assert found == {*itertools.product(OPTIONS, SCALES), *one_has}
    assert "has no such scale" in _told("experiment=fig9_cifar10", "scale=paper_start")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_grid_can_run(experiment: str, scale: str) -> None:
    """All that can be checked without the data, the network on noise included."""
    grid = grid_of(experiment, scale)
    assert len(grid.points) > 1
    checked = check(grid.points)
    for point in checked:
        assert problems(point.cfg) == []
        assert point.cfg.preset.name == experiment
        assert point.cfg.preset.scale == scale
        assert point.cfg.preset.figures
        assert set(point.cfg.preset.figures) <= FIGURES.keys()
        assert epochs_of(point.cfg.measure_at, point.cfg.epochs)[-1] == point.cfg.epochs
    assert len({run_identity(point.cfg) for point in checked}) == len(checked)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_scales_have_the_same_axes_and_the_smaller_cost_less(experiment: str) -> None:
    costs = []
    for scale in SCALES:
        grid = grid_of(experiment, scale)
        assert grid.axes.keys() - {"seed"} == grid_of(experiment).axes.keys() - {"seed"}
        costs.append(sum(point.flops for point in check(grid.points)))
    smoke, laptop, paper = costs
    assert smoke < min(laptop, paper)
    assert laptop < paper or experiment == "fig6_frozen_toy"  # over more seeds than the paper's one


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_papers_scale_is_the_usual_one(experiment: str) -> None:
    assert configs_of(experiment) == configs_of(experiment, "paper")


def test_the_command_line_overrules_a_preset() -> None:
    line = ["-m", "experiment=fig4_mnist", "scale=smoke", "n=70", "n_sets=2", "lr=0.5"]
    points = expanded(*line).points
    assert len(points) == 4
    assert {(p.cfg.n, p.cfg.n_sets, p.cfg.lr, p.cfg.epochs) for p in points if p.cfg} == {
        (70, 2, 0.5, 4)
    }


def test_an_experiment_of_the_users_needs_no_scales(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nn: 44\n")
    for scale in SCALES:
        line = ["--config-dir", str(tmp_path), "experiment=mine", f"scale={scale}"]
        (point,) = expand(CommandLine.parse(line, CONF)).points
        assert point.cfg is not None
        assert (point.cfg.n, point.cfg.epochs) == (44, 100)


def test_without_an_experiment_the_scale_changes_no_number() -> None:
    assert run_identity(tiny_config("scale=smoke")) == run_identity(tiny_config())


# --- as the paper has it (FACTS, A.1)

CHANNELS = (6, 8, 10, 12, 14, 16, 18, 20)
GRIDS: dict[str, tuple[dict[str, Any], Any, set[tuple[Any, ...]]]] = {
    "fig4_mnist": (
        {
            "n_sets": 10, "n_test": 10_000, "epochs": 2500, "measure_at": [20, 100, 500, 2500],
            "lr": 0.001, "data.name": "mnist", "model.name": "table2_cnn",
        },
        lambda cfg: (cfg.n, cfg.p_random, cfg.ch),
        set(itertools.product(
            (1000, 2000, 4000, 6000, 8000, 10_000, 15_000), (0.0, 0.1, 0.2, 0.3, 0.5), CHANNELS,
        )),
    ),
    "fig9_cifar10": (
        {
            "n_sets": 10, "n_test": 10_000, "epochs": 1000, "measure_at": [20, 100, 500, 1000],
            "lr": 0.001, "data.name": "cifar10", "model.name": "table3_cnn",
        },
        lambda cfg: (cfg.n, cfg.p_random, cfg.ch),
        set(itertools.product(
            (2000, 4000, 6000, 8000, 10_000), (0.0, 0.2, 0.4), CHANNELS[:-1],
        )),
    ),
    "fig11_toy": (
        {
            "n_sets": 100, "n_test": 20_000, "epochs": 2500, "measure_at": [20, 100, 500, 2500],
            "lr": 0.001, "data.name": "toy", "model.name": "mlp", "p_random": 0.0,
            "model.args": {},
        },
        lambda cfg: (cfg.n, cfg.data.eta, cfg.ch),
        set(itertools.product(
            (50, 100, 300, 600, 1000, 2000, 6000), (0.2, 2.0, 4.0, 6.0, 8.0), CHANNELS,
        )),
    ),
    "fig6_frozen_toy": (
        {
            "n": 200, "n_test": 10_000, "ch": 20, "n_sets": 1, "data.name": "toy",
            "data.eta": 0.01, "model.name": "mlp", "model.args": {},
            "measures.parameters": ["fc2.weight"],
        },
        lambda cfg: (cfg.model.init, tuple(cfg.model.frozen)),
        set(itertools.product(("small", "torch"), ((), ("fc1",)))),
    ),
    "fig7_weight_gradient_mnist": (
        {"epochs": 200, "data.name": "mnist", "model.name": "mlp", "n_sets": 1},
        lambda cfg: (cfg.model.init,),
        {("torch",), ("he",)},
    ),
    "fig5_gsnr_curves": (
        {"data.name": "cifar10", "n_sets": 1},
        lambda cfg: (cfg.model.name, cfg.p_random),
        set(itertools.product(("table2_cnn", "resnet18"), (0.0, 1.0))),
    ),
    "assumptions": (
        {"data.name": "mnist", "n_sets": 10, "n_test": 10_000, "model.init": "he", "ch": 10},
        lambda cfg: (cfg.n, cfg.p_random),
        set(itertools.product((1000, 4000, 10_000), (0.0, 0.2, 0.5))),
    ),
    "fig5_same_sign": (
        {"data.name": "cifar10", "n_sets": 1, "model.name": "table2_cnn"},
        lambda cfg: (cfg.p_random,),
        {(0.0,), (1.0,)},
    ),
    "fig5_sgd": (
        {"data.name": "cifar10", "n_sets": 1, "model.name": "strided_cnn", "optim.name": "sgd"},
        lambda cfg: (cfg.p_random,),
        {(0.0,), (1.0,)},
    ),
    "shallow_gsnr": (
        {"data.name": "mnist", "n_sets": 1, "optim.name": "gd", "p_random": 0.0},
        lambda cfg: (cfg.model.name, cfg.loss.name),
        set(itertools.product(("linear", "mlp", "table2_cnn"), ("cross_entropy", "hinge"))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_papers_grid(experiment: str) -> None:
    fixed, point_of, points = GRIDS[experiment]
    configs = configs_of(experiment, "paper")
    assert len(configs) == len(points) * len({cfg.seed for cfg in configs})
    assert {point_of(cfg) for cfg in configs} == points
    for key, value in fixed.items():
        assert all(value_of(cfg, key) == value for cfg in configs), key


def test_the_papers_grids_have_the_papers_numbers_of_points() -> None:
    """Each under three seeds."""
    sizes = {name: len(configs_of(name)) for name in ("fig4_mnist", "fig9_cifar10", "fig11_toy")}
    assert sizes == {"fig4_mnist": 3 * 280, "fig9_cifar10": 3 * 105, "fig11_toy": 3 * 280}


# --- what does not exist


def test_an_unknown_experiment_or_scale_is_told_what_there_is() -> None:
    assert _told("-m", "experiment=fig8") == (
        f"experiment=fig8: there is no option 'fig8'. Allowed: {', '.join(OPTIONS)}."
    )
    for more in ([], ["experiment=fig4_mnist"], ["-m", "experiment=fig11_toy", "n=10,20"]):
        told = _told(*more, "scale=huge")
        assert (
            told
            == "scale=huge: there is no option 'huge'. Allowed: laptop, paper, paper_start, smoke."
        )


@pytest.mark.parametrize("more", [[], ["-m", "n=10,20"]], ids=["single", "sweep"])
def test_a_scale_without_an_experiment_is_refused(more: list[str]) -> None:
    told = _told(*more, "scale=smoke")
    assert told.startswith("scale=smoke: a scale belongs to an experiment. Give one")
    assert "\n" not in told


@pytest.mark.parametrize(
    "swept",
    [
        ["experiment=fig4_mnist,fig9_cifar10"],
        ["experiment=[fig4_mnist,fig9_cifar10]"],
        ["experiment=fig4_mnist", "scale=smoke,laptop"],
    ],
)
def test_several_presets_at_once_are_refused(swept: list[str]) -> None:
    with pytest.raises(GsnrError, match=r"is a grid of its own\. Launch one at a time"):
        expanded("-m", *swept)


# --- the smoke scale

_FEW = {
    "assumptions": ("n=50", "p_random=0.5"),
    "fig4_mnist": ("ch=2", "p_random=0.5"),
    "fig5_gsnr_curves": ("n=8", "n_test=8", "epochs=1", "p_random=1.0"),
    "fig5_same_sign": ("n=12", "n_test=20", "epochs=1"),
    "fig5_sgd": ("n=12", "n_test=20", "epochs=2"),
    "fig6_frozen_toy": ("model.init=small", "epochs=40", "n_test=50"),
    "fig7_weight_gradient_mnist": ("n=30", "epochs=2"),
    "fig9_cifar10": ("n=8,12", "n_test=8", "ch=2", "p_random=0.4"),
    "fig11_toy": ("ch=6", "data.eta=2", "n_sets=4", "n_test=50"),
    "shallow_gsnr": ("n=12", "n_test=20", "epochs=2"),
}
_ARRAYS = {
    "fig6_frozen_toy": {
        "gsnr/fc2.weight": 20, "p_same_sign/fc2.weight": 20, "feature_target/fc2.weight": 20,
    },
}  # fmt: skip
_METRICS = {
    "fig7_weight_gradient_mnist": {
        *("corr_dg_w", "opposite_sign_top10", "first_term_same_sign", "grad_sq_mean_top10"),
    },
    "fig6_frozen_toy": {"gsnr_followed_mean"},
}


@pytest.fixture(scope="module")
def few_images(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of CIFAR-10's images in a file that is read at once."""
    subset = real_data / "cifar10_subset.npz"
    if not subset.is_file():
        pytest.skip(f"there is no {subset}")
    path = tmp_path_factory.mktemp("cifar") / "few.npz"
    with np.load(subset) as arrays:
        np.savez(path, **{name: arrays[name][:100] for name in arrays.files})
    return path


@pytest.fixture
def data(request: pytest.FixtureRequest) -> tuple[dict[str, str], list[str]]:
    """Environment and arguments with which an experiment's data are found here."""
    name = configs_of(request.node.callspec.params["experiment"])[0].data.name
    if name == "mnist":
        return {"GSNR_DATA_ROOT": str(request.getfixturevalue("real_data"))}, []
    if name == "cifar10":
        path = request.getfixturevalue("few_images")
        return {}, ["data=npz", f"data.path={path}"]
    return {}, []


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_smoke_scale_runs(
    experiment: str,
    data: tuple[dict[str, str], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this process; ``tests/report/test_end_to_end.py`` launches some as a user does."""
    environment, more = data
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    few = (*_FEW[experiment], "tracking=none", "threads=1")
    points = check(expanded("-m", f"experiment={experiment}", "scale=smoke", *few, *more).points)
    assert len(points) > 1
    sweep = tmp_path / "sweep"
    records = []
    for index, point in enumerate(points):
        (sweep / str(index)).mkdir(parents=True)
        records.append(run_point(point.cfg, sweep / str(index)).record)
    claims = aggregate(sweep, points).claims
    assert claims or experiment == "fig5_gsnr_curves"  # its claim compares kinds of labels
    assert {path.stem for path in sweep.glob("*.png")} == set(points[0].cfg.preset.figures)
    page = (sweep / "report.html").read_text()
    assert ("What the paper says" in page) == bool(claims)
    assert {record.state for record in records} == {"finished"}
    for record in records:
        cfg = record.config
        assert cfg["preset"]["name"] == experiment
        schedule = epochs_of(cfg["measure_at"], cfg["epochs"])
        assert [m.epoch for m in record.measurements] == schedule
        for measurement in record.measurements:
            assert {"osgr_lhs", "osgr_rhs", "p_same_sign"} <= measurement.metrics.keys()
            assert _METRICS.get(experiment, set()) <= measurement.metrics.keys()
            sizes = {name: len(values) for name, values in measurement.arrays.items()}
            assert _ARRAYS.get(experiment, {}).items() <= sizes.items()
            densities = ("noise_density", "noise_density_weighted", "p_same_sign_density")
            for name in densities:
                assert sum(measurement.arrays[name]) == pytest.approx(1)
    if experiment == "fig7_weight_gradient_mnist":
        for record in records:
            known = ["changed_from_same" in m.metrics for m in record.measurements]
            assert known == [False, *[True] * (len(known) - 1)]
    if experiment == "fig6_frozen_toy":
        for record in records:
            regression = ["linear_regression_loss" in m.metrics for m in record.measurements]
            assert set(regression) == {record.config["model"]["frozen"] == ["fc1"]}
        assert {tuple(record.config["model"]["frozen"]) for record in records} == {(), ("fc1",)}
        features = {
            record.config["model"]["frozen"] == ["fc1"]: [
                m.arrays["feature_target/fc2.weight"] for m in record.measurements
            ]
            for record in records
        }
        assert all(found == features[True][0] for found in features[True])  # they are fixed
        assert features[False][-1] != features[False][0]


def test_the_first_panel_of_fig_4_is_the_papers_grid_to_epoch_20() -> None:
    start, whole = (grid_of("fig4_mnist", scale) for scale in ("paper_start", "paper"))
    assert start.axes == whole.axes
    for first, full in zip(
        configs_of("fig4_mnist", "paper_start"), configs_of("fig4_mnist", "paper"), strict=True
    ):
        assert (first.epochs, list(first.measured_epochs)) == (20, [20])
        assert full.measured_epochs[0] == 20
        longer = replace(first, epochs=full.epochs, measure_at=full.measure_at)
        assert run_identity(longer) == run_identity(full)
