"""Pools of samples from a user's own arrays: what must fit together, and how they are laid out.

Images may be [N, H, W], [N, H, W, C] or [N, C, H, W]; anything else is [N, features]. uint8 is
taken as pixels (divided by 255). Integer y are class labels and floating-point y the targets of a
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
from gsnr_sweep.errors import GsnrError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
Headers = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
_MAX_CHANNELS = 4
_FINITE_CHUNK = 2**22  # values looked at at once: a mask of a large array's size is not needed


def check(where: str, headers: Headers, task: str) -> None:
    """Check that pools fit together, by shapes and types alone.

    Args:
        where: Key and value that the pools come from.
        headers: Shape and type of each of `ARRAYS`.
        task: What ``data.task`` says that the targets are.

    Raises:
        GsnrError: They do not.
    """
    checks = (_single_problems, _input_problems, partial(_target_problems, task=task))
    for problems in checks:
        for problem in problems(headers):
            raise GsnrError(f"{where}: {problem}.")


def first_not_finite(values: NDArray[Any]) -> tuple[tuple[int, ...], float] | None:
    """Find the first value that is NaN or infinite.

    Args:
        values: An array of numbers.

    Returns:
        Its index, empty for a single number, and the value; None if all are finite.
    """
    if values.dtype.kind not in "fc":
        return None
    start = 0
    for part in np.split(values.reshape(-1), range(_FINITE_CHUNK, values.size, _FINITE_CHUNK)):
        finite = np.isfinite(part)
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
    """Refuse an array that holds NaN or an infinite value.

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
            f"{where}: {name}{describe_index(index)} is {value}; only finite numbers can be "
            "computed with. Replace or leave out what is missing."
        )


def _single_problems(headers: Headers) -> Iterator[str]:
    for name, (shape, dtype) in headers.items():
        if dtype.kind not in "uifb":
            yield f"{name} has type {dtype}; numbers are needed"
        if not shape:
            yield f"{name} is a single number; arrays with one entry a sample are needed"


def _input_problems(headers: Headers) -> Iterator[str]:
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
    if (train_type == np.uint8) != (test_type == np.uint8):
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

    Args:
        x: Inputs as the user has them.
        targets: Labels, or targets of a regression, as losses take them.
        layout: Axes of 4-dimensional x: ``hwc``, ``chw`` or ``auto``.
        standardization: Applied to every batch.
    """
    return Samples(torch.from_numpy(_channels_first(x, layout)), targets, standardization)


def standardization_by(x: NDArray[Any], layout: str) -> Standardization:
    """Measure mean and standard deviation of the training pool's inputs by channel."""
    x = _channels_first(x, layout)
    scale = scaling(x).scale
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes, dtype=np.float64) / scale
    std = x.std(axis=axes, dtype=np.float64) / scale
    std = np.where(std > 0, std, 1.0)
    return Standardization(tuple(mean.tolist()), tuple(std.tolist()), scale)


def scaling(x: NDArray[Any]) -> Standardization:
    """Divide uint8 by 255, nothing else."""
    return Standardization(scale=255.0 if x.dtype == np.uint8 else 1.0)


def input_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Return the shape of one input of x as a network sees it, channels first."""
    if len(shape) == 3:
        return (1, *shape[1:])
    if len(shape) == 4 and _is_hwc(shape, layout):
        return (shape[3], shape[1], shape[2])
    return shape[1:]


def _is_hwc(shape: tuple[int, ...], layout: str) -> bool:
    if layout == "auto":
        return shape[3] <= _MAX_CHANNELS < shape[1]
    return layout == "hwc"


def _channels_first(x: NDArray[Any], layout: str) -> NDArray[Any]:
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and _is_hwc(x.shape, layout):
        x = x.transpose(0, 3, 1, 2)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    return np.ascontiguousarray(x, dtype=np.float32 if x.dtype.itemsize <= 4 else np.float64)
