"""How the values of a setting are told apart in a figure: by ordered colours or by markers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from pandas import CategoricalDtype, DataFrame, Series, isna
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from gsnr_sweep.papers.plotting.style import COLORS, MARKERS

MAX_LISTED = 12
NOT_SET = "not set"
MODEL_NAMES = {
    "table2_cnn": "simple CNN",
    "table3_cnn": "CNN with batch norm.",
    "resnet18": "ResNet18",
    "vgg": "VGG",
    "mlp": "MLP",
    "linear": "linear model",
    "strided_cnn": "strided CNN",
}


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
    labels = ordered_labels(values)
    ordered = _is_ordered(values) or len(labels) > len(COLORS)
    colors = ordered_colors(len(labels)) if ordered else COLORS
    return Levels(str(values.name), dict(zip(labels, colors, strict=False)))


def marker_levels(values: Series[Any]) -> Levels:
    """Give every value a marker; all values the same one where the markers do not suffice."""
    labels = ordered_labels(values)
    if len(labels) > len(MARKERS):
        return Levels(str(values.name), dict.fromkeys(labels, MARKERS[0]), distinguished=False)
    return Levels(str(values.name), dict(zip(labels, MARKERS, strict=False)))


def ordered_colors(count: int) -> list[Any]:
    """Return colours from dark to light, without the palest."""
    return [mpl.colormaps["viridis"](place) for place in np.linspace(0.0, 0.88, count)]


def labels_of(values: Iterable[Any]) -> list[str]:
    """Return the label of each value: 1000.0 as ``1000``, a missing one as ``not set``."""
    return [_label(value) for value in values]


def named(name: str, label: str) -> str:
    """Return what a setting's value is called where no heading names the setting."""
    if name == "p_random" and label in ("0", "1"):
        return "random labels" if label == "1" else "real labels"
    if name == "model":
        return MODEL_NAMES.get(label, label)
    if name == "loss.name":
        return label.replace("_", " ")
    return f"init {label}" if name == "init" else f"{name} = {label}"


def combined(
    frame: DataFrame,
    names: Sequence[str],
    label: Callable[[str, str], str] = lambda _, value: value,
) -> Series[Any]:
    """Return the combinations of some settings as one, ordered as the settings' values are.

    Args:
        frame: The table.
        names: Of the settings; none makes every row alike, with an empty label.
        label: From a setting and the label of its value to the text in the combination.
    """
    ranks = [{one: i for i, one in enumerate(ordered_labels(frame[name]))} for name in names]
    rows = list(zip(*(labels_of(frame[name]) for name in names), strict=True)) or [()] * len(frame)
    order = sorted(set(rows), key=lambda row: [r[v] for r, v in zip(ranks, row, strict=True)])
    text = {row: ", ".join(map(label, names, row)) for row in order}
    kind = CategoricalDtype(list(dict.fromkeys(text.values())), ordered=True)
    return Series([text[row] for row in rows], frame.index, kind, ", ".join(names))


def ordered_labels(values: Series[Any]) -> list[str]:
    """Return the distinct labels in the order of the values, a missing value last."""
    if isinstance(values.dtype, CategoricalDtype):
        return [str(label) for label in values.cat.categories]
    present: Sequence[Any] = list(values.dropna().unique())
    ordered = sorted(present, key=None if _is_ordered(values) else str)
    labels = list(dict.fromkeys(labels_of(ordered)))
    return [*labels, NOT_SET] if values.isna().any() else labels


def _label(value: Any) -> str:
    if isna(value):
        return NOT_SET
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def _is_ordered(values: Series[Any]) -> bool:
    return is_numeric_dtype(values) and not is_bool_dtype(values)
