"""The rows of panels of a figure: one for whatever else was swept, and one for the paper's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pandas import DataFrame

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.neyshabur2017.networks import interpolating, trained_networks
from gsnr_sweep.papers.neyshabur2017.paper_curves import Part, paper_networks
from gsnr_sweep.papers.plotting import curves
from gsnr_sweep.papers.plotting.legend import Legend

PAPER = "the paper"


@dataclass(frozen=True)
class Row:
    """The networks of one row of panels.

    Attributes:
        about: What they are called; empty if they are all there are.
        networks: One row a network, as `trained_networks` gives them.
        arrays: As `Analysis.arrays`.
    """

    about: str
    networks: DataFrame
    arrays: DataFrame

    @property
    def interpolating(self) -> DataFrame:
        """Those without a training error."""
        return interpolating(self.networks)

    def labelled(self, ylabel: str) -> str:
        """Return the label of the row's first panel, under the name of the row."""
        return f"{self.about}\n{ylabel}" if self.about else ylabel


def rows_of(
    analysis: Analysis, figure: str, needed: Sequence[str], told_apart: Sequence[str], part: Part
) -> list[Row]:
    """Return the rows of a figure.

    Args:
        analysis: The sweep's runs.
        figure: Name of the figure.
        needed: Columns that it cannot do without.
        told_apart: Settings that are told apart within a row.
        part: The paper's own curves, which have a row where the sweep asks for them.

    Raises:
        GsnrError: A column is missing, or there is no trained network without a training error.
    """
    networks = trained_networks(analysis)
    curves.require(networks, needed, figure)
    if interpolating(networks).empty:
        raise GsnrError(
            f"The figure {figure} compares networks without a training error, and none of these "
            f"{len(networks)} has got there: the smallest is {networks['train_error'].min():.2%}. "
            "Train longer (epochs=…), or with another learning rate (lr=…)."
        )
    rows = [
        # A row is not as high as a long label: what the network's argument is called is enough.
        Row(about.replace("model.args.", ""), own, analysis.arrays)
        for about, own in curves.rows_of(analysis, networks, "model", told_apart)
        if not interpolating(own).empty
    ]
    if analysis.preset.paper_curves:
        paper = paper_networks(part)
        rows.append(Row(PAPER, trained_networks(paper), paper.arrays))
    return rows


def say_left_out(analysis: Analysis, legend: Legend) -> None:
    """Say how many networks are not drawn because they have a training error."""
    networks = trained_networks(analysis)
    missing = len(networks) - len(interpolating(networks))
    if missing:
        legend.say(f"{missing} of {len(networks)} left out: training error above 0")
