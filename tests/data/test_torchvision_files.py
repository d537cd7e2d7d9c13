"""Whether files are the published ones, told by their content alone."""

import gzip
import hashlib
from pathlib import Path

import pytest

from gsnr_sweep.data import torchvision_files
from gsnr_sweep.data.registry import files_of
from gsnr_sweep.data.settings import TorchvisionConfig
from gsnr_sweep.data.torchvision_files import (
    PoolFile,
    expected_place,
    pool_files,
    present_files,
    unpublished_content,
)
from gsnr_sweep.data.torchvision_import import import_torchvision
from tests.conftest import tiny_config

datasets = import_torchvision("torchvision.datasets")
NAMES = [f"{split}-{kind}" for split in ("train", "t10k") for kind in ("images", "labels")]


def _config(name: str, root: Path, *overrides: str) -> TorchvisionConfig:
    data = tiny_config(f"data={name}", f"data.root={root}", *overrides).data
    assert isinstance(data, TorchvisionConfig)
    return data


def test_what_is_known_of_mnist_agrees_with_torchvision(tmp_path: Path) -> None:
    """It is written down here, so that a plan needs no torchvision."""
    stems = {Path(name).stem for name, _ in datasets.MNIST.resources}
    assert {file.path.name for file in pool_files("MNIST", tmp_path)} == stems
    own = datasets.MNIST.__new__(datasets.MNIST)
    own.root = str(tmp_path)
    assert expected_place("MNIST", tmp_path) == Path(own.raw_folder)
    assert expected_place("FashionMNIST", tmp_path) == tmp_path / "FashionMNIST" / "raw"


def test_the_real_mnist_is_the_published_one(real_data: Path, tmp_path: Path) -> None:
    cfg = _config("mnist", real_data)
    assert unpublished_content(cfg) == ""
    assert unpublished_content(_config("mnist", tmp_path)) == ""  # it would be downloaded
    assert [path.name for path in files_of(cfg)] == list(torchvision_files._MNIST)
    for file in present_files("MNIST", real_data):
        assert file.published()[1] == file.path.stat().st_size


def test_one_other_byte_is_another_content(real_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    found = set()
    for path in files_of(_config("mnist", real_data)):
        if path.stat().st_size < 100_000:  # the labels
            (raw / path.name).write_bytes(path.read_bytes())
            assert unpublished_content(_config("mnist", tmp_path)) == ""
    for index, name in enumerate(sorted(path.name for path in raw.iterdir())):
        content = bytearray((raw / name).read_bytes())
        content[-1] ^= 1 + index
        (raw / name).write_bytes(content)
        found.add(unpublished_content(_config("mnist", tmp_path)))
    assert len(found) == 2
    assert all(len(digest) == 64 for digest in found)


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Fashion-MNIST as a download leaves it, with the packed files."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for name in NAMES:
        packed = gzip.compress(name.encode())
        (raw / name).write_bytes(name.encode())
        (raw / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    return tmp_path


def test_a_download_is_the_published_one(fashion: Path) -> None:
    cfg = _config("fashion_mnist", fashion)
    assert unpublished_content(cfg) == ""
    assert [path.name for path in files_of(cfg)] == NAMES
    known = {file.path.name: file.published() for file in pool_files("FashionMNIST", fashion)}
    assert known == {n: (hashlib.md5(n.encode()).hexdigest(), len(n)) for n in NAMES}


@pytest.mark.parametrize("change", ["other", "unpacked only", "bad archive", "cut archive"])
def test_what_is_not_known_to_be_published_counts_by_its_content(
    fashion: Path, change: str
) -> None:
    raw = fashion / "FashionMNIST" / "raw"
    archive = raw / "train-labels.gz"
    if change == "other":
        (raw / "train-labels").write_bytes(b"train-labelz")
    elif change == "unpacked only":
        archive.unlink()
    else:
        archive.write_bytes(
            archive.read_bytes()[:-5] + b"?" * (5 if change == "bad archive" else 0)
        )
    cfg = _config("fashion_mnist", fashion)
    first = unpublished_content(cfg)
    assert len(first) == 64
    (raw / "train-labels").write_bytes(b"more and other labels")
    assert unpublished_content(cfg) != first
    (raw / "mine").write_text("precious")
    assert "mine" not in {path.name for path in files_of(cfg)}


def test_files_that_torchvision_names_unpacked(tmp_path: Path) -> None:
    place = tmp_path / "cifar-10-batches-py"
    assert expected_place("CIFAR10", tmp_path) == place
    *train, test = pool_files("CIFAR10", tmp_path)
    assert [file.path for file in train if file.train] == [
        place / f"data_batch_{i}" for i in range(1, 6)
    ]
    md5 = dict(datasets.CIFAR10.test_list)["test_batch"]
    assert test == PoolFile(place / "test_batch", False, md5)
    assert test.published() == (md5, None)


def test_files_that_are_read_packed(tmp_path: Path) -> None:
    """They lie in the root itself; torchvision looks at their sums only when it fetches them."""
    files = pool_files("USPS", tmp_path)
    assert [(file.path, file.train) for file in files] == [
        (tmp_path / "usps.bz2", True),
        (tmp_path / "usps.t.bz2", False),
    ]
    files[0].path.write_bytes(b"other")
    assert len(unpublished_content(_config("mnist", tmp_path, "data.dataset=USPS"))) == 64


@pytest.mark.parametrize("dataset", ["Nowhere", "Kitti", "PhotoTour"])
def test_what_is_no_such_data_set_has_no_content(tmp_path: Path, dataset: str) -> None:
    cfg = _config("mnist", tmp_path, f"data.dataset={dataset}")
    assert unpublished_content(cfg) == ""
