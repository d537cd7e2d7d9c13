"""Measure how well the gradient signal-to-noise ratio predicts one-step generalization.

gsnr-sweep reproduces Liu et al. 2020, "Understanding Why Neural Networks Generalize Well Through
GSNR of Parameters" (ICLR 2020, arXiv 2001.07384): for every point of a grid of settings it
measures both sides of the paper's eq. (19), the one-step generalization ratio (OSGR).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsnr_sweep.api.functions import gradient_statistics, osgr
    from gsnr_sweep.api.one_step import OneStepRatio
    from gsnr_sweep.api.statistics import GradientStatistics
    from gsnr_sweep.api.tracker import GSNRTracker

__version__ = "0.1.0"
__all__ = ["GSNRTracker", "GradientStatistics", "OneStepRatio", "gradient_statistics", "osgr"]

# PyTorch takes a second to import: what needs it is imported when it is asked for.
_PLACES = {
    "GSNRTracker": "gsnr_sweep.api.tracker",
    "GradientStatistics": "gsnr_sweep.api.statistics",
    "OneStepRatio": "gsnr_sweep.api.one_step",
    "gradient_statistics": "gsnr_sweep.api.functions",
    "osgr": "gsnr_sweep.api.functions",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
