"""The trained networks of a sweep at one epoch, as they are ranked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pandas import DataFrame

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Axis:
    """A setting that was swept.

    Attributes:
        name: Its key.
        values: Its values in ascending order.
        codes: Place of each network's value among them, shape (networks,).
    """

    name: str
    values: tuple[Any, ...]
    codes: Codes


@dataclass(frozen=True)
class Networks:
    """Trained networks with their settings and what they are to be ordered by.

    Attributes:
        axes: The settings in which they differ, without the seed.
        seeds: Number of each network's seed, from 0 on, shape (networks,).
        target: What measures predict, shape (networks,), finite.
    """

    axes: tuple[Axis, ...]
    seeds: Codes
    target: Vector

    @classmethod
    def of(cls, frame: DataFrame, axes: Sequence[str], seeds: Codes, target: str) -> Networks:
        """Read them from a table.

        Args:
            frame: One row a network, with finite targets.
            axes: Columns of the settings.
            seeds: Number of each network's seed, shape (networks,).
            target: Column of the target.
        """
        found = tuple(_axis(frame, name) for name in axes)
        return cls(found, seeds, frame[target].to_numpy(dtype=float))

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return int(self.seeds.max(initial=-1)) + 1

    def where(self, chosen: NDArray[np.bool_]) -> Networks:
        """Return some of the networks; seeds keep their numbers.

        Args:
            chosen: Which, shape (networks,).
        """
        axes = tuple(replace(axis, codes=axis.codes[chosen]) for axis in self.axes)
        part = replace(self, axes=axes, seeds=self.seeds[chosen], target=self.target[chosen])
        part.__dict__["n_seeds"] = self.n_seeds
        return part

    def setting(self, names: Sequence[int], *, with_seed: bool = False) -> Codes:
        """Return one number a network, equal where networks agree in some axes.

        Args:
            names: Places of the axes.
            with_seed: Whether the seed has to agree, too.
        """
        columns = [self.axes[place].codes for place in names]
        columns += [self.seeds] if with_seed else []
        if not columns:
            return np.zeros(len(self), dtype=np.intp)
        _, codes = np.unique(np.stack(columns), axis=1, return_inverse=True)
        return codes.reshape(-1).astype(np.intp)

    @cached_property
    def neighbours(self) -> tuple[tuple[Codes, Codes], ...]:
        """For each axis the ordered pairs (i, j) of networks that differ in it alone."""
        return tuple(self._neighbours(place) for place in range(len(self.axes)))

    def _neighbours(self, place: int) -> tuple[Codes, Codes]:
        others = [k for k in range(len(self.axes)) if k != place]
        group, level = self.setting(others, with_seed=True), self.axes[place].codes
        pairs = []
        order = np.argsort(group, kind="stable")
        ends = np.flatnonzero(np.diff(group[order])) + 1
        for members in np.split(order, ends):
            first, second = np.nonzero(level[members][:, None] != level[members])
            pairs.append((members[first], members[second]))
        return tuple(np.concatenate(side) for side in zip(*pairs, strict=True))  # type: ignore[return-value]


def _axis(frame: DataFrame, name: str) -> Axis:
    values = list(frame[name])
    found = sorted(set(map(_sortable, values)))
    places = {key: place for place, key in enumerate(found)}
    codes = np.array([places[_sortable(value)] for value in values], dtype=np.intp)
    shown = {_sortable(value): value for value in values}
    return Axis(name, tuple(shown[key] for key in found), codes)


def _sortable(value: Any) -> tuple[int, float, str]:
    """Return a key that orders numbers by value, then texts, then what is missing."""
    if isinstance(value, str):
        return (1, 0.0, value)
    if value is None or math.isnan(value):
        return (2, 0.0, "")
    return (0, float(value), "")


def signs(values: Vector) -> NDArray[np.int8]:
    """Return sign(v_i − v_j) of all pairs, shape (networks, networks)."""
    greater = (values[:, None] > values[None, :]).view(np.int8)
    greater -= (values[:, None] < values[None, :]).view(np.int8)
    return greater
