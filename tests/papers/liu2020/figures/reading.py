"""Reading figures back: their lines, their legend, and what a reader could not make out."""

from itertools import combinations, pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gsnr_sweep.papers.registry import FIGURES
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_analysis

LOG = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2500)
EVEN = tuple(range(0, 201, 10))
LEAST_PANEL = 0.75
"""Inches: a panel that is lower shows nothing."""


def draw(figure: str, *runs: RunRecord) -> Figure:
    """Draw a figure of the catalog, laid out as it is saved."""
    drawn = FIGURES[figure].draw(make_analysis(*runs))
    drawn.draw_without_rendering()
    return drawn


def curves_of(axes: Axes, **look: Any) -> list[dict[float, float]]:
    """The curves of a panel as values by epoch: all, or those of a colour or style of line."""
    return [
        dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in axes.lines
        if line.get_xdata()[-1] != 1 or len(line.get_xdata()) != 2  # not a guide across the panel
        if all(_has(line, key, value) for key, value in look.items())
    ]


def legend_of(figure: Figure) -> dict[str, Any]:
    """The legend's handles by label."""
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(set(labels)) == len(labels)
    return dict(zip(labels, legend.legend_handles, strict=True))


def titles_of(figure: Figure) -> list[str]:
    """The panels' titles."""
    return [axes.get_title(loc="left") for axes in figure.axes]


def illegible(figure: Figure) -> list[str]:
    """Say what a reader could not make out: text on text or cut, panels of no height."""
    figure.draw_without_rendering()
    found = []
    texts = {f"legend: {t.get_text()}": t for legend in figure.legends for t in legend.get_texts()}
    for number, axes in enumerate(figure.axes):
        height = axes.get_window_extent().height / figure.dpi
        if height < LEAST_PANEL:
            found.append(f"panel {number} is {height:.2f} inches high")
        texts |= {f"panel {number}: {axes.get_title(loc='left')}": axes._left_title}  # type: ignore[attr-defined]
        for axis in (axes.xaxis, axes.yaxis):
            texts[f"panel {number}: {axis.get_label_text()} of {axis.axis_name}"] = axis.label
            ticks = [t for t in axis.get_majorticklabels() if t.get_text() and t.get_visible()]
            low, high = sorted(axis.get_view_interval())
            inside = [
                t
                for t, place in zip(ticks, axis.get_majorticklocs(), strict=False)
                if low <= place <= high
            ]
            boxes = sorted((t.get_window_extent() for t in inside), key=lambda b: (b.x0, b.y0))
            if any(a.overlaps(b) for a, b in pairwise(boxes)):
                found.append(f"panel {number}: tick labels of {axis.axis_name} overlap")
    boxes = {name: t.get_window_extent() for name, t in texts.items() if t.get_text()}
    found += [f"{a} / {b}" for a, b in combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
    whole = figure.bbox.padded(2)
    found += [
        f"{name} is cut"
        for name, box in boxes.items()
        if not (whole.contains(box.x0, box.y0) and whole.contains(box.x1, box.y1))
    ]
    return found


def _has(line: Any, key: str, value: Any) -> bool:
    found = getattr(line, f"get_{key}")()
    return bool(to_hex(found) == to_hex(value) if key == "color" else found == value)
