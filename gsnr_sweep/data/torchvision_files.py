"""Where torchvision keeps the files of a data set, and whether they are the published ones."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsnr_sweep.data.files import file_digest, own_path, unpacked_digest
from gsnr_sweep.data.settings import TorchvisionConfig
from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.errors import GsnrError

DATA_ROOT_VARIABLE = "GSNR_DATA_ROOT"
DEFAULT_ROOT = "data_cache"

# MD5 sums and bytes of MNIST's four files, unpacked; torchvision knows sums of the packed files.
_MNIST = {
    "train-images-idx3-ubyte": ("6bbc9ace898e44ae57da46a324031adb", 47_040_016),
    "train-labels-idx1-ubyte": ("a25bea736e30d166cdddb491f175f624", 60_008),
    "t10k-images-idx3-ubyte": ("2646ac647ad5339dbf082846283269ea", 7_840_016),
    "t10k-labels-idx1-ubyte": ("27ae3e4e09519cfbb04c329615203637", 10_008),
}


@dataclass(frozen=True)
class PoolFile:
    """A file that a data set is read from.

    Attributes:
        path: Where it is, or would be.
        train: Whether it belongs to the training pool.
        md5: MD5 sum of the published file; empty if it is not known.
        packed_md5: MD5 sum of the published file packed by gzip, likewise.
        size: Bytes of the published file; None if they are not known.
    """

    path: Path
    train: bool
    md5: str = ""
    packed_md5: str = ""
    size: int | None = None

    def is_published(self) -> bool | None:
        """Compare with the published file, which must be there; None if its sum is not known."""
        md5 = self.published()[0]
        return file_digest(self.path, "md5") == md5 if md5 else None

    def published(self) -> tuple[str, int | None]:
        """Return MD5 sum and bytes of the published file, as far as they are known.

        Where only the sum of the packed file is known, that file is asked, which a download leaves
        beside.
        """
        archive = self.path.with_name(f"{self.path.name}.gz")
        if not self.packed_md5 or file_digest(archive, "md5") != self.packed_md5:
            return self.md5, self.size
        try:
            return unpacked_digest(archive, "md5")
        except (OSError, EOFError, zlib.error):
            return self.md5, self.size


def data_root(cfg: TorchvisionConfig) -> Path:
    """Return the folder of the files: ``data.root``, else GSNR_DATA_ROOT, else data_cache."""
    return own_path(cfg.root or os.environ.get(DATA_ROOT_VARIABLE) or DEFAULT_ROOT)


def dataset_class(dataset: str) -> Any:
    """Find a data set of torchvision's that is opened as these are.

    Raises:
        GsnrError: There is no such data set, or it takes other arguments.
    """
    found = getattr(import_torchvision("torchvision.datasets"), dataset, None)
    accepted = inspect.signature(found).parameters if isinstance(found, type) else {}
    if not {"root", "train", "download"} <= set(accepted):
        raise GsnrError(
            f"data.dataset={dataset}: this is no data set of torchvision.datasets that is opened "
            "by root, train and download, as MNIST, FashionMNIST, KMNIST, USPS, CIFAR10 and "
            "CIFAR100 are. Others can be given as arrays (data=npz) or by a function of your own "
            "(data=custom)."
        )
    return found


def expected_place(dataset: str, root: Path) -> Path:
    """Return the folder in which torchvision expects the files of a data set."""
    if dataset == "MNIST":  # known without the two seconds that torchvision's import takes
        return root / "MNIST" / "raw"
    found = dataset_class(dataset)
    if hasattr(found, "split_list"):
        return root
    return root / getattr(found, "base_folder", Path(found.__name__, "raw"))


def pool_files(dataset: str, root: Path) -> list[PoolFile]:
    """List the files of a data set, as far as torchvision names them.

    Raises:
        GsnrError: There is no such data set.
    """
    place = expected_place(dataset, root)
    if dataset == "MNIST":
        return [
            PoolFile(place / name, name.startswith("train"), md5, size=size)
            for name, (md5, size) in _MNIST.items()
        ]
    found = dataset_class(dataset)
    if hasattr(found, "split_list"):
        splits = found.split_list.items()
        return [PoolFile(place / name, split == "train", md5) for split, (_, name, md5) in splits]
    lists = {True: getattr(found, "train_list", []), False: getattr(found, "test_list", [])}
    listed = [PoolFile(place / n, train, md5) for train, pool in lists.items() for n, md5 in pool]
    packed = [named for named in getattr(found, "resources", []) if isinstance(named, tuple)]
    return listed or [
        PoolFile(place / Path(name).stem, name.startswith("train"), packed_md5=md5)
        for name, md5 in packed
    ]


def present_files(dataset: str, root: Path) -> list[PoolFile]:
    """List the files of a data set that are there.

    Raises:
        GsnrError: There is no such data set.
    """
    return [file for file in pool_files(dataset, root) if file.path.is_file()]


def unpublished_content(cfg: TorchvisionConfig) -> str:
    """Identify the files of a data set that are not known to be the published ones.

    Returns:
        64 hexadecimal digits; empty if all files there are the published ones, or if there are
            none, so that those would be downloaded.
    """
    try:
        files = present_files(cfg.dataset, data_root(cfg))
    except GsnrError:  # said where the data are used
        return ""
    own = {file.path.name: file_digest(file.path) for file in files if not file.is_published()}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest() if own else ""
