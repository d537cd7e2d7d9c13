"""Measures: pure functions of a snapshot, one concept a file, named as the papers name them.

A measure takes a `Snapshot` and returns its values by metric name: numbers, which become metrics,
or lists of numbers, which stay in the run's record. To add one, write such a
function in a new file and name it in a line of ``conf/measures/``. NaN stands for a value that does
not exist (a standard error from a single training set, an accuracy of a regression).
"""

from gsnr_sweep.measures.registry import Measure, load_measures, measure_all
from gsnr_sweep.measures.requires import requirements_of, requires

__all__ = ["Measure", "load_measures", "measure_all", "requirements_of", "requires"]
