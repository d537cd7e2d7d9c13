"""Distributions Z from which the training sets D and the test set D' are drawn.

`distribution` turns a data config into a `Distribution`; `draw_sets` draws the M training sets and
the test set of one run from it, label noise included.
"""

from gsnr_sweep.data.base import DataSpec, Distribution
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.sampling import RunSets, draw_sets

__all__ = [
    "DataSpec",
    "Distribution",
    "RunSets",
    "Samples",
    "Standardization",
    "distribution",
    "draw_sets",
]
