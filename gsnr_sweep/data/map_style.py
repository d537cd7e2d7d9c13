"""A map-style data set of the user's, such as a `torch.utils.data.Dataset`, read into arrays."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gsnr_sweep.data.arrays import describe_index, first_not_finite
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.user_code import UserCodeError, call


class Pool(NamedTuple):
    """All samples of a data set, x [N, ...] and y [N] or [N, ...]."""

    x: NDArray[Any]
    y: NDArray[Any]


def is_map_style(dataset: object) -> bool:
    """Tell whether a data set has a length and entries by number."""
    return hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")


def read_pool(where: str, name: str, dataset: Any) -> Pool:
    """Read all samples (x, y) of a data set.

    Args:
        where: Key and value that name it.
        name: ``training`` or ``test``.
        dataset: With a length and entries by number. x is a tensor, an array, an image or a number;
            y a whole number, or one or more floats.

    Returns:
        x in the type that the data set gives it; y in int64 or float64.

    Raises:
        GsnrError: It is empty, cannot be read, its samples differ in shape or type, or a value is
            not finite.
    """
    reader = _Reader(where, name, dataset)
    first = reader.sample(0)
    x, y = reader.arrays(first)
    for i in range(reader.length):
        one = reader.sample(i) if i else first
        reader.check_alike(i, one, first)
        x[i], y[i] = one.x, one.y
    for axis, values in (("x", x), ("y", y)):
        reader.check_finite(axis, values)
    return Pool(x, y)


def _as_array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


class _Reader:
    """Reads samples by number and names the one that is wrong."""

    def __init__(self, where: str, name: str, dataset: Any) -> None:
        self._where, self._name, self._dataset = where, name, dataset
        try:
            self.length = call(where, len, dataset)
        except UserCodeError as error:
            raise self._wrong(f"the {name} set has no length ({error})") from None
        if self.length == 0:
            raise self._wrong(f"the {name} set is empty")

    def sample(self, i: int) -> Pool:
        try:
            entry = call(self._where, operator.getitem, self._dataset, i)
        except UserCodeError as error:
            raise self._of(i, f"cannot be read ({error})") from None
        if not isinstance(entry, tuple | list) or len(entry) != 2:
            raise self._of(i, f"is of type {type(entry).__name__}; a pair (x, y) is needed")
        x, y = (self._array(i, axis, value) for axis, value in zip("xy", entry, strict=True))
        return Pool(x, y.astype(np.float64 if y.dtype.kind == "f" else np.int64))

    def _array(self, i: int, axis: str, value: Any) -> NDArray[Any]:
        try:
            array = call(self._where, _as_array, value)
        except UserCodeError as error:
            raise self._of(i, f"has an {axis} that is no array ({error})") from None
        if array.dtype.kind not in "uifb":
            raise self._of(
                i,
                f"has {axis} of type {type(value).__name__}; a tensor, an array, an image or a "
                "number is needed",
            )
        return array

    def arrays(self, first: Pool) -> Pool:
        """Make room for all samples."""
        shapes = [(self.length, *shape) for shape in (first.x.shape or (1,), first.y.shape)]
        try:
            return Pool(np.empty(shapes[0], first.x.dtype), np.empty(shapes[1], first.y.dtype))
        except (MemoryError, ValueError):
            raise self._wrong(
                f"the {self._name} set has {self.length} samples by its length, for which there "
                "is no memory"
            ) from None

    def check_alike(self, i: int, one: Pool, first: Pool) -> None:
        for axis, mine, its in (("x", one.x, first.x), ("y", one.y, first.y)):
            if mine.shape != its.shape:
                raise self._of(i, f"has {axis} of shape {mine.shape}, but sample 0 has {its.shape}")
            if mine.dtype != its.dtype:
                raise self._of(i, f"has {axis} of type {mine.dtype}, but sample 0 has {its.dtype}")

    def check_finite(self, axis: str, values: NDArray[Any]) -> None:
        if found := first_not_finite(values):
            (i, *rest), value = found
            raise self._of(i, f"has {axis}{describe_index(tuple(rest))} = {value}, not finite")

    def _of(self, i: int, problem: str) -> GsnrError:
        return self._wrong(f"sample {i} of the {self._name} set {problem}")

    def _wrong(self, problem: str) -> GsnrError:
        return GsnrError(
            f"{self._where}: {problem}. Both sets must give samples (x, y) of one same shape and "
            "type: y a whole number from 0 for a class, floats for a regression."
        )
