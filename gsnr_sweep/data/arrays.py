"""Pools of samples from a user's own arrays: what must fit together, and how they are laid out.

Images may be [N, H, W], [N, H, W, C] or [N, C, H, W]; anything else is [N, features]. uint8 is
taken as pixels (divided by 255); with ``data.layout=tokens`` x is [N, length], whole numbers that
stay what they are. Integer y are class labels and floating-point y the targets of a
regression, [N] or [N, outputs], unless ``data.task`` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.settings import TOKENS
from gsnr_sweep.errors import GsnrError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
Headers = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
_MAX_CHANNELS = 4
_CHUNK = 2**22  # values worked on at once, so that a large array needs no second one in float64
_LARGEST = float(np.finfo(np.float32).max)


def check(where: str, headers: Headers, task: str, layout: str) -> None:
    """Check that pools fit together, by shapes and types alone.

    Args:
        where: Key and value that the pools come from.
        headers: Shape and type of each of `ARRAYS`.
        task: What ``data.task`` says that the targets are.
        layout: What ``data.layout`` says of the inputs.

    Raises:
        GsnrError: They do not.
    """
    inputs = partial(_input_problems, layout=layout)
    checks = (_single_problems, inputs, partial(_target_problems, task=task))
    for problems in checks:
        for problem in problems(headers):
            raise GsnrError(f"{where}: {problem}.")


def first_not_finite(values: NDArray[Any]) -> tuple[tuple[int, ...], float] | None:
    """Find the first value that is NaN, infinite, or beyond the range of float32.

    Args:
        values: An array of numbers.

    Returns:
        Its index, empty for a single number, and the value; None if there is none.
    """
    if values.dtype.kind not in "fc":
        return None
    start = 0
    for part in np.split(values.reshape(-1), range(_CHUNK, values.size, _CHUNK)):
        finite = np.isfinite(part)
        if part.dtype.itemsize > 4:
            finite &= np.abs(part) <= _LARGEST
        if not finite.all():
            place = start + int(finite.argmin())
            index = tuple(int(i) for i in np.unravel_index(place, values.shape))
            return index, float(part[place - start])
        start += len(part)
    return None


def describe_index(index: tuple[int, ...]) -> str:
    """Write an index as it is typed, such as ``[3, 0]``; empty for a single number."""
    return f"[{', '.join(map(str, index))}]" if index else ""


def check_finite(where: str, name: str, values: NDArray[Any]) -> None:
    """Refuse an array that holds NaN, or a value that is infinite in float32.

    Args:
        where: Key and value that the array comes from.
        name: Of the array.
        values: The array.

    Raises:
        GsnrError: It does; the first such value is named.
    """
    if found := first_not_finite(values):
        index, value = found
        raise GsnrError(
            f"{where}: {name}{describe_index(index)} is {value}; only finite numbers (up to "
            "3.4e38) can be computed with. Replace or leave out what is missing."
        )


def _single_problems(headers: Headers) -> Iterator[str]:
    for name, (shape, dtype) in headers.items():
        if dtype.kind not in "uifb":
            yield f"{name} has type {dtype}; numbers are needed"
        if not shape:
            yield f"{name} is a single number; arrays with one entry a sample are needed"


def _input_problems(headers: Headers, layout: str) -> Iterator[str]:
    for split in ("train", "test"):
        n_x, n_y = (headers[f"{axis}_{split}"][0][:1] for axis in "xy")
        if n_x != n_y or n_x == (0,):
            yield (
                f"x_{split} has {n_x[0]} samples and y_{split} has {n_y[0]}; equal numbers, not 0, "
                "are needed"
            )
    (train, train_type), (test, test_type) = headers["x_train"], headers["x_test"]
    if train[1:] != test[1:] or len(train) < 2:
        yield f"x_train {train} and x_test {test} must be samples of one same shape"
    if math.prod(train[1:]) == 0:
        yield f"x_train {train} has no features; at least one a sample is needed"
    if layout == TOKENS:
        for name, found in (("x_train", train_type), ("x_test", test_type)):
            if found.kind not in "ui":
                yield (
                    f"{name} has type {found}; with data.layout=tokens it holds whole numbers "
                    "from 0, such as int64"
                )
    elif (train_type == np.uint8) != (test_type == np.uint8):
        yield f"x_train is {train_type} and x_test is {test_type}; only uint8 is divided by 255"


def _target_problems(headers: Headers, task: str) -> Iterator[str]:
    (train, train_type), (test, test_type) = headers["y_train"], headers["y_test"]
    if task == "auto" and (train_type.kind == "f") != (test_type.kind == "f"):
        yield (
            "y_train and y_test must both be integers (classes) or both be floats (regression); "
            "data.task=classification or data.task=regression says which is meant"
        )
    if task == "auto" and train_type.kind != "f" and math.prod(train[1:]) != 1:
        yield (
            f"y_train {train} is not one label a sample; targets of a regression must be floats. "
            "data.task=classification takes one-hot rows, data.task=regression whole numbers"
        )
    if math.prod(train[1:]) != math.prod(test[1:]):
        yield f"y_train {train} and y_test {test} must have equally many targets a sample"
    if math.prod(train[1:]) == 0:
        yield f"y_train {train} has no targets; at least one a sample is needed"


def as_samples(
    x: NDArray[Any], targets: Tensor, layout: str, standardization: Standardization
) -> Samples:
    """Lay out a pool as it is drawn from.

    Pixels stay in bytes and are standardized as they are used. Other numbers are standardized here,
    in float64, and rounded to the type that they are kept in only then: the digits in which values
    of 10⁷ ± 1 differ are lost once they are rounded to float32.

    Args:
        x: Inputs as the user has them.
        targets: Labels, or targets of a regression, as losses take them.
        layout: Axes of 4-dimensional x: ``hwc``, ``chw`` or ``auto``; or ``tokens``.
        standardization: Applied to every batch, but not to tokens.

    Raises:
        GsnrError: A token is negative.
    """
    if layout == TOKENS:
        if x.size and int(x.min()) < 0:
            raise GsnrError(
                f"data.layout=tokens: x holds {int(x.min())}; tokens are whole numbers from 0 on, "
                "which a network looks up. Give padding a number of its own."
            )
        return Samples(torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64)), targets)
    moved = _channels_first(x, layout)
    if not standardization.mean or x.dtype == np.uint8:
        kept = np.ascontiguousarray(moved, dtype=_kept_type(x))
        return Samples(torch.from_numpy(kept), targets, standardization)
    kept = np.empty(moved.shape, _kept_type(x))
    by_channel = (-1, *(1 for _ in moved.shape[2:]))
    mean, std = (np.reshape(of, by_channel) for of in (standardization.mean, standardization.std))
    for part in _row_slices(moved):
        kept[part] = (moved[part] / standardization.scale - mean) / std
    return Samples(torch.from_numpy(kept), targets)


def standardization_by(x: NDArray[Any], layout: str) -> Standardization:
    """Measure mean and standard deviation of the training pool's inputs by channel, in float64.

    Numbers that are no pixels are measured from the first sample's on, so that a large offset takes
    no digits from what varies. The deviation of what does not vary at all is taken as 1.
    """
    if layout == TOKENS:
        return Standardization()
    moved = _channels_first(x, layout)
    axes = (0, *range(2, moved.ndim))
    if x.dtype == np.uint8:
        moved, scale = np.ascontiguousarray(moved), scaling(x).scale  # sums in the same order
        mean = moved.mean(axis=axes, dtype=np.float64) / scale
        std = moved.std(axis=axes, dtype=np.float64) / scale
        return Standardization(
            tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()), scale
        )
    first = moved[(slice(0, 1), slice(None), *(slice(0, 1) for _ in moved.shape[2:]))]
    origin = first.astype(np.float64)
    count = moved.size // moved.shape[1]
    parts = _row_slices(moved)
    shift = sum(((moved[part] - origin).sum(axis=axes) for part in parts), np.zeros(())) / count
    centre = np.reshape(shift, origin.shape)
    squares = (((moved[part] - origin) - centre) ** 2 for part in parts)
    variance = sum((square.sum(axis=axes) for square in squares), np.zeros(())) / count
    varies = (moved != first).any(axis=axes)
    std = np.where(varies & (variance > 0), np.sqrt(variance), 1.0)
    return Standardization(tuple((origin.reshape(-1) + shift).tolist()), tuple(std.tolist()))


def scaling(x: NDArray[Any]) -> Standardization:
    """Divide uint8 by 255, nothing else."""
    return Standardization(scale=255.0 if x.dtype == np.uint8 else 1.0)


def input_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Return the shape of one input of x as a network sees it, channels first."""
    if len(shape) == 3 and layout != TOKENS:
        return (1, *shape[1:])
    if len(shape) == 4 and _is_hwc(shape, layout):
        return (shape[3], shape[1], shape[2])
    return shape[1:]


def _is_hwc(shape: tuple[int, ...], layout: str) -> bool:
    if layout == "auto":
        return shape[3] <= _MAX_CHANNELS < shape[1]
    return layout == "hwc"


def _channels_first(x: NDArray[Any], layout: str) -> NDArray[Any]:
    """View x as [N, channels, ...]."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and _is_hwc(x.shape, layout):
        return x.transpose(0, 3, 1, 2)
    return x


def _kept_type(x: NDArray[Any]) -> type[np.generic]:
    """Return the type that inputs are kept in: pixels in bytes, float64 where digits need it."""
    if x.dtype == np.uint8:
        return np.uint8
    return np.float32 if x.dtype.itemsize <= 4 else np.float64


def _row_slices(x: NDArray[Any]) -> list[slice]:
    """Cut x into parts whose float64 values take little memory."""
    rows = max(1, _CHUNK // max(1, math.prod(x.shape[1:])))
    return [slice(start, start + rows) for start in range(0, len(x), rows)]
