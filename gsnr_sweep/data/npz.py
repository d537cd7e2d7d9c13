"""A user's own arrays: x_train, y_train, x_test and y_test in one .npz file.

Images may be [N, H, W], [N, H, W, C] or [N, C, H, W]; anything else is [N, features]. uint8 is
taken as pixels (divided by 255). Integer y are class labels and floating-point y the targets of a
regression, [N] or [N, outputs], unless ``data.task`` says otherwise.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from gsnr_sweep.data.arrays import (
    ARRAYS,
    Headers,
    as_samples,
    check,
    check_finite,
    input_shape,
    scaling,
    standardization_by,
)
from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.settings import NpzConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.data.targets import Targets
from gsnr_sweep.errors import GsnrError


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
    check(f"data.path={path}", headers, cfg.task)
    file = _File(str(path), path.stat().st_mtime_ns)
    targets = _targets(file, cfg.task)
    shape, _ = headers["x_train"]
    spec = DataSpec(
        name="npz",
        input_shape=input_shape(shape, cfg.layout),
        n_outputs=targets.n_outputs,
        task=targets.task,
        n_train=shape[0],
        n_test=headers["x_test"][0][0],
        source=str(path),
        classes=targets.classes,
        doubts=targets.doubts,
    )
    load = partial(_load, file, cfg.task, layout=cfg.layout, standardize=cfg.standardize)
    return PoolDistribution(
        spec=spec,
        load_train=partial(load, split="train"),
        load_test=partial(load, split="test"),
        fetch=partial(_check_finite, file),
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


@lru_cache(maxsize=64)  # a launch looks at a file once for the check, once to prepare
def _check_finite(file: _File) -> None:
    with np.load(file.path, allow_pickle=False) as arrays:
        for name in ARRAYS:
            check_finite(f"data.path={file.path}", name, arrays[name])


@lru_cache(maxsize=4)
def _targets(file: _File, task: str) -> Targets:
    with np.load(file.path, allow_pickle=False) as arrays:
        return Targets.of(f"data.path={file.path}", arrays["y_train"], arrays["y_test"], task)


@lru_cache(maxsize=2)
def _load(file: _File, task: str, split: str, layout: str, standardize: bool) -> Samples:
    with np.load(file.path, allow_pickle=False) as arrays:
        x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    standardization = _standardization(file, layout) if standardize else scaling(x)
    return as_samples(x, _targets(file, task).encode(y), layout, standardization)


@lru_cache(maxsize=2)
def _standardization(file: _File, layout: str) -> Standardization:
    """Measure the training pool's mean and standard deviation by channel."""
    with np.load(file.path, allow_pickle=False) as arrays:
        return standardization_by(arrays["x_train"], layout)
