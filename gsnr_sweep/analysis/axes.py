"""The axes of a sweep: the settings in which its runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gsnr_sweep.config.schema import NOT_SCIENCE, SHORTHANDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

REPEATS = "seed"
"""The axis whose runs are repeats of one another."""
SEEDS = (REPEATS, "seed_weights", "seed_data")
"""All such axes: initial weights and data may be drawn anew apart."""
# What is measured changes no other number.
_NO_AXIS = (*NOT_SCIENCE, *SHORTHANDS, "data.root", "measures.functions")


def swept_axes(frame: DataFrame, settings: Sequence[str]) -> tuple[str, ...]:
    """Return the settings in which the runs differ, without those that only say how or for whom.

    Args:
        frame: One row a run and epoch.
        settings: Its columns that hold settings.
    """
    return tuple(
        name
        for name in settings
        if not any(name == key or name.startswith(f"{key}.") for key in _NO_AXIS)
        and frame[name].nunique(dropna=False) > 1
    )


def seed_numbers(frame: DataFrame) -> NDArray[np.intp]:
    """Return the number of each row's seed, from 0 on: rows of one number share all their draws.

    Args:
        frame: Its columns among `SEEDS` count; without any, all rows have one seed.
    """
    import numpy as np

    columns = [name for name in SEEDS if name in frame]
    if not columns:
        return np.zeros(len(frame), dtype=np.intp)
    return np.asarray(frame.groupby(columns, dropna=False).ngroup(), dtype=np.intp)


def open_axes(frame: DataFrame, axes: Sequence[str], told_apart: Sequence[str]) -> list[str]:
    """Return the axes that others leave open: in which runs differ that agree in the others.

    An axis that follows from those before it (``model.args.depth`` from ``model``) is not among
    them: whoever tells these apart tells that one apart too.

    Args:
        frame: One row a run and epoch.
        axes: The axes in question, in the order of their importance.
        told_apart: Columns that are told apart already.
    """
    known, found = list(told_apart), []
    for name in axes:
        if name in known:
            continue
        groups = frame.groupby(known, dropna=False)[name] if known else None
        if groups is None:
            values = frame[name].nunique(dropna=False)
        else:
            values = groups.nunique(dropna=False).max()
        if values > 1:
            known.append(name)
            found.append(name)
    return found
