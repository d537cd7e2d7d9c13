"""Reading a sweep back: one table, one figure, its statistics.

This package sees only what tracking reads back; it knows nothing of training.
"""

from gsnr_sweep.analysis.table import SweepTable, read_sweep
from gsnr_sweep.report.pipeline import aggregate
from gsnr_sweep.report.result import AggregateResult

__all__ = ["AggregateResult", "SweepTable", "aggregate", "read_sweep"]
