"""What the paper says, judged by the runs of a sweep.

One file a figure: each claim with its source, its rule and the numbers behind the verdict. The rule
is in the claim's docstring and in its evidence; the thresholds are ours, the paper names none.
"""

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR, Claim
from gsnr_sweep.papers.registry import judge

__all__ = ["FAILS", "HOLDS", "UNCLEAR", "Claim", "judge"]
