"""Drawing a figure of made-up runs as a sweep's end does, with or without the paper's curves."""

from dataclasses import replace

from matplotlib.figure import Figure

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.registry import draw
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_table


def drawn(name: str, *runs: RunRecord, paper_curves: bool = False) -> Figure:
    """A figure of the catalog, laid out."""
    table = make_table(*runs, figures=[name])
    preset = replace(table.preset, paper_curves=paper_curves)
    figure = draw(name, Analysis(replace(table, preset=preset)))
    figure.draw_without_rendering()
    return figure
