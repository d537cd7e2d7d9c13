"""The figures that a sweep asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers.registry import draw
from gsnr_sweep.user_code import UserCodeError, call

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gsnr_sweep.analysis.analysis import Analysis


@dataclass
class Drawings:
    """Figures by name, and why others could not be drawn."""

    figures: dict[str, Figure] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def draw_all(analysis: Analysis, names: Sequence[str]) -> Drawings:
    """Draw figures of a sweep; one that cannot be drawn keeps no other from it.

    Args:
        analysis: The sweep's runs.
        names: Of the figures, or dotted paths; `LHS_RHS` is not drawn here.
    """
    drawn = Drawings()
    for name in names:
        if name == LHS_RHS:
            continue
        try:
            drawn.figures[name] = call(name, _laid_out, name, analysis)
        except UserCodeError as error:  # a figure is no reason to lose the others
            speaks = isinstance(error.__cause__, GsnrError)
            told = str(error) if speaks else f"it cannot be drawn of these runs ({error})"
            drawn.problems[name] = told
    return drawn


def _laid_out(name: str, analysis: Analysis) -> Figure:
    figure = draw(name, analysis)
    figure.draw_without_rendering()  # what cannot be laid out is known now
    return figure
