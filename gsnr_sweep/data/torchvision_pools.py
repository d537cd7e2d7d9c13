"""MNIST, Fashion-MNIST and CIFAR-10 through torchvision."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.settings import TorchvisionConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.errors import GsnrError, describe_exception

DATA_ROOT_VARIABLE = "GSNR_DATA_ROOT"
DEFAULT_ROOT = "data_cache"
_SECONDS_TO_ANSWER = 20.0


def data_root(cfg: TorchvisionConfig) -> Path:
    """Return the folder of the files: ``data.root``, else GSNR_DATA_ROOT, else data_cache."""
    return Path(cfg.root or os.environ.get(DATA_ROOT_VARIABLE) or DEFAULT_ROOT).absolute()


def torchvision_distribution(cfg: TorchvisionConfig) -> PoolDistribution:
    """Describe a torchvision data set; nothing is read or downloaded yet."""
    root = data_root(cfg)
    spec = DataSpec(
        name=cfg.name,
        input_shape=tuple(cfg.shape),
        n_outputs=cfg.n_classes,
        task="classification",
        n_train=cfg.train_pool,
        n_test=cfg.test_pool,
        source=f"torchvision {cfg.dataset} in {root}",
    )
    standardization = Standardization(tuple(cfg.mean), tuple(cfg.std), 255.0)
    load = partial(_load, cfg.dataset, str(root), standardization=standardization)
    return PoolDistribution(
        spec=spec,
        load_train=partial(load, train=True),
        load_test=partial(load, train=False),
        fetch=partial(_fetch, cfg.dataset, root),
    )


def _open(dataset: str, root: Path, train: bool, download: bool) -> Any:
    datasets = import_torchvision("torchvision.datasets")
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(datasets, dataset)(str(root), train=train, download=download)


@lru_cache(maxsize=2)
def _load(dataset: str, root: str, train: bool, standardization: Standardization) -> Samples:
    data = _open(dataset, Path(root), train, download=False)
    x = torch.from_numpy(np.asarray(data.data))
    x = x.unsqueeze(1) if x.dim() == 3 else x.permute(0, 3, 1, 2).contiguous()
    return Samples(x, torch.as_tensor(data.targets, dtype=torch.int64), standardization)


def _fetch(dataset: str, root: Path) -> None:
    place = _expected_place(dataset, root)
    try:
        _open(dataset, root, train=True, download=False)
        _open(dataset, root, train=False, download=False)
    except Exception as error:
        if "Dataset not found" in str(error):
            _download(dataset, root, place)
            return
        raise GsnrError(
            f"The files of {dataset} in {place} are damaged ({describe_exception(error)}). Replace "
            "them, or delete that folder to have them downloaded anew."
        ) from None


def _download(dataset: str, root: Path, place: Path) -> None:
    before = _entries(root, place)
    try:
        with _impatient():
            _open(dataset, root, train=True, download=True)
            _open(dataset, root, train=False, download=True)
    except Exception as error:
        _remove_new(root, place, before)
        raise GsnrError(
            f"{dataset} is not in {root} and could not be downloaded ({_one_line(error)}). Put its "
            f"files where torchvision expects them, {place}, or name another folder with "
            f"data.root=FOLDER or the environment variable {DATA_ROOT_VARIABLE}. "
            "data=digits and data=toy need no download; data=npz reads your own arrays."
        ) from None


def _expected_place(dataset: str, root: Path) -> Path:
    dataset_class = getattr(import_torchvision("torchvision.datasets"), dataset)
    return root / getattr(dataset_class, "base_folder", Path(dataset_class.__name__, "raw"))


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
