"""Tables of networks by seed, as claims read them, and the groups by which they are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gsnr_sweep.analysis.axes import SEEDS, open_axes

if TYPE_CHECKING:
    from pandas import DataFrame

    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.claim import Claim


def by_seed(networks: DataFrame, column: str, setting: str) -> DataFrame:
    """Return a column with a row a seed and a column a value of a setting.

    Only finite values count; empty if the column or the setting is not there.
    """
    from pandas import DataFrame

    seeds = [name for name in SEEDS if name in networks]
    if not seeds or not {column, setting} <= set(networks.columns):
        return DataFrame()
    finite = networks[np.isfinite(networks[column].to_numpy(dtype=float))]
    table: DataFrame = finite.pivot_table(index=seeds, columns=setting, values=column)
    return table


def complete(table: DataFrame) -> DataFrame:
    """Return the columns in which every seed of a table has a value."""
    return table.dropna(axis="columns")


def sentence(about: str, text: str) -> str:
    """Return a claim's text, begun with what it is about, or else with a capital letter."""
    return f"{about}{text}" if about else text[0].upper() + text[1:]


def judge_groups(
    analysis: Analysis,
    networks: DataFrame,
    varied: Sequence[str],
    judge: Callable[[DataFrame, str], list[Claim]],
) -> list[Claim]:
    """Judge claims for each setting of what else was swept than a figure's own axes.

    Args:
        analysis: The sweep's runs.
        networks: Those to judge by.
        varied: The figure's own axes.
        judge: From networks, and the words that say which they are, to claims.
    """
    others = [name for name in analysis.axes if name not in (*varied, *SEEDS)]
    axes = open_axes(networks, others, [])
    if not axes:
        return judge(networks, "")
    claims = []
    for values, own in networks.groupby(axes, sort=False, dropna=False):
        named = (f"{axis} = {value}" for axis, value in zip(axes, values, strict=True))
        claims += judge(own, f"{', '.join(named)}: ")
    return claims
