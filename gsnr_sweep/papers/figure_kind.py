"""A figure that can be drawn of a sweep's runs, known by its path until it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gsnr_sweep.errors import resolve_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gsnr_sweep.analysis.analysis import Analysis


@dataclass(frozen=True)
class FigureKind:
    """A figure that can be drawn of a sweep's runs.

    Attributes:
        path: Dotted path of a function (analysis) → figure; empty for `LHS_RHS`.
        caption: What it shows.
    """

    path: str
    caption: str

    def draw(self, analysis: Analysis) -> Figure:
        """Draw it.

        Args:
            analysis: The sweep's runs.

        Raises:
            GsnrError: The runs did not measure what it shows.
        """
        function: Callable[[Analysis], Figure] = resolve_name(self.path)
        return function(analysis)
