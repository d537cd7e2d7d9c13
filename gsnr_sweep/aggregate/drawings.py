"""The figures that a sweep asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.figures.catalog import FIGURES, LHS_RHS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gsnr_sweep.aggregate.table import SweepTable


@dataclass
class Drawings:
    """Figures by name, and why others could not be drawn."""

    figures: dict[str, Figure] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def draw_all(table: SweepTable, names: Sequence[str]) -> Drawings:
    """Draw figures of a sweep; one that cannot be drawn keeps no other from it.

    Args:
        table: The sweep's runs.
        names: Of the figures in the catalog; `LHS_RHS` is not drawn here.
    """
    drawn = Drawings()
    for name in names:
        if name == LHS_RHS:
            continue
        try:
            drawn.figures[name] = FIGURES[name].draw(table.frame, table.arrays)
        except KeyError:
            known = ", ".join(FIGURES)
            drawn.problems[name] = f"There is no figure {name!r}. There is: {known}."
        except GsnrError as error:
            drawn.problems[name] = str(error)
    return drawn
