"""Figures of curves over training, read back: panels, lines, legend, axes, legibility."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.liu2020.catalog import FIGURES
from gsnr_sweep.papers.liu2020.figures.frozen import CLOSED_FORM
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.levels import labels_of, named
from gsnr_sweep.papers.plotting.panels import save_figure
from gsnr_sweep.papers.plotting.style import RANDOM, REAL
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.figures.reading import (
    EVEN,
    LOG,
    curves_of,
    draw,
    illegible,
    legend_of,
    titles_of,
)
from tests.tables import make_analysis, make_run, make_table

FLOOR = "floor 1/n of the estimate"
SEEDS = "mean and range of 2 seeds"
TRAINED, FROZEN = "first layer trained", "first layer frozen"
RESNET = (
    *("conv1", "bn1"),
    *(f"layer{s}.{b}.{k}" for s in (1, 2, 3, 4) for b in (0, 1) for k in ("conv1", "bn1", "conv2")),
    "fc",
)


def hump(epoch: int) -> float:
    return 0.02 + 0.03 * math.exp(-((math.log10(epoch + 1) - 1.5) ** 2))


def labels(
    p: Sequence[float] = (0.0, 1.0), models: Sequence[str] = ("mlp",), **settings: Any
) -> list[RunRecord]:
    """Runs of two seeds of each kind of labels and model."""
    settings = {"epochs": LOG, "n": 1000} | settings
    return [
        make_run(
            {
                "gsnr_mean": lambda e, q=q, s=s: hump(e) * (1 - q / 2) + 0.001 * s,  # type: ignore[misc]
                "p_same_sign": lambda e, q=q: 0.5 + hump(e) * (1 - q),  # type: ignore[misc]
                **{f"gsnr_mean/{k}": 0.01 * i + 0.001 * s for i, k in enumerate(_layers(model))},
            },
            **{"model": model, "p_random": q, "seed": s, **settings},
        )
        for model in models
        for q in p
        for s in (0, 1)
    ]


def _layers(model: str) -> Sequence[str]:
    return RESNET if model == "resnet18" else ("fc1", "fc2")


def freezing(
    inits: Sequence[str] = ("small",), weights: int = 3, **settings: Any
) -> list[RunRecord]:
    settings = {"epochs": LOG} | settings
    return [
        make_run(
            {
                "gsnr_followed_mean": lambda e, f=f, s=s: (0.02 if f else hump(e)) + 0.001 * s,  # type: ignore[misc]
                "train_loss": lambda e, f=f: 0.2 / (1 + e * (0.1 if f else 1)),  # type: ignore[misc]
            },
            arrays={
                "gsnr/fc2.weight": lambda e, s=s: [s + k + hump(e) for k in range(weights)],  # type: ignore[misc]
                "p_same_sign/fc2.weight": lambda e: [0.5] * weights,
            },
            **{"init": init, "frozen": f, "seed": s, **settings},
        )
        for init in inits
        for f in ((), ("fc1",))
        for s in (1, 0)
    ]


BY_STATE = tuple(
    f"{name}{of}"
    for of in ("", "_top10")
    for name in (
        *(f"grad_sq_{square}" for square in ("mean", "mean_opposite", "mean_same", "debiased")),
        *(
            f"{event}{origin}"
            for event in ("changed", "changed_by_g", "g_grew")
            for origin in ("", "_from_same", "_from_opposite")
        ),
    )
)


def signs(
    layers: Sequence[str] = ("fc1", "fc2"), inits: Sequence[str] = ("he",), **settings: Any
) -> list[RunRecord]:
    settings = {"epochs": EVEN} | settings
    names = ("corr_dg_w", "corr_dg_w_top10", "opposite_sign", "opposite_sign_top10")
    names += ("first_term_same_sign", "first_term_corr", "first_term_size", *BY_STATE)
    keys = [name + layer for name in names for layer in ("", *(f"/{one}" for one in layers))]
    return [
        make_run(
            {key: lambda e, k=k: 0.5 + 0.01 * k + e / 1000 for k, key in enumerate(keys)},  # type: ignore[misc]
            **{"init": init, **settings},
        )
        for init in inits
    ]


CASES: dict[str, tuple[str, list[RunRecord]]] = {
    "gsnr, two models": ("gsnr_curves", labels(models=["table2_cnn", "resnet18"])),
    "gsnr, three models": ("gsnr_curves", labels(models=["table2_cnn", "table3_cnn", "resnet18"])),
    "gsnr, one run": ("gsnr_curves", labels()[:1]),
    "gsnr, five p_random": ("gsnr_curves", labels((0.0, 0.25, 0.5, 0.75, 1.0))),
    "gsnr, evenly": ("gsnr_curves", labels(epochs=EVEN)),
    "shallow, two models": ("shallow_gsnr", labels((0.0,), ["linear", "mlp"])),
    "sign, one model": ("same_sign", labels()),
    "sign, two models": ("same_sign", labels(models=["table2_cnn", "resnet18"], epochs=EVEN)),
    "layers, two models": ("layer_curves", labels(models=["table2_cnn", "resnet18"])),
    "layers, one run": ("layer_curves", labels()[:1]),
    "frozen, one init": ("frozen", freezing(weights=20)),
    "frozen, three inits": ("frozen", freezing(["small", "torch", "he_normal"])),
    "weights, one layer": ("weight_gradient", signs(["fc1"], epochs=LOG)),
    "weights, three layers": ("weight_gradient", signs(["fc1", "fc2", "fc3"], ["torch", "he"])),
    "squares": ("squared_gradient", signs(["fc1"], ["torch", "he"])),
    "transitions": ("sign_transitions", signs(["fc1"], ["torch", "he"])),
    "term, two layers": ("first_term", signs()),
    "term, nine layers": ("first_term", signs([f"fc{k}" for k in range(9)], ["torch", "he"])),
}
BY_WEIGHT = ("weight_gradient", "first_term", "squared_gradient", "sign_transitions")
FIGURES_HERE = sorted({figure for figure, _ in CASES.values()})
every_figure = pytest.mark.parametrize("figure", FIGURES_HERE)
ALL_RUNS: dict[str, Callable[..., list[RunRecord]]] = {
    **dict.fromkeys(("gsnr_curves", "shallow_gsnr", "same_sign", "layer_curves"), labels),
    "frozen": freezing,
    **dict.fromkeys(BY_WEIGHT, signs),
}


@dataclass(frozen=True)
class Case:
    """A figure that is drawn once, for tests that only look at it."""

    figure: str
    runs: list[RunRecord]
    drawn: Figure


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    figure, runs = CASES[request.param]
    return Case(figure, runs, draw(figure, *runs))


def mean(runs: Sequence[RunRecord], name: str) -> dict[int, float]:
    """The mean of a metric over the runs by epoch."""
    epochs = [m.epoch for m in runs[0].measurements]
    return {
        epoch: float(np.mean([run.measurements[k].metrics[name] for run in runs]))
        for k, epoch in enumerate(epochs)
    }


# --- all of them


def test_every_figure_of_the_catalog_is_tested_somewhere() -> None:
    scatter = {LHS_RHS, "own_lhs_rhs", "own_lhs_rhs_epoch"}
    elsewhere = {"loss_shares", "predicted_gap", "assumptions"}
    assert set(FIGURES) == {*FIGURES_HERE, *elsewhere, *scatter}


def test_a_reader_can_make_out_everything(case: Case) -> None:
    assert illegible(case.drawn) == []


def test_the_first_and_the_last_epoch_are_inside(case: Case) -> None:
    epochs = [m.epoch for m in case.runs[0].measurements]
    for axes in case.drawn.axes:
        low, high = axes.get_xlim()
        assert low <= epochs[0] <= epochs[-1] <= high
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
        assert curves_of(axes)
        for curve in curves_of(axes):
            assert list(curve) == epochs
            assert min(axes.get_ylim()) <= min(curve.values())
            assert max(curve.values()) <= max(axes.get_ylim())


def test_lines_differ_in_more_than_colour_where_colours_have_no_order(case: Case) -> None:
    """Those who see no colours tell real from random and trained from frozen by the dashes."""
    handles = dict(legend_of(case.drawn))
    handles.pop(SEEDS, None)
    looks = {
        (h.get_linestyle(), h.get_linewidth(), to_hex(h.get_color())) for h in handles.values()
    }
    assert len(looks) == len(handles)
    for pair in (("real labels", "random labels"), (TRAINED, FROZEN), ("fc1", "fc2")):
        if (
            set(pair) <= set(handles) and case.figure != "layer_curves"
        ):  # ordered from dark to light
            first, second = (handles[label].get_linestyle() for label in pair)
            assert first != second


def test_figures_are_as_wide_as_a_column_or_page(case: Case) -> None:
    assert 2 < case.drawn.get_figwidth() <= 8.5


@every_figure
def test_a_figure_is_written_twice(figure: str, tmp_path: Any) -> None:
    paths = save_figure(draw(figure, *ALL_RUNS[figure]()), tmp_path, figure)
    assert [path.name for path in paths] == [f"{figure}.png", f"{figure}.pdf"]
    picture = matplotlib.image.imread(paths[0])
    assert picture.shape[1] > 600
    assert picture[..., :3].min() < 0.2
    assert picture[..., :3].mean() > 0.9


@every_figure
def test_a_measure_that_is_missing_is_named(figure: str) -> None:
    with pytest.raises(GsnrError, match=f"The figure {figure} needs .*did not measure"):
        draw(figure, make_run({"other": 1.0}))


@every_figure
def test_one_epoch_is_visible(figure: str, tmp_path: Any) -> None:
    """A line through one point is nothing: it needs a marker."""
    drawn = draw(figure, *ALL_RUNS[figure](epochs=(0,)))
    for axes in drawn.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) == 1]
        assert lines
        assert all(line.get_marker() not in ("", "None", None) for line in lines)
        assert all(float(t) == round(t) for t in axes.get_xticks() if 0 <= t <= axes.get_xlim()[1])


@every_figure
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_without_anything_finite_can_still_be_saved_or_is_refused(
    figure: str, value: float, tmp_path: Any
) -> None:
    """It may not take the table and the other figures with it."""
    runs = ALL_RUNS[figure]()
    for run in runs:
        for measured in run.measurements:
            measured.nonfinite = sorted(measured.metrics)
            measured.metrics = {}
            measured.arrays = {k: [None] * len(v) for k, v in measured.arrays.items()}
    analysis = make_analysis(*runs)
    try:
        drawn = FIGURES[figure].draw(analysis)
    except GsnrError:
        return
    save_figure(drawn, tmp_path, figure)


@every_figure
def test_single_values_that_are_not_finite_are_left_out(figure: str) -> None:
    runs = ALL_RUNS[figure]()
    for run in runs:
        lost = run.measurements[3]
        lost.nonfinite, lost.metrics = sorted(lost.metrics), {}
    for axes in draw(figure, *runs).axes[:2]:
        for curve in curves_of(axes):
            assert runs[0].measurements[3].epoch not in curve
            assert np.isfinite(list(curve.values())).all()
            assert len(curve) == len(runs[0].measurements) - 1


@pytest.mark.parametrize("figure", [f for f in FIGURES_HERE if f != "frozen"])
def test_the_axis_suits_the_schedule(figure: str) -> None:
    log, even = (draw(figure, *ALL_RUNS[figure](epochs=e)).axes[0] for e in (LOG, EVEN))
    assert log.get_xscale() == "symlog"
    assert log.get_xlim()[0] == 0
    shown = [t.get_text() for t in log.get_xticklabels()]
    assert {"0", "1", "10", "100", "1000"} <= set(shown)
    assert even.get_xscale() == "linear"
    assert even.get_xlim()[0] < 0  # the first point is not cut in half


@every_figure
def test_several_runs_are_a_band_around_their_mean(figure: str) -> None:
    runs = ALL_RUNS[figure]()
    if figure in BY_WEIGHT:
        runs = [*runs, *signs(seed=1)]
    many, one = draw(figure, *runs).axes[0], draw(figure, runs[0]).axes[0]
    assert _bands(many) >= 1
    assert _bands(one) == 0


def _bands(axes: Axes) -> int:
    """Count the bands that enclose something."""
    paths = [path for band in axes.collections for path in band.get_paths()]
    return sum(np.ptp(path.vertices[:, 1]) > 0 for path in paths)


def _areas(axes: Axes) -> list[float]:
    """The areas of the bands, in the coordinates of the data."""
    paths = [path.vertices.T for band in axes.collections for path in band.get_paths()]
    return [abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2 for x, y in paths]


# --- kinds of labels


def test_gsnr_is_the_mean_over_the_runs_of_a_kind() -> None:
    runs = labels(models=["table2_cnn", "resnet18"])
    drawn = draw("gsnr_curves", *runs)
    assert titles_of(drawn) == ["(a) simple CNN", "(b) ResNet18"]
    assert list(legend_of(drawn)) == ["real labels", "random labels", SEEDS, FLOOR]
    for axes, own in zip(drawn.axes, (runs[:4], runs[4:]), strict=True):
        assert axes.get_ylim()[0] == 0
        real = curves_of(axes, color=REAL)
        random = curves_of(axes, color=RANDOM)
        assert real == [pytest.approx(mean(own[:2], "gsnr_mean"))]
        assert random == [pytest.approx(mean(own[2:], "gsnr_mean"))]


def test_the_band_reaches_from_the_lowest_to_the_highest_run() -> None:
    runs = [make_run({"gsnr_mean": v}, epochs=EVEN, seed=s) for s, v in enumerate((1.0, 2.0, 6.0))]
    axes = draw("gsnr_curves", *runs).axes[0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1.0, 6.0)
    assert curves_of(axes) == [dict.fromkeys(EVEN, 3.0)]


def test_the_floor_is_drawn_once_for_each_n() -> None:
    runs = [make_run({"gsnr_mean": 0.1}, n=n, seed=s) for n in (100, 1000) for s in (0, 1)]
    guides = [
        line for line in draw("gsnr_curves", *runs).axes[0].lines if line.get_linestyle() == ":"
    ]
    assert sorted(line.get_ydata()[0] for line in guides) == [0.001, 0.01]


def test_names_of_labels() -> None:
    names = [named("p_random", *labels_of([p])) for p in (0.0, 0.1, 0.25, 1.0)]
    assert names == ["real labels", "p_random = 0.1", "p_random = 0.25", "random labels"]


def test_five_levels_of_p_random_differ_in_colour_and_dashes() -> None:
    p = (1.0, 0.0, 0.5, 0.25, 0.75)
    handles = legend_of(draw("same_sign", *labels(p)))
    names = [named("p_random", *labels_of([one])) for one in sorted(p)]
    assert list(handles) == [*names, SEEDS]
    assert len({to_hex(handles[name].get_color()) for name in names}) == 5
    assert len({str(handles[name]._dash_pattern) for name in names}) == 5


def test_random_labels_look_the_same_with_and_without_real_ones() -> None:
    both, alone = (legend_of(draw("same_sign", *labels(p))) for p in ((0.0, 1.0), (1.0,)))
    for look in ("color", "linestyle"):
        first, second = (getattr(one["random labels"], f"get_{look}")() for one in (both, alone))
        assert first == second


def test_same_sign_is_a_percentage_and_a_single_panel_has_no_letter() -> None:
    runs = labels()
    drawn = draw("same_sign", *runs)
    assert titles_of(drawn) == ["MLP"]
    (axes,) = drawn.axes
    assert curves_of(axes, color=REAL) == [pytest.approx(mean(runs[:2], "p_same_sign"))]
    assert all(t.get_text().endswith("%") for t in axes.get_yticklabels())


@pytest.mark.parametrize("rise", [0.01, 0.04, 0.1, 0.5])
def test_percentages_have_no_decimals_that_say_nothing(rise: float) -> None:
    run = make_run({"p_same_sign": lambda e: 0.5 + rise * e / 200}, epochs=EVEN)
    shown = [t.get_text() for t in draw("same_sign", run).axes[0].get_yticklabels()]
    decimals = {text.rstrip("%").partition(".")[2] for text in shown}
    assert len(set(shown)) == len(shown)
    assert decimals == {""} or any(one.rstrip("0") == one for one in decimals)


def test_an_unknown_model_is_called_by_its_name() -> None:
    assert titles_of(draw("gsnr_curves", make_run({"gsnr_mean": 0.1}, model="mine"))) == ["mine"]


def test_layers_have_a_line_each_from_dark_to_light() -> None:
    runs = labels(models=["table2_cnn", "resnet18"])
    drawn = draw("layer_curves", *runs)
    assert titles_of(drawn) == [
        *("(a) simple CNN, real labels", "(b) simple CNN, random labels"),
        *("(c) ResNet18, real labels", "(d) ResNet18, random labels"),
    ]
    assert [len(curves_of(axes)) for axes in drawn.axes] == [2, 2, len(RESNET), len(RESNET)]
    values = [curve[0] for curve in curves_of(drawn.axes[2])]
    assert values == pytest.approx([0.01 * k + 0.0005 for k in range(len(RESNET))])
    bright = [sum(line.get_color()) for line in drawn.axes[2].lines if len(line.get_xdata()) > 2]
    assert bright[0] < bright[len(bright) // 2] < bright[-1]
    named = ["simple CNN: fc1", "simple CNN: fc2", "ResNet18: conv1", "ResNet18: fc", FLOOR, SEEDS]
    assert list(legend_of(drawn)) == named


def test_a_model_without_random_labels_has_an_empty_panel() -> None:
    runs = [*labels(models=["table2_cnn"]), *labels((0.0,), ["resnet18"])]
    drawn = draw("layer_curves", *runs)
    assert [bool(curves_of(axes)) for axes in drawn.axes] == [True, True, True, False]


# --- frozen layers


def test_frozen_and_trained_runs_beside_each_other() -> None:
    runs = freezing()
    drawn = draw("frozen", *runs)
    assert titles_of(drawn) == ["(a) mean GSNR", "(b) training loss", "(c) single weights"]
    assert list(legend_of(drawn)) == [TRAINED, FROZEN, SEEDS]
    for axes, name in zip(drawn.axes, ("gsnr_followed_mean", "train_loss"), strict=False):
        trained = curves_of(axes, color=REAL, linestyle="-")
        frozen = curves_of(axes, color=RANDOM, linestyle="--")
        assert trained == [pytest.approx(mean(runs[:2], name))]
        assert frozen == [pytest.approx(mean(runs[2:], name))]
    assert drawn.axes[1].get_yscale() == "log"


def test_single_weights_are_those_of_the_first_seed_that_trains_all_layers() -> None:
    found = curves_of(draw("frozen", *freezing(weights=4)).axes[2])
    assert [curve[0] for curve in found] == pytest.approx([k + hump(0) for k in range(4)])
    assert all(list(curve) == list(LOG) for curve in found)


def test_initial_weights_have_a_row_each() -> None:
    drawn = draw("frozen", *freezing(["small", "torch"]))
    assert [title[:3] for title in titles_of(drawn)] == ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)"]
    assert [axes.get_ylabel() for axes in drawn.axes[::3]] == [
        "init small\nGSNR",
        "init torch\nGSNR",
    ]


def test_the_closed_form_of_frozen_runs_is_beside_their_loss() -> None:
    runs = freezing()
    for run in runs[2:]:
        for measured in run.measurements:
            measured.metrics["linear_regression_loss"] = 0.1 + measured.epoch
    drawn = draw("frozen", *runs)
    closed = curves_of(drawn.axes[1], linestyle=":")
    assert closed == [pytest.approx(mean(runs[2:], "linear_regression_loss"))]
    assert CLOSED_FORM in legend_of(drawn)
    assert not any(curves_of(axes, linestyle=":") for axes in drawn.axes[::2])


def test_frozen_runs_alone_are_called_frozen() -> None:
    """The layer is frozen in all runs, so that it does not vary."""
    drawn = draw("frozen", *[run for run in freezing() if run.config["model"]["frozen"]])
    assert list(legend_of(drawn)) == [FROZEN, SEEDS]
    assert curves_of(drawn.axes[2]) == []


# --- weights and gradients


def test_weights_all_and_largest_thick_and_each_layer_thin() -> None:
    (run,) = signs(["fc1", "fc2"])
    drawn = draw("weight_gradient", run)
    assert titles_of(drawn) == ["(a) correlation of Δg and W", "(b) weights with W·g < 0"]
    assert set(legend_of(drawn)) == {
        *("fc1 alone", "fc2 alone", "all weights", "10 % of largest |W|")
    }
    for axes, name in zip(drawn.axes, ("corr_dg_w", "opposite_sign"), strict=True):
        for suffix, color in (("", REAL), ("_top10", RANDOM)):
            expected = {f"{name}{suffix}{layer}" for layer in ("", "/fc1", "/fc2")}
            found = curves_of(axes, color=color)
            assert len(found) == 3
            for one in expected:
                assert any(curve == pytest.approx(mean([run], one)) for curve in found)
            (thick,) = curves_of(axes, color=color, linewidth=2.0)
            assert thick == pytest.approx(mean([run], f"{name}{suffix}"))
    assert drawn.axes[1].get_yticklabels()[0].get_text().endswith("%")


def test_no_layer_is_left_out_in_silence() -> None:
    layers = [f"fc{k}" for k in range(9)]
    drawn = draw("weight_gradient", *signs(layers))
    count = len(curves_of(drawn.axes[0], color=REAL))
    told = " ".join(legend_of(drawn))
    assert count == 10 or "of 9" in told


def test_first_term_has_a_line_a_layer_in_three_panels() -> None:
    (run,) = signs(["fc2", "fc3"])
    drawn = draw("first_term", run)
    assert list(legend_of(drawn)) == ["fc2", "fc3"]
    names = ("first_term_same_sign", "first_term_corr", "first_term_size")
    for axes, name in zip(drawn.axes, names, strict=True):
        assert curves_of(axes) == [
            pytest.approx(mean([run], f"{name}/{k}")) for k in ("fc2", "fc3")
        ]
    assert drawn.axes[2].get_ylim()[0] == 0


def test_squared_gradients_by_the_sign_of_the_product() -> None:
    (run,) = signs(["fc1"])
    drawn = draw("squared_gradient", run)
    assert titles_of(drawn) == ["(a) all weights", "(b) 10 % of largest |W|"]
    for axes, of in zip(drawn.axes, ("", "_top10"), strict=True):
        for state, color in (("opposite", REAL), ("same", RANDOM)):
            expected = mean([run], f"grad_sq_mean_{state}{of}")
            assert curves_of(axes, color=color) == [pytest.approx(expected)]
        assert len(curves_of(axes)) == len(legend_of(drawn)) == 4


def test_transitions_from_either_state_over_what_chance_gives_both() -> None:
    (run,) = signs(["fc1"])
    drawn = draw("sign_transitions", run)
    names = ("changed", "changed_by_g", "g_grew")
    for axes, name in zip(drawn.axes, names, strict=True):
        for of, dashes in (("", "-"), ("_top10", "--")):
            both = mean([run], f"{name}{of}")
            for origin, color in (("_from_same", RANDOM), ("_from_opposite", REAL)):
                expected = mean([run], f"{name}{origin}{of}")
                if name != "changed":
                    expected = {epoch: value / both[epoch] for epoch, value in expected.items()}
                found = curves_of(axes, color=color, linestyle=dashes)
                assert found == [pytest.approx(expected)]
        guides = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [list(line.get_ydata()) for line in guides] == [[1, 1]] * (name != "changed")
    assert len(legend_of(drawn)) == 5


def test_seeds_that_differ_in_their_rates_alone_have_no_band_over_chance() -> None:
    """What they have in common with chance cancels run by run."""
    runs = [*signs(["fc1"]), *signs(["fc1"], seed=1)]
    for measured in runs[1].measurements:
        measured.metrics = {name: 2 * value for name, value in measured.metrics.items()}
    first, second, third = draw("sign_transitions", *runs).axes
    assert min(_areas(first)) > 1
    assert _areas(second) + _areas(third) == pytest.approx([0.0] * 8, abs=1e-9)


# --- schedules


@pytest.mark.parametrize(
    ("epochs", "log"),
    [
        (LOG, True),
        (EVEN, False),
        ((0, 20, 100, 500), True),
        ((0, 10, 20, 30, 50), False),
        ((0,), False),
        ((0, 100), False),
        ((5, 6, 16), False),
        ((0, 1, 2, 7), True),
    ],
)
def test_which_schedules_are_logarithmic(epochs: Sequence[int], log: bool) -> None:
    frame = make_table(make_run({"x": 1.0}, epochs=epochs)).frame
    assert curves.is_log_scheduled(frame) == log


@every_figure
def test_epochs_are_whole_numbers_on_short_axes_too(figure: str) -> None:
    for axes in draw(figure, *ALL_RUNS[figure](epochs=(0, 1, 2, 3))).axes:
        low, high = axes.get_xlim()
        assert all(tick == round(tick) for tick in axes.get_xticks() if low <= tick <= high)


# --- what was swept


def swept(**axes: Sequence[Any]) -> list[RunRecord]:
    """A run for each point of a grid, each with curves of its own, settings in its name."""
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [
        make_run(
            {name: lambda e, k=k: 1 + k + e / 10_000 for name in METRICS},  # type: ignore[misc]
            **{"epochs": LOG, "n": 10_000, **point},
        )
        for k, point in enumerate(points)
    ]


METRICS = (
    *("gsnr_mean", "p_same_sign", "gsnr_mean/fc1", "gsnr_followed_mean", "train_loss"),
    *("corr_dg_w", "opposite_sign", "first_term_same_sign", "first_term_corr", "first_term_size"),
    *("first_term_same_sign/fc1", "first_term_corr/fc1", "first_term_size/fc1"),
    *("corr_dg_w_top10", "opposite_sign_top10", *BY_STATE),
)
DRAWN_OF = {
    "gsnr_curves": "gsnr_mean",
    "shallow_gsnr": "gsnr_mean",
    "same_sign": "p_same_sign",
    "layer_curves": "gsnr_mean/fc1",
    "frozen": "gsnr_followed_mean",
    "weight_gradient": "corr_dg_w",
    "first_term": "first_term_corr/fc1",
    "squared_gradient": "grad_sq_mean",
    "sign_transitions": "changed_from_same",
}
GRIDS: dict[str, dict[str, Sequence[Any]]] = {
    "rate": {"lr": (0.001, 0.1, 0.5)},
    "models": {"model": ("table2_cnn", "resnet18")},
    "weights": {"init": ("he", "torch")},
    "labels, rate": {"p_random": (0.0, 1.0), "lr": (0.001, 0.1, 0.5)},
    "labels, rate, width": {"p_random": (0.0, 1.0), "lr": (0.1, 0.5), "ch": (6, 8)},
    "four axes": {"n": (100, 200), "lr": (0.1, 0.5), "ch": (6, 8), "depth": (2, 3)},
    "a setting of a group": {"optim": ({"name": "gd", "decay": 0.1}, {"name": "gd", "decay": 0.2})},
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


@pytest.mark.parametrize(
    ("figure", "grid"),
    [
        pytest.param(figure, grid, id=f"{figure}, {name}")
        for figure in FIGURES_HERE
        for name, grid in GRIDS.items()
        if figure in ("gsnr_curves", "shallow_gsnr", "same_sign")
        or name != "four axes"  # rows on a page
    ],
)
def test_every_grid_point_has_a_curve_of_its_own(
    figure: str, grid: dict[str, Sequence[Any]]
) -> None:
    """Most of all there is no curve between them: nothing that was swept is averaged over."""
    runs = swept(**grid)
    drawn = draw(figure, *runs)
    starts = {curve[0] for axes in drawn.axes for curve in curves_of(axes) if 0 in curve}
    assert starts == {run.measurements[0].metrics[DRAWN_OF[figure]] for run in runs}


@pytest.mark.parametrize("figure", ["gsnr_curves", "same_sign"])
@every_grid
def test_curves_in_a_panel_have_different_looks(
    figure: str, grid: dict[str, Sequence[Any]]
) -> None:
    for axes in draw(figure, *swept(**grid)).axes:
        looks = [
            (to_hex(line.get_color()), str(line._dash_pattern), line.get_marker())  # type: ignore[attr-defined]
            for line in axes.lines
            if 0 in line.get_xdata() and len(line.get_xdata()) == len(LOG)
        ]
        assert len(set(looks)) == len(looks) > 0


@pytest.mark.parametrize("figure", ["gsnr_curves", "same_sign"])
def test_the_legend_names_every_value_that_was_swept(figure: str) -> None:
    names = list(legend_of(draw(figure, *swept(**GRIDS["labels, rate, width"]))))
    expected = ["real labels", "random labels", "lr = 0.1", "lr = 0.5", "ch = 6", "ch = 8"]
    assert [name for name in names if name != FLOOR] != []
    assert set(expected) <= set(names)
    assert not any("mean" in name for name in names)
    alone = list(legend_of(draw(figure, *swept(lr=(0.1, 0.5)))))
    assert [name for name in alone if name != FLOOR] == ["lr = 0.1", "lr = 0.5"]


@pytest.mark.parametrize("figure", ["frozen", "weight_gradient", "first_term"])
def test_rows_say_what_was_swept(figure: str) -> None:
    drawn = draw(figure, *swept(lr=(0.1, 0.5)))
    starts = [axes.get_ylabel().split("\n")[0] for axes in drawn.axes]
    assert [start for start in starts if start.startswith("lr")] == ["lr = 0.1", "lr = 0.5"]


@every_figure
def test_seeds_are_averaged_and_the_legend_says_of_how_many(figure: str) -> None:
    runs = swept(lr=(0.1, 0.5), seed=(0, 1, 2))
    drawn = draw(figure, *runs)
    assert "mean and range of 3 seeds" in legend_of(drawn)
    shown = [axes for axes in drawn.axes if not axes.get_ylabel().endswith("over chance")]
    starts = {curve[0] for axes in shown for curve in curves_of(axes) if 0 in curve}
    assert starts == {2.0, 5.0}  # of 1, 2, 3 and of 4, 5, 6
    assert not any("mean" in name for name in legend_of(draw(figure, *swept(lr=(0.1, 0.5)))))


def test_seeds_of_unequal_number() -> None:
    runs = [*swept(lr=(0.1,), seed=(0, 1, 2)), *swept(lr=(0.5,), seed=(0, 1))]
    assert "mean and range of 2 to 3 seeds" in legend_of(draw("gsnr_curves", *runs))


def test_what_follows_from_the_model_is_no_axis_of_its_own() -> None:
    runs = [
        *swept(model=("table2_cnn",), n=(1000,), p_random=(0.0, 1.0)),
        *swept(model=("resnet18",), n=(500,), p_random=(0.0, 1.0)),
    ]
    assert list(legend_of(draw("gsnr_curves", *runs))) == ["real labels", "random labels", FLOOR]


def test_more_rows_than_a_page_holds_are_said() -> None:
    drawn = draw("first_term", *swept(lr=[k / 10 for k in range(1, 21)]))
    assert len(drawn.axes) == 3 * curves.MAX_ROWS
    assert f"{curves.MAX_ROWS} of 20 settings have a row" in legend_of(drawn)
    assert drawn.axes[0].get_ylabel().startswith("lr = 0.1\n")
    assert drawn.axes[-3].get_ylabel().startswith("lr = 2\n")


def test_more_values_than_looks_are_said() -> None:
    names = list(legend_of(draw("gsnr_curves", *swept(ch=range(1, 15), lr=range(1, 9)))))
    assert {"… of 14 values", "lr: looks repeat"} <= set(names)
