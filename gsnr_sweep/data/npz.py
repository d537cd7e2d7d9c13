"""A user's own arrays: x_train, y_train, x_test and y_test in one .npz file.

Images may be [N, H, W], [N, H, W, C] or [N, C, H, W]; anything else is [N, features]. uint8 is
taken as pixels (divided by 255). Integer y are class labels from 0; floating-point y are the
targets of a regression, [N] or [N, outputs].
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.settings import NpzConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.errors import GsnrError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_MAX_CHANNELS = 4
Headers = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]


class _File(NamedTuple):
    """A file as it is now: one that is written anew is another one to the caches below."""

    path: str
    modified: int


def npz_distribution(cfg: NpzConfig) -> PoolDistribution:
    """Describe the arrays of an .npz file from their headers and labels.

    Raises:
        GsnrError: The file is missing, is not an .npz, or its arrays do not fit together.
    """
    path = Path(cfg.path).absolute()
    headers = _headers(path)
    _check(path, headers)
    file = _File(str(path), path.stat().st_mtime_ns)
    n_outputs, task = _targets(file)
    shape, _ = headers["x_train"]
    spec = DataSpec(
        name="npz",
        input_shape=_input_shape(shape, cfg.layout),
        n_outputs=n_outputs,
        task="regression" if task == "regression" else "classification",
        n_train=shape[0],
        n_test=headers["x_test"][0][0],
        source=str(path),
    )
    load = partial(_load, file, layout=cfg.layout, standardize=cfg.standardize)
    return PoolDistribution(
        spec=spec,
        load_train=partial(load, split="train"),
        load_test=partial(load, split="test"),
        fetch=lambda: None,
    )


def _headers(path: Path) -> Headers:
    """Read shape and type of each array without reading the arrays."""
    if not path.is_file():
        raise GsnrError(
            f"data.path={path}: there is no such file. Give an .npz file of the arrays "
            f"{', '.join(ARRAYS)}."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem: name for name in archive.namelist()}
            missing = [name for name in ARRAYS if name not in names]
            if missing:
                raise GsnrError(
                    f"data.path={path}: the arrays {', '.join(missing)} are missing; found are "
                    f"{', '.join(sorted(names)) or 'none'}. Needed are {', '.join(ARRAYS)}."
                )
            return {name: _header(archive, names[name]) for name in ARRAYS}
    except zipfile.BadZipFile:
        raise GsnrError(
            f"data.path={path}: this is not an .npz file. Write one with numpy.savez_compressed("
            "path, x_train=…, y_train=…, x_test=…, y_test=…)."
        ) from None


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(member) as stream:
        version = npy_format.read_magic(stream)
        read: Callable[..., Any] = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    return shape, dtype


def _check(path: Path, headers: Headers) -> None:
    for problems in (_single_problems, _input_problems, _target_problems):
        for problem in problems(headers):
            raise GsnrError(f"data.path={path}: {problem}.")


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
    if (train_type == np.uint8) != (test_type == np.uint8):
        yield f"x_train is {train_type} and x_test is {test_type}; only uint8 is divided by 255"


def _target_problems(headers: Headers) -> Iterator[str]:
    (train, train_type), (test, test_type) = headers["y_train"], headers["y_test"]
    if (train_type.kind == "f") != (test_type.kind == "f"):
        yield "y_train and y_test must both be integers (classes) or both be floats (regression)"
    if train_type.kind != "f" and math.prod(train[1:]) != 1:
        yield f"y_train {train} is not one label a sample; targets of a regression must be floats"
    if math.prod(train[1:]) != math.prod(test[1:]):
        yield f"y_train {train} and y_test {test} must have equally many targets a sample"


@lru_cache(maxsize=4)
def _targets(file: _File) -> tuple[int, str]:
    with np.load(file.path, allow_pickle=False) as arrays:
        train, test = arrays["y_train"], arrays["y_test"]
    if train.dtype.kind == "f":
        return math.prod(train.shape[1:]), "regression"
    lowest, highest = int(min(train.min(), test.min())), int(max(train.max(), test.max()))
    if lowest < 0:
        raise GsnrError(
            f"data.path={file.path}: label {lowest} found; classes are numbered from 0."
        )
    return highest + 1, "classification"


@lru_cache(maxsize=2)
def _load(file: _File, split: str, layout: str, standardize: bool) -> Samples:
    with np.load(file.path, allow_pickle=False) as arrays:
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if y.dtype.kind == "f":
        targets = torch.from_numpy(y.reshape(len(y), -1).astype(np.float64))
    else:
        targets = torch.from_numpy(y.reshape(-1).astype(np.int64))
    standardization = _standardization(file, layout) if standardize else _scaling(x)
    return Samples(torch.from_numpy(_channels_first(x, layout)), targets, standardization)


@lru_cache(maxsize=2)
def _standardization(file: _File, layout: str) -> Standardization:
    """Measure the training pool's mean and standard deviation by channel."""
    with np.load(file.path, allow_pickle=False) as arrays:
        x = _channels_first(arrays["x_train"], layout)
    scale = _scaling(x).scale
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes, dtype=np.float64) / scale
    std = x.std(axis=axes, dtype=np.float64) / scale
    std = np.where(std > 0, std, 1.0)
    return Standardization(tuple(mean.tolist()), tuple(std.tolist()), scale)


def _scaling(x: NDArray[Any]) -> Standardization:
    return Standardization(scale=255.0 if x.dtype == np.uint8 else 1.0)


def _input_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
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
