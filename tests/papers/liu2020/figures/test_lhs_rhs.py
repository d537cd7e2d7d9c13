"""What is drawn, read back from the figure: points, looks, lines, legend, layout and files."""

import itertools

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.markers import MarkerStyle

from gsnr_sweep.analysis.axes import swept_axes
from gsnr_sweep.analysis.statistics import pair_statistics, statistics_by_epoch
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.liu2020.figures.lhs_rhs import (
    DIAGONAL,
    FIT,
    MAX_PANELS,
    draw_lhs_rhs,
    panel_epochs,
    panel_title,
)
from gsnr_sweep.papers.plotting.levels import MARKERS, color_levels, marker_levels
from gsnr_sweep.papers.plotting.panels import save_figure

PAPER_N = (1000, 2000, 4000, 6000, 8000, 10000, 15000)
PAPER_P = (0.0, 0.1, 0.2, 0.3, 0.5)
PAPER_CH = (6, 8, 10, 12, 14, 16, 18, 20)
PAPER_EPOCHS = (20, 100, 500, 2500)
SETTINGS = ("n", "p_random", "ch", "lr", "seed", "model")


def make_table(n=PAPER_N, p_random=PAPER_P, ch=PAPER_CH, epochs=PAPER_EPOCHS):
    generator = np.random.default_rng(3)
    rows = []
    for size, p, width in itertools.product(n, p_random, ch):
        true = 1 / (1 + (0.6 + 1.8 * p + 0.02 * width) * 300 / size)
        for k, epoch in enumerate(epochs):
            rhs, lhs = true + generator.normal(0, 0.01 + 0.01 * k, 2)
            rows.append(
                {
                    **{"n": size, "p_random": p, "ch": width, "epoch": epoch},
                    **{"osgr_rhs": rhs - 0.02 * k, "osgr_lhs": lhs},
                    **{"osgr_rhs_se": 0.02, "osgr_lhs_se": 0.05, "nonfinite": ""},
                }
            )
    return pd.DataFrame(rows)


def draw(table, **options):
    axes = swept_axes(table, [name for name in SETTINGS if name in table])
    statistics = statistics_by_epoch(table, "osgr_rhs", "osgr_lhs")
    return draw_lhs_rhs(table, statistics, **{"axes": axes} | options)


def points_of(panel):
    return np.vstack([np.asarray(c.get_offsets()) for c in panel.collections if len(c.get_paths())])


def lines_of(panel, look):
    return [line for line in panel.lines if to_rgba(line.get_color()) == to_rgba(look["color"])]


def legend_of(figure):
    (legend,) = figure.legends
    return legend, [text.get_text() for text in legend.get_texts()]


CASES = {
    "4 points": make_table((200, 1000), (0.0, 0.5), (6,)),
    "24 points": make_table((1000, 4000, 10000), (0.0, 0.5), (6, 8, 12, 20)),
    "280 points": make_table(),
    "one panel": make_table(epochs=(20,)),
    "two panels": make_table(epochs=(20, 100)),
    "one n": make_table((1000,), (0.0,), PAPER_CH),
    "seven panels": make_table((1000, 2000), (0.0, 0.1), (6,), range(7)),
}
CASES["long tick labels"] = CASES["24 points"].assign(
    **{name: lambda t, name=name: 0.8 + 1e-4 * t[name] for name in ("osgr_rhs", "osgr_lhs")}
)
every_case = pytest.mark.parametrize("table", CASES.values(), ids=CASES.keys())


@every_case
def test_every_point_is_drawn_once_in_the_panel_of_its_epoch(table):
    figure = draw(table)
    epochs = sorted(set(table["epoch"]))
    assert len(figure.axes) == len(epochs)
    for panel, epoch in zip(figure.axes, epochs, strict=True):
        assert panel.get_title().startswith(f"epoch {epoch}   c = ")
        expected = table.loc[table["epoch"] == epoch, ["osgr_rhs", "osgr_lhs"]].to_numpy()
        drawn = points_of(panel)
        assert np.array_equal(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])


def test_colour_stands_for_n_and_marker_for_ch():
    table = CASES["24 points"]
    colors, markers = color_levels(table["n"]).looks, marker_levels(table["ch"]).looks
    panel = draw(table).axes[0]
    (collection,) = panel.collections
    first = table[table["epoch"] == 20].set_index("osgr_rhs")
    assert len(collection.get_offsets()) == 24
    for (x, _), face, path in zip(
        collection.get_offsets(), collection.get_facecolors(), collection.get_paths(), strict=True
    ):
        row = first.loc[x]
        assert tuple(face[:3]) == pytest.approx(to_rgba(colors[f"{row['n']:.0f}"])[:3])
        marker = MarkerStyle(markers[f"{row['ch']:.0f}"])
        expected = marker.get_path().transformed(marker.get_transform())
        assert np.array_equal(path.vertices, expected.vertices)


def test_lines_are_the_statistics_line_and_the_diagonal():
    table = CASES["24 points"]
    statistics = statistics_by_epoch(table, "osgr_rhs", "osgr_lhs")
    for panel, (epoch, s) in zip(draw(table).axes, statistics.items(), strict=True):
        (fit,), (diagonal,) = lines_of(panel, FIT), lines_of(panel, DIAGONAL)
        x = table.loc[table["epoch"] == epoch, "osgr_rhs"]
        assert fit.get_xdata() == pytest.approx([x.min(), x.max()])
        assert fit.get_ydata() == pytest.approx(s.intercept + s.slope * fit.get_xdata())
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == list(panel.get_xlim())
        assert fit.get_linestyle() == diagonal.get_linestyle() == ":"


def test_one_legend_names_all_values_and_lines():
    _, texts = legend_of(draw(CASES["280 points"]))
    assert [text for text in texts if text] == [
        *("n", *map(str, PAPER_N)),
        *("ch", *map(str, PAPER_CH)),
        *("least squares", "Deming", "LHS = RHS", "p_random: 5 values,\nnot told apart"),
    ]


def test_axes_are_named_after_the_paper_once():
    figure = draw(CASES["24 points"])
    assert figure.get_supxlabel() == "RHS: from GSNR, eq. (24)"
    assert figure.get_supylabel() == "LHS: OSGR by definition, eq. (23)"
    assert not any(panel.get_xlabel() or panel.get_ylabel() for panel in figure.axes)


@every_case
def test_panels_are_square_with_equal_limits_and_nothing_overlaps(table):
    figure = draw(table)
    figure.draw_without_rendering()
    legend, _ = legend_of(figure)
    box = legend.get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= figure.bbox.y0
    frames = [panel.get_tightbbox() for panel in figure.axes]
    for panel, frame in zip(figure.axes, frames, strict=True):
        inner = panel.get_window_extent()
        assert inner.width == pytest.approx(inner.height, rel=1e-6)
        assert panel.get_xlim() == panel.get_ylim()
        assert not frame.overlaps(box)
        labels = [t.get_window_extent() for t in panel.get_xticklabels() if t.get_text()]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(labels))
    assert not any(a.overlaps(b) for a, b in itertools.combinations(frames, 2))


def test_limits_hold_all_points():
    for panel in draw(CASES["280 points"]).axes:
        low, high = panel.get_xlim()
        assert low < points_of(panel).min() < points_of(panel).max() < high


def test_error_bars_are_one_standard_error_inside_the_limits():
    figure = draw(CASES["4 points"], error_bars=True)
    panel = figure.axes[0]
    horizontal, vertical = panel.containers[0].lines[2]
    widths = [np.ptp(segment[:, 0]) for segment in horizontal.get_segments()]
    heights = [np.ptp(segment[:, 1]) for segment in vertical.get_segments()]
    assert widths == pytest.approx([0.04] * 4)
    assert heights == pytest.approx([0.10] * 4)
    assert max(s.max() for s in vertical.get_segments()) < panel.get_ylim()[1]
    assert "± 1 standard error" in legend_of(figure)[1]


def test_other_settings_can_be_told_apart():
    table = CASES["24 points"].assign(model=lambda t: np.where(t["ch"] < 10, "cnn", "mlp"))
    _, texts = legend_of(draw(table, hue="p_random", style="model"))
    assert [t for t in texts if t][:6] == ["p_random", "0", "0.5", "model", "cnn", "mlp"]


def test_a_setting_that_some_runs_lack_is_shown_as_not_set():
    table = CASES["4 points"].assign(width=[np.nan] * 4 + [64.0] * 12)
    _, texts = legend_of(draw(table, hue="width"))
    assert texts[:3] == ["width", "64", "not set"]


def test_too_few_points_show_no_line_and_say_so():
    table = make_table((1000,), (0.0,), (6, 8), (0,))
    (panel,) = draw(table).axes
    assert panel.get_title() == "epoch 0   c undefined"
    assert len(points_of(panel)) == 2
    assert lines_of(panel, FIT) == []
    assert len(lines_of(panel, DIAGONAL)) == 1


def test_a_panel_without_finite_points_says_so():
    table = make_table((1000,), (0.0,), (6, 8), (0, 20))
    late = table["epoch"] == 20
    table.loc[late, ["osgr_rhs", "osgr_lhs"]] = np.nan
    table.loc[late, "nonfinite"] = "osgr_lhs osgr_rhs"
    panel = draw(table).axes[1]
    assert [text.get_text() for text in panel.texts] == ["no finite points"]


def test_equal_points_get_limits_around_them():
    table = make_table((1000,), (0.0,), (6,), (0,)).assign(osgr_rhs=0.8, osgr_lhs=0.8)
    low, high = draw(table).axes[0].get_xlim()
    assert low < 0.8 < high


def test_of_many_epochs_an_even_choice_is_drawn():
    epochs = list(range(0, 1000, 10))
    chosen = panel_epochs(epochs)
    assert len(chosen) == MAX_PANELS
    assert (chosen[0], chosen[-1]) == (0, 990)
    assert set(np.diff(chosen)) <= {60, 70}
    assert panel_epochs([2500, 20]) == [20, 2500]


def test_more_values_than_markers_are_not_told_apart():
    widths = range(len(MARKERS) + 1)
    _, texts = legend_of(draw(make_table((1000, 2000), (0.0,), widths, (0,))))
    assert "ch: 13 values,\nnot told apart" in texts


def test_of_many_colours_the_legend_lists_some():
    sizes = range(100, 5000, 100)
    levels = color_levels(pd.Series(sizes, name="n"))
    assert len(set(levels.looks.values())) == 49
    assert len(levels.listed()) == 12
    assert (levels.listed()[0], levels.listed()[-1]) == ("100", "4900")
    assert levels.heading() == "n (49 values)"


def test_colours_of_numbers_are_ordered_from_dark_to_light():
    looks = color_levels(pd.Series(reversed(PAPER_N), name="n")).looks
    assert list(looks) == [str(n) for n in PAPER_N]
    luminance = [np.dot(to_rgba(c)[:3], [0.2126, 0.7152, 0.0722]) for c in looks.values()]
    assert luminance == sorted(luminance)
    assert luminance[-1] < 0.85


@pytest.mark.parametrize(
    ("slope", "title"),
    [(1.0, "epoch 5   c = 1.000"), (-1.0, "epoch 5   c = −1.000"), (0.0, "epoch 5   c undefined")],
)
def test_title(slope, title):
    x = np.arange(5.0)
    assert panel_title(5, pair_statistics(x, slope * x)) == title


def test_title_has_two_decimals_below_one():
    x, y = [0, 1, 2, 3], [0, 2, 1, 3]
    assert panel_title(20, pair_statistics(x, y)) == "epoch 20   c = 0.80"


def test_missing_columns_and_nothing_measured_are_refused():
    table = CASES["4 points"]
    with pytest.raises(GsnrError, match="no width"):
        draw(table, hue="width")
    with pytest.raises(GsnrError, match="no osgr_rhs_se"):
        draw(table.drop(columns="osgr_rhs_se"), error_bars=True)
    with pytest.raises(GsnrError, match="nothing to draw"):
        draw_lhs_rhs(table, {})


def test_files_are_sharp_vectors_with_real_text_and_no_window_state(tmp_path):
    figure = draw(CASES["24 points"])
    png, pdf = save_figure(figure, tmp_path, "lhs_rhs")
    assert (png.name, pdf.name) == ("lhs_rhs.png", "lhs_rhs.pdf")
    height, width = matplotlib.image.imread(png).shape[:2]
    assert width > 200 * 5
    assert height > 200 * 4
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/Subtype /Image" not in content
    assert b"/Type3" not in content
    assert b"/CIDFontType2" in content
    assert plt.get_fignums() == []


# --- what was swept


def looks_of(panel):
    """The looks of a panel's points, of several seeds their means: colour and marker."""
    *_, collection = panel.collections
    return [
        (tuple(face), path.vertices.tobytes())
        for face, path in zip(collection.get_facecolors(), collection.get_paths(), strict=True)
    ]


def grid(**axes):
    """A point for each combination, at one epoch."""
    rows = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    known = {"n": 100, "ch": 6, "p_random": 0.0, "epoch": 20, "nonfinite": ""}
    points = [
        known | row | {"osgr_rhs": 0.5 + 0.01 * k, "osgr_lhs": 0.4 + 0.02 * k, "gap": 90.0 - k}
        for k, row in enumerate(rows)
    ]
    return pd.DataFrame(points)


GRIDS = {
    "labels and seeds": grid(p_random=(0.0, 0.2, 0.5), seed=range(4)),
    "rate": grid(lr=(0.001, 0.1, 0.5)),
    "models": grid(model=("cnn", "mlp")),
    "sizes and rate": grid(n=(100, 200), lr=(0.1, 0.5)),
    "sizes, widths, rate": grid(n=(100, 200), ch=(6, 8), lr=(0.1, 0.5)),
    "four axes": grid(n=(100, 200), p_random=(0.0, 0.5), lr=(0.1, 0.5), model=("a", "b")),
}


@pytest.mark.parametrize("table", GRIDS.values(), ids=GRIDS)
def test_points_of_every_grid_look_different(table):
    (panel,) = draw(table).axes
    looks = looks_of(panel)
    assert (
        len(set(looks))
        == len(looks)
        == len(
            table.drop(columns="seed", errors="ignore")
            .filter(["n", "ch", "p_random", "lr", "model"])
            .drop_duplicates()
        )
    )


def test_seeds_are_a_spread_around_the_mean_of_their_setting():
    """A pale point a run, and one for each setting at the mean of its seeds."""
    table = GRIDS["labels and seeds"]
    (panel,) = draw(table).axes
    pale, means = panel.collections
    expected = table.groupby("p_random")[["osgr_rhs", "osgr_lhs"]].mean().to_numpy()
    drawn = np.asarray(means.get_offsets())
    assert drawn[np.lexsort(drawn.T)] == pytest.approx(expected[np.lexsort(expected.T)])
    assert len(pale.get_offsets()) == len(table)
    assert pale.get_facecolors()[:, 3].max() < means.get_facecolors()[:, 3].min()


def test_a_seed_that_the_user_tells_apart_is_no_spread():
    (panel,) = draw(GRIDS["labels and seeds"], style="seed").axes
    (points,) = panel.collections
    assert len(points.get_offsets()) == 12


def test_the_legend_names_what_was_swept():
    _, texts = legend_of(draw(GRIDS["labels and seeds"]))
    assert [t for t in texts if t][:5] == ["p_random", "0", "0.2", "0.5", "least squares"]
    assert "4 seeds: mean;\npale: each" in texts
    _, texts = legend_of(draw(GRIDS["rate"]))
    assert [t for t in texts if t][:5] == ["lr", "0.001", "0.1", "0.5", "least squares"]
    _, texts = legend_of(draw(GRIDS["sizes, widths, rate"]))
    assert [t for t in texts if t][3:8] == ["ch, lr", "6, 0.1", "6, 0.5", "8, 0.1", "8, 0.5"]


def test_axes_that_are_left_are_named_as_not_told_apart():
    _, texts = legend_of(draw(grid(n=(1, 2), lr=range(1, 8), model=("a", "b", "c"))))
    assert "model: 3 values,\nnot told apart" in texts
    _, texts = legend_of(draw(GRIDS["four axes"], hue="lr", style="model"))
    assert {"n: 2 values,\nnot told apart", "p_random: 2 values,\nnot told apart"} <= set(texts)


def test_a_setting_that_follows_from_another_is_not_told_apart_twice():
    table = GRIDS["models"].assign(lr=[0.1, 0.5])
    _, texts = legend_of(draw(table, axes=("model", "lr")))
    assert not any("lr" in text for text in texts)


def test_both_sides_of_eq_19_alone_have_equal_axes_and_a_diagonal():
    table = GRIDS["labels and seeds"]
    statistics = statistics_by_epoch(table, "osgr_rhs", "gap")
    figure = draw_lhs_rhs(table, statistics, y="gap", axes=("p_random", "seed"))
    (panel,) = figure.axes
    assert lines_of(panel, DIAGONAL) == []
    assert len(lines_of(panel, FIT)) == 1
    assert "LHS = RHS" not in legend_of(figure)[1]
    assert panel.get_xlim()[1] < 1
    assert 70 < panel.get_ylim()[0] < 79
    assert 90 < panel.get_ylim()[1] < 92
    assert figure.get_supylabel() == "gap"
