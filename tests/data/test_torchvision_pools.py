"""torchvision's data sets: read as they are, fetched once, and clear words where they are not."""

import gzip
import hashlib
import http.server
import pickle
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gsnr_sweep.data import torchvision_files, torchvision_pools
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.resizing import resized
from gsnr_sweep.data.settings import TorchvisionConfig
from gsnr_sweep.data.torchvision_files import data_root
from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.errors import GsnrError
from tests.conftest import tiny_config

datasets = import_torchvision("torchvision.datasets")
MNIST_FILES = {  # the published md5 sums of the uncompressed files
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
PUBLISHED = torchvision_files._MNIST
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
N_TRAIN, N_TEST = 12, 7


def _config(name: str, *overrides: str) -> TorchvisionConfig:
    data = tiny_config(f"data={name}", *overrides).data
    assert isinstance(data, TorchvisionConfig)
    return data


# --- where the files are


def test_the_root_comes_from_config_then_environment_then_a_folder_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_root(_config("mnist")) == folder / "data_cache"
    monkeypatch.setenv("GSNR_DATA_ROOT", "/some/where")
    assert data_root(_config("mnist")) == Path("/some/where")
    assert data_root(_config("mnist", "data.root=mine")) == folder / "mine"


def test_nothing_is_read_before_it_is_needed(folder: Path) -> None:
    for name, shape in (("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))):
        spec = distribution(_config(name)).spec
        assert (spec.name, spec.input_shape, spec.n_outputs) == (name, shape, 10)
    assert list(folder.iterdir()) == []


# --- the real MNIST


def test_the_real_mnist_is_byte_exact(real_data: Path) -> None:
    for name, md5 in MNIST_FILES.items():
        content = (real_data / "MNIST" / "raw" / name).read_bytes()
        assert hashlib.md5(content).hexdigest() == md5


def test_the_real_mnist_is_read_whole(real_data: Path) -> None:
    place = distribution(_config("mnist", f"data.root={real_data}"))
    place.prepare()
    train, test = place.train_set(60_000, 0, 0), place.test_set(10_000, 0)
    assert torch.bincount(train.y).tolist() == TRAIN_COUNTS
    assert torch.bincount(test.y).tolist() == TEST_COUNTS
    raw = real_data / "MNIST" / "raw"
    pixels = np.fromfile(raw / "t10k-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 784)
    labels = np.fromfile(raw / "t10k-labels-idx1-ubyte", np.uint8)[8:]
    label_of = dict(zip((image.tobytes() for image in pixels), labels.tolist(), strict=True))
    assert [label_of[image.numpy().tobytes()] for image in test.x] == test.y.tolist()
    x, _ = train.batch(0, 60_000, torch.float32)
    assert abs(float(x.double().mean())) < 1e-3
    assert abs(float(x.double().std()) - 1) < 1e-3


def test_sets_of_the_real_mnist_are_random_draws(real_data: Path) -> None:
    place = distribution(_config("mnist", f"data.root={real_data}"))
    n, sets = 6000, [place.train_set(6000, m, 0) for m in range(3)]
    seen = [{image.numpy().tobytes() for image in samples.x} for samples in sets]
    assert all(len(images) == n for images in seen)
    for i, images in enumerate(seen):
        for other in seen[:i]:  # hypergeometric: n²/N = 600 ± 22 in common
            assert 500 < len(images & other) < 700
        share = torch.bincount(sets[i].y) / n - torch.tensor(TRAIN_COUNTS) / 60_000
        assert float(share.abs().max()) < 0.02
    assert torch.equal(place.train_set(50, 1, 0).x, sets[1].x[:50])


def test_the_real_mnist_at_32_by_32(real_data: Path) -> None:
    root = f"data.root={real_data}"
    plain = distribution(_config("mnist", root)).train_set(200, 0, 0)
    place = distribution(_config("mnist", root, "data.resize=32"))
    assert place.spec.input_shape == (1, 32, 32)
    large, test = place.train_set(200, 0, 0), place.test_set(50, 0)
    assert test.x.shape == (50, 1, 32, 32)
    assert torch.equal(large.x, resized(plain.x, 32))
    assert torch.equal(large.y, plain.y)
    assert large.standardization == plain.standardization
    x, _ = large.batch(0, 200, torch.float64)
    pixels = large.x.double() / 255
    torch.testing.assert_close(x, (pixels - 0.1307) / 0.3081, rtol=1e-6, atol=1e-6)
    assert abs(float(pixels.mean()) - float(plain.x.double().mean()) / 255) < 1e-3


# --- small stand-ins in the real formats


def _idx(array: NDArray[np.uint8]) -> bytes:
    """The IDX format of MNIST's files: magic number, sizes, bytes."""
    sizes = np.array([0x0800 + array.ndim, *array.shape], dtype=">i4")
    return sizes.tobytes() + array.tobytes()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {
        f"{split}-{kind}": _idx(
            rng.integers(0, 256, (n, 28, 28), np.uint8)
            if "images" in kind
            else (np.arange(n) % 10).astype(np.uint8)
        )
        for split, n in (("train", N_TRAIN), ("t10k", N_TEST))
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    }


@pytest.fixture
def stocked(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder in which a small MNIST already lies."""
    raw = folder / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return folder / "root"


def _small(root: Path, *overrides: str) -> TorchvisionConfig:
    sizes = (f"data.train_pool={N_TRAIN}", f"data.test_pool={N_TEST}")
    return _config("mnist", f"data.root={root}", *sizes, *overrides)


def test_a_larger_n_extends_the_smaller_set(stocked: Path) -> None:
    for overrides in ((), ("data.resize=32",)):
        place = distribution(_small(stocked, *overrides))
        for m in range(3):
            whole = place.train_set(N_TRAIN, m, seed=4)
            for n in range(1, N_TRAIN):
                part = place.train_set(n, m, seed=4)
                assert torch.equal(part.x, whole.x[:n])
                assert torch.equal(part.y, whole.y[:n])


def test_images_and_labels_come_as_they_are_in_the_files(
    stocked: Path, files: dict[str, bytes]
) -> None:
    place = distribution(_small(stocked))
    place.prepare()
    samples = place.train_set(N_TRAIN, 0, 0)
    assert (samples.x.shape, samples.x.dtype) == ((N_TRAIN, 1, 28, 28), torch.uint8)
    images = np.frombuffer(files["train-images-idx3-ubyte"][16:], np.uint8).reshape(-1, 784)
    order = [
        next(i for i, image in enumerate(images) if image.tobytes() == x.numpy().tobytes())
        for x in samples.x
    ]
    assert sorted(order) == list(range(N_TRAIN))
    assert samples.y.tolist() == [i % 10 for i in order]


def test_colour_images_are_brought_to_channels_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    base = folder / "root" / datasets.CIFAR10.base_folder
    base.mkdir(parents=True)
    names = [f"data_batch_{i}" for i in range(1, 6)]
    stored = {name: rng.integers(0, 256, (2, 3072), np.uint8) for name in [*names, "test_batch"]}
    for name, data in stored.items():
        (base / name).write_bytes(pickle.dumps({"data": data, "labels": [3, 7]}))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(datasets.CIFAR10, "_load_meta", lambda self: None)
    cfg = _config("cifar10", f"data.root={folder / 'root'}", "data.train_pool=10")
    samples = distribution(cfg).train_set(10, 0, 0)
    expected = np.concatenate([stored[name] for name in names]).reshape(-1, 3, 32, 32)
    assert samples.x.shape == (10, 3, 32, 32)
    assert {x.numpy().tobytes() for x in samples.x} == {x.tobytes() for x in expected}
    assert sorted(samples.y.tolist()) == [3] * 5 + [7] * 5


# --- downloads


@pytest.fixture
def server(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """A mirror of the small MNIST on this machine; yields the paths asked for."""
    packed = {f"/{name}.gz": gzip.compress(content) for name, content in files.items()}
    asked: list[str] = []

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(packed[self.path])

        def log_message(self, *_: object) -> None:
            pass

    resources = [(p[1:], hashlib.md5(content).hexdigest()) for p, content in packed.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{listening.server_port}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
        yield asked
        listening.shutdown()


@pytest.fixture
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])


def _told(cfg: TorchvisionConfig) -> str:
    with pytest.raises(GsnrError) as refusal:
        distribution(cfg).prepare()
    told = str(refusal.value)
    assert "\n" not in told
    return told


def test_data_are_downloaded_once(
    folder: Path, server: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    place = distribution(_small(folder / "new" / "root"))
    place.prepare()
    assert len(set(server)) == 4
    assert len(place.train_set(N_TRAIN, 0, 0)) == N_TRAIN
    server.clear()
    place.prepare()
    assert server == []
    assert capfd.readouterr().out == ""


def test_without_a_network_it_says_what_to_do_and_leaves_nothing(
    folder: Path, no_mirror: None
) -> None:
    told = _told(_config("mnist"))
    root = folder / "data_cache"
    assert told.startswith(f"MNIST is not in {root} and could not be downloaded (")
    assert "Tried http://127.0.0.1:9/" in told
    assert str(root / "MNIST" / "raw") in told
    assert "data.root=FOLDER" in told
    assert "GSNR_DATA_ROOT" in told
    assert "data=digits and data=toy need no download" in told
    assert list(folder.iterdir()) == []


def test_what_was_there_before_a_failed_download_stays(folder: Path, no_mirror: None) -> None:
    raw = folder / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "mine").write_text("precious")
    (folder / "root" / "other").write_text("precious")
    _told(_small(folder / "root"))
    left = {path.name for path in (folder / "root").rglob("*") if path.is_file()}
    assert left == {"mine", "other"}


def test_a_damaged_download_is_taken_away(
    folder: Path, server: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [(name, "0" * 32) for name, _ in datasets.MNIST.resources]
    monkeypatch.setattr(datasets.MNIST, "resources", wrong)
    (folder / "root" / "MNIST" / "raw").mkdir(parents=True)
    assert "could not be downloaded" in _told(_small(folder / "root"))
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_server_that_never_answers_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_pools, "_SECONDS_TO_ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(
            datasets.MNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"]
        )
        assert "timed out" in _told(_config("mnist"))
    assert socket.getdefaulttimeout() is None
    assert list(folder.iterdir()) == []


def test_files_that_are_damaged_are_not_overwritten(stocked: Path, no_mirror: None) -> None:
    path = stocked / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    told = _told(_small(stocked))
    assert told.startswith(f"The files of MNIST in {path.parent} are damaged (")
    assert path.stat().st_size == 1000
    path.write_text("no IDX file")
    assert "are damaged" in _told(_small(stocked))


def _rewrite(root: Path, name: str, array: NDArray[np.uint8]) -> None:
    (root / "MNIST" / "raw" / name).write_bytes(_idx(array))


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("train-labels-idx1-ubyte", np.zeros(5), "there are 12 images and 5 labels"),
        ("t10k-labels-idx1-ubyte", np.zeros(5), "there are 7 images and 5 labels"),
        ("train-images-idx3-ubyte", np.zeros((5, 28, 28)), "there are 5 images and 12 labels"),
        ("train-labels-idx1-ubyte", np.arange(12) + 1, "there are labels from 1 to 12 in "),
        ("train-images-idx3-ubyte", np.zeros((12, 20, 28)), "images are of shape [1, 20, 28] in "),
        ("t10k-images-idx3-ubyte", np.zeros((7, 20, 28)), "Give data.shape=[1,20,28]."),
    ],
)
def test_images_that_are_not_those_asked_for(
    stocked: Path, name: str, array: NDArray[Any], words: str
) -> None:
    _rewrite(stocked, name, array.astype(np.uint8))
    told = _told(_small(stocked))
    assert words in told
    assert f"{stocked / 'MNIST' / 'raw'} ({name.partition('-')[0]}-images-idx3-ubyte, " in told


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.shape=[1,28,27]", "data.shape=[1, 28, 27]: images are of shape [1, 28, 28] in "),
        ("data.n_classes=9", "data.n_classes=9: there are labels from 0 to 9 in "),
        ("data.train_pool=13", "data.train_pool=13: there are 12 images in "),
        ("data.test_pool=8", "Give data.test_pool=7."),
    ],
)
def test_configs_that_do_not_fit_the_images(stocked: Path, override: str, words: str) -> None:
    assert words in _told(_small(stocked, override))


@pytest.mark.parametrize("dataset", ["Nowhere", "ImageFolder", "SVHN", "__name__", "vision", ""])
def test_what_is_no_data_set(folder: Path, dataset: str) -> None:
    cfg = replace(_config("mnist"), dataset=dataset)
    assert f"data.dataset={dataset}: this is no data set of torchvision.datasets" in _told(cfg)
    assert list(folder.iterdir()) == []


def test_published_files_are_known_by_their_checksums(
    stocked: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "t10k-labels-idx1-ubyte"
    content = files[name]
    published = {name: (hashlib.md5(content).hexdigest(), len(content))}
    monkeypatch.setattr(torchvision_files, "_MNIST", published)
    distribution(_small(stocked)).prepare()
    _rewrite(stocked, name, np.frombuffer(content[8:], np.uint8)[::-1])
    assert f"{name}: it is as large as MNIST's, but its MD5 sum is" in _told(_small(stocked))
    assert {name: md5 for name, (md5, _) in PUBLISHED.items()} == MNIST_FILES


def test_files_that_may_not_be_read(stocked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "raw/train")

    monkeypatch.setattr(datasets.MNIST, "_load_data", refuse)
    told = _told(_small(stocked))
    assert told.startswith("The files of MNIST cannot be read (raw/train: Permission denied).")


def test_a_root_that_is_no_folder(folder: Path, no_mirror: None) -> None:
    (folder / "root").write_text("a file")
    assert "could not be downloaded" in _told(_small(folder / "root"))
    assert (folder / "root").read_text() == "a file"


def test_another_data_set_says_its_own_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    told = _told(_config("cifar10"))
    assert str(folder / "data_cache" / "cifar-10-batches-py") in told
    assert list(folder.iterdir()) == []


def test_a_damaged_file_is_named_where_no_download_can_replace_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision says of a wrong checksum what it says of no file: "not found or corrupted"."""
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    place = folder / "data_cache" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    for name in ("data_batch_2", "test_batch"):
        (place / name).write_bytes(b"half of it")
    told = _told(_config("cifar10"))
    root = folder / "data_cache"
    assert told.startswith(f"CIFAR10 in {root} is damaged (data_batch_2, test_batch: not the ")
    assert "could not be downloaded" in told
    assert (place / "data_batch_2").read_bytes() == b"half of it"
