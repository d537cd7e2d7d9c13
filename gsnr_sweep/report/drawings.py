"""The figures that a sweep asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.papers.registry import draw

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
            figure = draw(name, analysis)
            figure.draw_without_rendering()  # what cannot be laid out is known now
            drawn.figures[name] = figure
        except GsnrError as error:
            drawn.problems[name] = str(error)
        except Exception as error:  # a figure is no reason to lose the others
            drawn.problems[name] = f"it cannot be drawn of these runs ({describe_exception(error)})"
    return drawn
