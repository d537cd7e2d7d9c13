"""How the values of a setting are told apart in a figure: by ordered colours or by markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from pandas import Series, isna
from pandas.api.types import is_bool_dtype, is_numeric_dtype

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
MAX_LISTED = 12
MAX_NAMED_COLORS = 10
NOT_SET = "not set"


@dataclass(frozen=True)
class Levels:
    """The values of one setting in their order, and the look of each.

    Attributes:
        name: The setting.
        looks: Colour or marker by the value's label, in the order of the values.
        distinguished: Whether the looks differ; they do not where there are too many values.
    """

    name: str
    looks: dict[str, Any]
    distinguished: bool = True

    def listed(self) -> list[str]:
        """Return the labels a legend shows: all, or of many an even choice with both ends."""
        labels = list(self.looks)
        count = min(len(labels), MAX_LISTED)
        return [labels[i] for i in np.linspace(0, len(labels) - 1, count).round().astype(int)]

    def heading(self) -> str:
        """Return the legend's heading, which says what the listed labels leave out."""
        if not self.distinguished:
            return f"{self.name}: {len(self.looks)} values,\nnot told apart"
        listed = len(self.listed())
        return self.name if listed == len(self.looks) else f"{self.name} ({len(self.looks)} values)"


def color_levels(values: Series[Any]) -> Levels:
    """Give every value a colour that the colour-blind can tell from its neighbours.

    Numbers get an ordered scale, dark for small ones, evenly spaced by rank; its pale end is left
    out, for it vanishes on paper. Names get unordered colours as long as there are enough.
    """
    labels = _ordered_labels(values)
    if _is_ordered(values) or len(labels) > MAX_NAMED_COLORS:
        scale = sns.color_palette("viridis", as_cmap=True)
        colors = [scale(position) for position in np.linspace(0.0, 0.88, len(labels))]
    else:
        colors = list(sns.color_palette("colorblind", len(labels)))
    return Levels(str(values.name), dict(zip(labels, colors, strict=True)))


def marker_levels(values: Series[Any]) -> Levels:
    """Give every value a marker; all values the same one where the markers do not suffice."""
    labels = _ordered_labels(values)
    if len(labels) > len(MARKERS):
        return Levels(str(values.name), dict.fromkeys(labels, MARKERS[0]), distinguished=False)
    return Levels(str(values.name), dict(zip(labels, MARKERS, strict=False)))


def labels_of(values: Iterable[Any]) -> list[str]:
    """Return the label of each value."""
    return [_label(value) for value in values]


def _label(value: Any) -> str:
    """Write 1000.0 as ``1000`` and a missing value as ``not set``."""
    if isna(value):
        return NOT_SET
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def _is_ordered(values: Series[Any]) -> bool:
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def _ordered_labels(values: Series[Any]) -> list[str]:
    """Return the distinct labels in the order of the values, a missing value last."""
    present: Sequence[Any] = list(values.dropna().unique())
    ordered = sorted(present, key=None if _is_ordered(values) else str)
    labels = list(dict.fromkeys(labels_of(ordered)))
    return [*labels, NOT_SET] if values.isna().any() else labels
