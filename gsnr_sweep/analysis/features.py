"""Which features predict the target, and when their GSNR is largest (Liu et al. 2020, Table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.table import SweepTable

PREFIX = "feature_target/"


def feature_table(table: SweepTable) -> DataFrame | None:
    """Compare each feature's correlation with the target at the start and at its GSNR's maximum.

    Returns:
        One row a run and followed weight s: its ``parameter``, ``feature`` (its number),
        ``gsnr_t0``, ``gsnr_max`` and the epoch ``t_max`` of that maximum, ``c_t0`` and ``c_tmax``,
        the feature's correlation with the target then; with the run's ``run_id``, ``name``,
        ``init``, ``seed`` and, if one has any, ``model.frozen``.
        None if the runs did not measure it.
    """
    from pandas import DataFrame

    arrays = table.arrays
    names = [n for n in arrays["array"].unique() if str(n).startswith(PREFIX)]
    about = [c for c in ("name", "init", "seed", "model.frozen") if c in table.frame]
    known = table.frame.drop_duplicates("run_id").set_index("run_id")[about]
    rows = []
    for name in names:
        ratio = arrays[arrays["array"] == f"gsnr/{str(name).removeprefix(PREFIX)}"]
        both = arrays[arrays["array"] == name].merge(
            ratio, on=["run_id", "epoch", "index"], suffixes=("_c", "_r")
        )
        for (run_id, index), one in both.sort_values("epoch").groupby(["run_id", "index"]):
            alive = one.dropna(subset="value_r")
            if alive.empty:
                continue
            peak = alive.loc[alive["value_r"].idxmax()]
            rows.append(
                {
                    "run_id": run_id,
                    **known.loc[run_id].to_dict(),
                    "parameter": str(name).removeprefix(PREFIX),
                    "feature": index,
                    "gsnr_t0": alive["value_r"].iloc[0],
                    "gsnr_max": peak["value_r"],
                    "t_max": peak["epoch"],
                    "c_t0": one["value_c"].iloc[0],
                    "c_tmax": peak["value_c"],
                }
            )
    return DataFrame(rows) if rows else None
