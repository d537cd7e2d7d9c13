"""Measure how well the gradient signal-to-noise ratio predicts one-step generalization.

gsnr-sweep reproduces Liu et al. 2020, "Understanding Why Neural Networks Generalize Well Through
GSNR of Parameters" (ICLR 2020, arXiv 2001.07384): for every point of a grid of settings it
measures both sides of the paper's eq. (19), the one-step generalization ratio (OSGR).

`gradient_statistics` and `osgr` measure a network of your own. `run` and `sweep` do from Python
what the command line does; `load` reads results back.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gsnr_sweep._version import __version__ as __version__

if TYPE_CHECKING:
    from gsnr_sweep.api.functions import gradient_statistics as gradient_statistics
    from gsnr_sweep.api.functions import osgr as osgr
    from gsnr_sweep.api.one_step import OneStepRatio as OneStepRatio
    from gsnr_sweep.api.statistics import GradientStatistics as GradientStatistics
    from gsnr_sweep.api.tracker import GSNRTracker as GSNRTracker
    from gsnr_sweep.errors import GsnrError as GsnrError
    from gsnr_sweep.from_python.launches import run as run
    from gsnr_sweep.from_python.launches import sweep as sweep
    from gsnr_sweep.from_python.load import load as load
    from gsnr_sweep.from_python.results import Sweep as Sweep
    from gsnr_sweep.records.record import RunRecord as RunRecord

# Imported when they are asked for, so that importing the package loads nothing heavy.
_EXPORTS = {
    "gradient_statistics": "gsnr_sweep.api.functions",
    "osgr": "gsnr_sweep.api.functions",
    "GSNRTracker": "gsnr_sweep.api.tracker",
    "GradientStatistics": "gsnr_sweep.api.statistics",
    "OneStepRatio": "gsnr_sweep.api.one_step",
    "run": "gsnr_sweep.from_python.launches",
    "sweep": "gsnr_sweep.from_python.launches",
    "load": "gsnr_sweep.from_python.load",
    "Sweep": "gsnr_sweep.from_python.results",
    "RunRecord": "gsnr_sweep.records.record",
    "GsnrError": "gsnr_sweep.errors",
}


def __getattr__(name: str) -> Any:
    """Import what the package exports."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    """List the exports, for completion in a notebook."""
    return sorted([*globals(), *_EXPORTS])
