"""A user's own arrays: x_train, y_train, x_test and y_test in one .npz file.

Images may be [N, H, W], [N, H, W, C] or [N, C, H, W]; anything else is [N, features]. uint8 is
taken as pixels (divided by 255). Integer y are class labels and floating-point y the targets of a
regression, [N] or [N, outputs], unless ``data.task`` says otherwise.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from gsnr_sweep.data.arrays import (
    ARRAYS,
    as_samples,
    check,
    check_finite,
    input_shape,
    scaling,
    standardization_by,
)
from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.files import own_path
from gsnr_sweep.data.npz_reader import check_file, read_array, read_headers
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.settings import TOKENS, NpzConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.data.targets import Targets


class _File(NamedTuple):
    """A file as it is now: one that is written anew is another one to the caches below."""

    path: str
    modified: int

    def read(self, name: str) -> NDArray[Any]:
        """Read one of its arrays."""
        return read_array(Path(self.path), name)


def npz_distribution(cfg: NpzConfig) -> PoolDistribution:
    """Describe the arrays of an .npz file from their headers and labels.

    Raises:
        GsnrError: The file is missing, is not an .npz, or its arrays do not fit together.
    """
    path = own_path(cfg.path)
    file = _File(str(path), check_file(path))
    headers = read_headers(path)
    check(f"data.path={path}", headers, cfg.task, cfg.layout)
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
        inputs="tokens" if cfg.layout == TOKENS else "numbers",
    )
    load = partial(_load, file, cfg.task, layout=cfg.layout, standardize=cfg.standardize)
    return PoolDistribution(
        spec=spec,
        load_train=partial(load, split="train"),
        load_test=partial(load, split="test"),
        fetch=partial(_check_finite, file),
    )


@lru_cache(maxsize=64)  # a launch looks at a file once for the check, once to prepare
def _check_finite(file: _File) -> None:
    for name in ARRAYS:
        check_finite(f"data.path={file.path}", name, file.read(name))


@lru_cache(maxsize=4)
def _targets(file: _File, task: str) -> Targets:
    train, test = (file.read(f"y_{split}") for split in ("train", "test"))
    return Targets.of(f"data.path={file.path}", train, test, task)


@lru_cache(maxsize=2)
def _load(file: _File, task: str, split: str, layout: str, standardize: bool) -> Samples:
    x, y = (file.read(f"{axis}_{split}") for axis in "xy")
    standardization = _standardization(file, layout) if standardize else scaling(x)
    return as_samples(x, _targets(file, task).encode(y), layout, standardization)


@lru_cache(maxsize=2)
def _standardization(file: _File, layout: str) -> Standardization:
    """Measure the training pool's mean and standard deviation by channel."""
    return standardization_by(file.read("x_train"), layout)
