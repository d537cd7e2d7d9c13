"""The trained networks of a sweep: each run at the end of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis


def trained_networks(analysis: Analysis) -> DataFrame:
    """Return the last row of each run; runs that were measured at epoch 0 only have none."""
    frame = analysis.frame
    later = frame[frame["epoch"] > 0].sort_values("epoch", kind="stable")
    return later.groupby("run_id", sort=False).tail(1).sort_index()


def interpolating(networks: DataFrame) -> DataFrame:
    """Return the networks without a training error, as all of the paper's comparisons have them.

    Where the training error was not measured, all count.
    """
    return networks[networks["train_error"] == 0] if "train_error" in networks else networks
