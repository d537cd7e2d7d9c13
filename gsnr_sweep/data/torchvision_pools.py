"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.files import file_digest
from gsnr_sweep.data.resizing import resized
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.seeding import Stream
from gsnr_sweep.data.settings import TorchvisionConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.data.torchvision_files import (
    DATA_ROOT_VARIABLE,
    data_root,
    dataset_class,
    expected_place,
    pool_files,
    present_files,
)
from gsnr_sweep.errors import GsnrError, describe_exception

_SECONDS_TO_ANSWER = 20.0


def torchvision_distribution(cfg: TorchvisionConfig) -> PoolDistribution:
    """Describe a torchvision data set; nothing is read or downloaded yet."""
    root = data_root(cfg)
    shape = tuple(cfg.shape)
    spec = DataSpec(
        name=cfg.name,
        input_shape=shape if cfg.resize is None else (shape[0], cfg.resize, cfg.resize),
        n_outputs=cfg.n_classes,
        task="classification",
        n_train=cfg.train_pool,
        n_test=cfg.test_pool,
        source=f"torchvision {cfg.dataset} in {root}",
    )
    standardization = Standardization(tuple(cfg.mean), tuple(cfg.std), 255.0)
    needed = _Needed(shape, cfg.n_classes, cfg.train_pool, cfg.test_pool)
    load = partial(_load, cfg.dataset, str(root), needed, standardization)
    return _Images(
        side=cfg.resize,
        spec=spec,
        load_train=partial(load, train=True),
        load_test=partial(load, train=False),
        fetch=partial(_fetch, cfg.dataset, root, needed),
    )


@dataclass(frozen=True)
class _Images(PoolDistribution):
    """Pools of images that are resized as they are drawn.

    Attributes:
        side: Height and width that they are brought to; None to leave them.
    """

    side: int | None

    @override
    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        drawn = super().draw(n, seed, stream, index)
        return drawn if self.side is None else replace(drawn, x=resized(drawn.x, self.side))


class _Needed(NamedTuple):
    """What a config says of the images.

    Attributes:
        shape: Channels, height and width.
        n_classes: Number of classes.
        train_pool: Number of training images to draw from.
        test_pool: Number of test images to draw from.
    """

    shape: tuple[int, ...]
    n_classes: int
    train_pool: int
    test_pool: int


def _open(dataset: str, root: Path, train: bool, download: bool) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return dataset_class(dataset)(str(root), train=train, download=download)


@lru_cache(maxsize=2)
def _load(
    dataset: str, root: str, needed: _Needed, standardization: Standardization, train: bool
) -> Samples:
    data = _open(dataset, Path(root), train, download=False)
    x, y = _images(data, _described(dataset, Path(root), train), needed, train)
    return Samples(x, y, standardization)


def _images(data: Any, where: str, needed: _Needed, train: bool) -> tuple[Tensor, Tensor]:
    """Return images, channels first, and labels as a config says that they are.

    Raises:
        GsnrError: They are others.
    """
    x = torch.from_numpy(np.asarray(data.data))
    y = torch.as_tensor(data.targets, dtype=torch.int64)
    if x.dtype != torch.uint8 or x.dim() not in (3, 4) or y.dim() != 1 or not len(x):
        raise GsnrError(f"{where}: these are no images in bytes with one label each.")
    x = x.unsqueeze(1) if x.dim() == 3 else x.permute(0, 3, 1, 2).contiguous()
    if len(x) != len(y):
        raise GsnrError(f"{where}: there are {len(x)} images and {len(y)} labels.")
    shape = list(x.shape[1:])
    if shape != list(needed.shape):
        raise GsnrError(
            f"data.shape={list(needed.shape)}: images are of shape {shape} in {where}. Give "
            f"data.shape={str(shape).replace(' ', '')}."
        )
    if int(y.min()) < 0 or int(y.max()) >= needed.n_classes:
        raise GsnrError(
            f"data.n_classes={needed.n_classes}: there are labels from {int(y.min())} to "
            f"{int(y.max())} in {where}. Give data.n_classes={int(y.max()) + 1}."
        )
    key, wanted = ("train_pool", needed.train_pool) if train else ("test_pool", needed.test_pool)
    if len(x) < wanted:
        raise GsnrError(
            f"data.{key}={wanted}: there are {len(x)} images in {where}. Give data.{key}={len(x)}."
        )
    return x[:wanted], y[:wanted]


def _described(dataset: str, root: Path, train: bool) -> str:
    """Name the files of a pool."""
    files = [file.path.name for file in pool_files(dataset, root) if file.train == train]
    place = expected_place(dataset, root)
    shown = ", ".join(files[:2]) + (f", … {files[-1]}" if len(files) > 2 else "")
    return f"{place} ({shown})" if files else str(place)


def _fetch(dataset: str, root: Path, needed: _Needed) -> None:
    place = expected_place(dataset, root)
    try:
        pools = [(train, _open(dataset, root, train, download=False)) for train in (True, False)]
    except Exception as error:
        if "Dataset not found" in str(error):
            _download(dataset, root, place)
            pools = [(train, _open(dataset, root, train, False)) for train in (True, False)]
        else:
            raise _unreadable(dataset, place, error) from None
    _check_published(dataset, root)
    for train, data in pools:
        where = _described(dataset, root, train)
        try:
            _images(data, where, needed, train)
        except GsnrError:
            raise
        except Exception as error:
            raise GsnrError(
                f"{where}: these are no images with labels ({describe_exception(error)})."
            ) from None


def _unreadable(dataset: str, place: Path, error: Exception) -> GsnrError:
    if isinstance(error, OSError) and error.filename:
        return GsnrError(
            f"The files of {dataset} cannot be read ({error.filename}: {error.strerror}). Make "
            "them readable, or name another folder with data.root=FOLDER."
        )
    return GsnrError(
        f"The files of {dataset} in {place} are damaged ({describe_exception(error)}). Replace "
        "them, or delete that folder to have them downloaded anew."
    )


def _check_published(dataset: str, root: Path) -> None:
    """Refuse a file that has the published one's size and another content.

    Files of other sizes are a user's own images in the same format.

    Raises:
        GsnrError: A file is damaged.
    """
    for file in present_files(dataset, root):
        md5, size = file.published()
        as_large = file.path.stat().st_size == size
        if as_large and (found := file_digest(file.path, "md5")) != md5:
            raise GsnrError(
                f"{file.path}: it is as large as {dataset}'s, but its MD5 sum is {found} where "
                f"{dataset}'s is {md5}: the file is damaged, or another data set's. Delete the "
                "folder to have it downloaded anew; other data sets are named by data.dataset."
            )


def _download(dataset: str, root: Path, place: Path) -> None:
    before = _entries(root, place)
    try:
        with _impatient():
            _open(dataset, root, train=True, download=True)
            _open(dataset, root, train=False, download=True)
    except Exception as error:
        _remove_new(root, place, before)
        raise GsnrError(
            f"{_what_is_missing(dataset, root)} and could not be downloaded ({_one_line(error)}). "
            f"Put its files where torchvision expects them, {place}, or name another folder with "
            f"data.root=FOLDER or the environment variable {DATA_ROOT_VARIABLE}. "
            "data=digits and data=toy need no download; data=npz reads your own arrays."
        ) from None


def _what_is_missing(dataset: str, root: Path) -> str:
    """Say that a data set is not there, or which of its files are not the published ones."""
    damaged = [
        file.path.name for file in present_files(dataset, root) if file.is_published() is False
    ]
    if not damaged:
        return f"{dataset} is not in {root}"
    shown = ", ".join(damaged[:3]) + (" and others" if len(damaged) > 3 else "")
    return f"{dataset} in {root} is damaged ({shown}: not the published MD5 sum)"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a server that does not answer; torchvision itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_TO_ANSWER)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _entries(root: Path, place: Path) -> set[Path] | None:
    """List the folders that a download writes to; None if there is no root yet."""
    return {*root.iterdir(), *place.rglob("*")} if root.is_dir() else None


def _remove_new(root: Path, place: Path, before: set[Path] | None) -> None:
    """Leave nothing half-downloaded behind."""
    if before is None:
        shutil.rmtree(root, ignore_errors=True)
        return
    for entry in (_entries(root, place) or set()) - before:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
