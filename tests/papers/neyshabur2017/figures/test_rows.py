"""What all figures have in common: which networks they show, rows, legibility, files."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.plotting.panels import save_figure
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.figures.reading import illegible, legend_of, titles_of
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.figures.drawing import drawn
from tests.tables import make_run

SWEEPS: dict[str, Callable[..., list[RunRecord]]] = {
    "norms": made_up.labels,
    "sharpness": made_up.labels,
    "confusion": made_up.confusion,
    "width": made_up.widths,
    "conditions": made_up.conditions,
}
PANELS = {"norms": 4, "sharpness": 3, "confusion": 3, "width": 3, "conditions": 4}
OF_TRAINED = [name for name in SWEEPS if name != "conditions"]
every_figure = pytest.mark.parametrize("name", SWEEPS)
SEEDS = "mean and range of 3 seeds"


@every_figure
@pytest.mark.parametrize("paper_curves", [False, True])
def test_everything_can_be_read(name: str, paper_curves: bool) -> None:
    assert illegible(drawn(name, *SWEEPS[name](), paper_curves=paper_curves)) == []


@every_figure
def test_one_seed_has_no_range(name: str) -> None:
    figure = drawn(name, *SWEEPS[name]((0,)))
    assert len(figure.axes) == PANELS[name]
    assert SEEDS not in legend_of(figure)
    assert illegible(figure) == []


@every_figure
def test_seeds_are_repeats_and_the_legend_says_of_how_many(name: str) -> None:
    figure = drawn(name, *SWEEPS[name]())
    assert len(figure.axes) == PANELS[name]
    assert SEEDS in legend_of(figure)


@every_figure
def test_what_else_was_swept_has_a_row_of_its_own(name: str) -> None:
    figure = drawn(name, *SWEEPS[name](lr=0.01), *SWEEPS[name](lr=0.1))
    assert len(figure.axes) == 2 * PANELS[name]
    assert [t[:3] for t in titles_of(figure)] == [f"({c})" for c in "abcdefgh"][: len(figure.axes)]
    starts = [figure.axes[k * PANELS[name]].get_ylabel().split("\n")[0] for k in (0, 1)]
    assert starts == ["lr = 0.01", "lr = 0.1"]


@pytest.mark.parametrize("name", OF_TRAINED)
def test_the_papers_own_curves_have_the_last_row(name: str) -> None:
    figure = drawn(name, *SWEEPS[name](), paper_curves=True)
    assert len(figure.axes) == 2 * PANELS[name]
    assert figure.axes[PANELS[name]].get_ylabel().startswith("the paper")
    for own, paper in zip(figure.axes[: PANELS[name]], figure.axes[PANELS[name] :], strict=True):
        assert own.get_title(loc="left")[4:] == paper.get_title(loc="left")[4:]


def test_the_paper_has_no_numbers_of_fig_5() -> None:
    runs = made_up.conditions()
    assert len(drawn("conditions", *runs, paper_curves=True).axes) == PANELS["conditions"]


@pytest.mark.parametrize("name", OF_TRAINED)
def test_networks_with_a_training_error_are_left_out_and_counted(name: str) -> None:
    left_out = made_up.network(
        made_up.LABELS[0.0, 500], 0, 0, errors=(0.01, 0.5), n=9000, ch=9000,
        data={"name": "mnist", "confusion": 9000},
    )  # fmt: skip
    runs = SWEEPS[name]()
    before = sum(run.measurements[-1].metrics["train_error"] > 0 for run in runs)
    told = [text for text in legend_of(drawn(name, *runs, left_out)) if "left out" in text]
    assert told == [f"{before + 1} of {len(runs) + 1} left out: training error above 0"]


@pytest.mark.parametrize("name", OF_TRAINED)
def test_without_an_interpolating_network_there_is_no_figure(name: str) -> None:
    runs = SWEEPS[name]((0,))
    for run in runs:
        run.measurements[-1].metrics["train_error"] = 0.25
    with pytest.raises(GsnrError, match=r"none of these \d+ has got there: the smallest is 25"):
        drawn(name, *runs)


@every_figure
def test_what_was_not_measured_is_named(name: str) -> None:
    with pytest.raises(GsnrError, match=f"The figure {name} needs "):
        drawn(name, make_run({"train_error": 0.0}, ch=8), make_run({"train_error": 0.0}, ch=16))


@every_figure
def test_a_figure_is_written_as_png_and_pdf(name: str, tmp_path: Path) -> None:
    paths = save_figure(drawn(name, *SWEEPS[name]((0,))), tmp_path, name)
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    height, width, _ = matplotlib.image.imread(paths[0]).shape
    assert width > height > 300


@every_figure
def test_lines_differ_without_their_colours(name: str) -> None:
    """In greyscale, and for the colour-blind, dashes, widths or markers tell them apart."""
    for axes in drawn(name, *SWEEPS[name]()).axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
        looks = [
            (line._dash_pattern, line.get_marker(), line.get_linewidth())  # type: ignore[attr-defined]
            for line in lines
        ]
        assert len(lines) > 1
        assert len(set(map(str, looks))) >= min(len(looks), 5)  # five dashes, then they repeat
