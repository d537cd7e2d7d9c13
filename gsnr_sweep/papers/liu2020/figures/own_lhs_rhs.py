"""Both sides of eq. (19) for the steps of the training rule's own, drawn as the paper's Fig. 4."""

from __future__ import annotations

from matplotlib.figure import Figure

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.papers.liu2020.figures.lhs_rhs import draw_lhs_rhs
from gsnr_sweep.papers.plotting.curves import require

_X = "osgr_own_rhs"


def draw_own_lhs_rhs(analysis: Analysis) -> Figure:
    """Draw `osgr_own_lhs_full_batch` against `osgr_own_rhs`, one panel an epoch.

    Raises:
        GsnrError: They were not measured.
    """
    return _draw(analysis, "osgr_own_lhs_full_batch", "own_lhs_rhs")


def draw_own_lhs_rhs_epoch(analysis: Analysis) -> Figure:
    """Draw `osgr_own_lhs_epoch` against `osgr_own_rhs`, one panel an epoch.

    Raises:
        GsnrError: They were not measured.
    """
    return _draw(analysis, "osgr_own_lhs_epoch", "own_lhs_rhs_epoch")


def _draw(analysis: Analysis, y: str, name: str) -> Figure:
    require(analysis.frame, [_X, y], name)
    statistics = analysis.statistics(_X, y)
    return draw_lhs_rhs(analysis.aligned, statistics, x=_X, y=y, axes=analysis.axes)
