"""A user's own arrays: layouts, scaling, standardization, draws, and what does not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gsnr_sweep.data.arrays import first_not_finite
from gsnr_sweep.data.base import Distribution
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Standardization
from gsnr_sweep.data.settings import NpzConfig
from gsnr_sweep.errors import GsnrError

N_TRAIN, N_TEST = 40, 25
Arrays = dict[str, NDArray[Any]]


def _labels(n: int, classes: int = 3) -> NDArray[np.int64]:
    return np.arange(n) % classes


def _arrays(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)

    def x(n: int) -> NDArray[Any]:
        if np.dtype(dtype) == np.uint8:
            return rng.integers(0, 256, size=(n, *shape), dtype=np.uint8)
        return (rng.normal(size=(n, *shape)) * 3 + 5).astype(dtype)

    return {
        "x_train": x(N_TRAIN),
        "y_train": _labels(N_TRAIN),
        "x_test": x(N_TEST),
        "y_test": _labels(N_TEST),
    }


def _open(
    folder: Path,
    arrays: Arrays,
    layout: str = "auto",
    standardize: bool = False,
    task: str = "auto",
) -> Distribution:
    path = folder / "mine.npz"
    np.savez_compressed(path, **arrays)
    return distribution(NpzConfig("npz", True, "uniform", str(path), layout, standardize, task))


def _whole_pool(place: Distribution) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """All training samples as the network sees them, in the order of their labels' pairs."""
    samples = place.train_set(N_TRAIN, 0, 0)
    x, y = samples.batch(0, N_TRAIN, torch.float64)
    return x.numpy(), y.numpy()


def _sorted(x: NDArray[Any]) -> NDArray[Any]:
    flat = x.reshape(len(x), -1)
    return flat[np.lexsort(flat.T)]


# --- layouts


@pytest.mark.parametrize(
    ("shape", "layout", "seen"),
    [
        ((7,), "auto", (7,)),
        ((6, 5), "auto", (1, 6, 5)),
        ((8, 8, 3), "auto", (3, 8, 8)),
        ((3, 8, 8), "auto", (3, 8, 8)),
        ((8, 8, 1), "auto", (1, 8, 8)),
        ((1, 8, 8), "auto", (1, 8, 8)),
        ((8, 8, 6), "hwc", (6, 8, 8)),
        ((8, 8, 6), "chw", (8, 8, 6)),
        ((3, 4, 3), "hwc", (3, 3, 4)),
        ((3, 4, 3), "chw", (3, 4, 3)),
    ],
)
def test_layouts(
    tmp_path: Path, shape: tuple[int, ...], layout: str, seen: tuple[int, ...]
) -> None:
    arrays = _arrays(*shape)
    place = _open(tmp_path, arrays, layout)
    assert place.spec.input_shape == seen
    assert (place.spec.n_train, place.spec.n_test) == (N_TRAIN, N_TEST)
    x, y = _whole_pool(place)
    assert x.shape == (N_TRAIN, *seen)
    moved = seen != shape and len(shape) == 3
    expected = arrays["x_train"].transpose(0, 3, 1, 2) if moved else arrays["x_train"]
    np.testing.assert_allclose(_sorted(x), _sorted(expected), rtol=1e-6)
    assert np.bincount(y).tolist() == np.bincount(arrays["y_train"]).tolist()


def test_inputs_and_labels_stay_together(tmp_path: Path) -> None:
    arrays = _arrays(4)
    arrays["x_train"][:, 0] = arrays["y_train"]
    arrays["x_test"][:, 0] = arrays["y_test"]
    place = _open(tmp_path, arrays)
    for samples in (place.train_set(20, 3, 1), place.test_set(20, 1)):
        np.testing.assert_array_equal(samples.x[:, 0].numpy(), samples.y.numpy())


# --- scaling


def test_pixels_are_divided_by_255(tmp_path: Path) -> None:
    arrays = _arrays(6, 5, dtype=np.uint8)
    x, _ = _whole_pool(_open(tmp_path, arrays))
    np.testing.assert_allclose(_sorted(x), _sorted(arrays["x_train"] / 255.0), atol=1e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16, np.int32])
def test_standardization_is_that_of_the_training_pool(tmp_path: Path, dtype: Any) -> None:
    arrays = _arrays(8, 8, 3, dtype=dtype)
    place = _open(tmp_path, arrays, standardize=True)
    samples = place.train_set(N_TRAIN, 0, 0)
    x = samples.batch(0, N_TRAIN, torch.float64)[0].numpy()
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 2, 3)), 1, atol=1e-5)
    mean, std = (f(arrays["x_train"].astype(float), axis=(0, 1, 2)) for f in (np.mean, np.std))
    test = place.test_set(N_TEST, 0).batch(0, N_TEST, torch.float64)[0].numpy()
    expected = ((arrays["x_test"] - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(_sorted(test), _sorted(expected), atol=1e-4)


def test_a_feature_that_never_varies_is_only_shifted(tmp_path: Path) -> None:
    arrays = _arrays(3)
    arrays["x_train"][:, 1] = 7
    x, _ = _whole_pool(_open(tmp_path, arrays, standardize=True))
    np.testing.assert_allclose(x[:, 1], 0, atol=1e-5)
    assert np.isfinite(x).all()


@pytest.mark.parametrize("layout", ["auto", "hwc"])
@pytest.mark.parametrize("offset", [0, 1e7, -1e7, 1e12])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_a_large_offset_takes_no_digits(
    tmp_path: Path, offset: float, dtype: Any, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsnr_sweep.data.arrays._CHUNK", 100)  # several parts
    rng = np.random.default_rng(0)
    varying = np.round(rng.normal(size=(N_TRAIN, 3, 4, 2)) * 4096) / (
        1 if dtype is np.int64 else 4096
    )
    arrays = _arrays(3, 4, 2)
    arrays |= {
        "x_train": (varying + offset).astype(dtype),
        "x_test": varying[:N_TEST].astype(dtype),
    }
    samples = _open(tmp_path, arrays, layout, standardize=True).train_set(N_TRAIN, 0, 0)
    axes = (0, 2, 3) if layout == "auto" else (0, 1, 2)
    expected = (varying - varying.mean(axes, keepdims=True)) / varying.std(axes, keepdims=True)
    expected = expected if layout == "auto" else expected.transpose(0, 3, 1, 2)
    x = samples.batch(0, N_TRAIN, torch.float32)[0].numpy()
    rounded = 0 if abs(offset) < 1e12 else 1e-3  # the mean itself, which moves all values alike
    np.testing.assert_allclose(_sorted(x), _sorted(expected), rtol=2e-7, atol=rounded or 2e-7)
    assert len(np.unique(x)) > 0.9 * len(np.unique(expected))
    x = samples.batch(0, N_TRAIN, torch.float64)[0].numpy()
    np.testing.assert_allclose(_sorted(x), _sorted(expected), atol=rounded or 1e-8)


@pytest.mark.parametrize("value", [0.1, 1e7 + 0.3, -7, 1e-300])
def test_what_does_not_vary_becomes_zero_whatever_its_mean_rounds_to(
    tmp_path: Path, value: float
) -> None:
    arrays = {k: v.astype(np.float64) for k, v in _arrays(2).items()}
    arrays["x_train"][:, 1] = value
    samples = _open(tmp_path, arrays, standardize=True).train_set(N_TRAIN, 0, 0)
    assert (samples.x[:, 1] == 0).all()


@pytest.mark.parametrize("shape", [(5,), (6, 5), (8, 8, 3)])
def test_pixels_are_standardized_as_ever(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Bit for bit by the formula of all earlier results."""
    arrays = _arrays(*shape, dtype=np.uint8)
    samples = _open(tmp_path, arrays, standardize=True).train_set(N_TRAIN, 0, 0)
    assert samples.x.dtype == torch.uint8
    moved = arrays["x_train"]
    moved = moved[:, None] if len(shape) == 2 else moved
    moved = np.ascontiguousarray(moved.transpose(0, 3, 1, 2)) if len(shape) == 3 else moved
    axes = (0, *range(2, moved.ndim))
    mean, std = (f(axis=axes, dtype=np.float64) / 255.0 for f in (moved.mean, moved.std))
    assert samples.standardization == Standardization(tuple(mean), tuple(std), 255.0)


def test_double_precision_is_kept(tmp_path: Path) -> None:
    arrays = _arrays(2, dtype=np.float64)
    arrays["x_train"][:, 0] = 1 + np.arange(N_TRAIN) * 1e-12
    x, _ = _whole_pool(_open(tmp_path, arrays))
    assert len(np.unique(x[:, 0])) == N_TRAIN


# --- targets


def test_classes_are_counted_over_both_splits(tmp_path: Path) -> None:
    arrays = _arrays(4)
    arrays["y_test"][0] = 8
    place = _open(tmp_path, arrays)
    assert (place.spec.n_outputs, place.spec.task) == (4, "classification")
    assert place.spec.classes == (0, 1, 2, 8)
    assert place.test_set(N_TEST, 0).y.bincount().tolist() == [8, 8, 8, 1]


@pytest.mark.parametrize("dtype", [float, int])
def test_one_hot_rows_are_the_classes_that_data_task_makes_them(tmp_path: Path, dtype: Any) -> None:
    arrays = _arrays(4)
    same = _open(tmp_path, arrays).train_set(20, 0, 0)
    one_hot = {k: np.eye(3)[v].astype(dtype) if k[0] == "y" else v for k, v in arrays.items()}
    place = _open(tmp_path, one_hot, task="classification")
    drawn = place.train_set(20, 0, 0)
    assert place.spec.n_outputs == 3
    assert torch.equal(drawn.y, same.y)
    assert torch.equal(drawn.x, same.x)
    if dtype is int:
        assert "data.task=classification takes one-hot rows" in _told(tmp_path, one_hot)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_labels_of_any_integer_type_and_as_a_column(tmp_path: Path, dtype: Any) -> None:
    arrays = _arrays(4)
    arrays["y_train"] = (arrays["y_train"] % 2).astype(dtype)[:, None]
    arrays["y_test"] = (arrays["y_test"] % 2).astype(dtype)
    place = _open(tmp_path, arrays)
    assert place.spec.n_outputs == 2
    assert place.train_set(5, 0, 0).y.shape == (5,)
    assert place.train_set(5, 0, 0).y.dtype == torch.int64


@pytest.mark.parametrize(("shape", "outputs"), [((), 1), ((1,), 1), ((4,), 4)])
def test_floats_are_targets_of_a_regression(
    tmp_path: Path, shape: tuple[int, ...], outputs: int
) -> None:
    arrays = _arrays(4)
    rng = np.random.default_rng(1)
    arrays["y_train"] = rng.normal(size=(N_TRAIN, *shape))
    arrays["y_test"] = rng.normal(size=(N_TEST, *shape))
    place = _open(tmp_path, arrays)
    assert (place.spec.n_outputs, place.spec.task) == (outputs, "regression")
    y = place.train_set(N_TRAIN, 0, 0).y.numpy()
    assert y.shape == (N_TRAIN, outputs)
    np.testing.assert_array_equal(_sorted(y), _sorted(arrays["y_train"]))


# --- draws


def test_a_set_is_drawn_without_replacement_and_sets_differ(tmp_path: Path) -> None:
    arrays = _arrays(2)
    arrays["x_train"][:, 0] = np.arange(N_TRAIN)
    arrays["x_test"][:, 0] = -1 - np.arange(N_TEST)
    place = _open(tmp_path, arrays)
    drawn = [place.train_set(20, m, 0).x[:, 0].int().tolist() for m in range(3)]
    assert all(len(set(ids)) == 20 and min(ids) >= 0 for ids in drawn)
    assert len({tuple(ids) for ids in drawn}) == 3
    assert place.train_set(30, 1, 0).x[:20, 0].int().tolist() == drawn[1]
    assert set(place.test_set(N_TEST, 0).x[:, 0].int().tolist()) == set(range(-N_TEST, 0))
    assert place.train_set(20, 0, 1).x[:, 0].int().tolist() != drawn[0]


# --- what does not fit


def _told(folder: Path, arrays: Arrays) -> str:
    with pytest.raises(GsnrError) as refusal:
        _open(folder, arrays)
    told = str(refusal.value)
    assert told.startswith(f"data.path={folder / 'mine.npz'}: ")
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"y_train": None, "x_test": None},
            "y_train, x_test are missing; found are x_train, y_test",
        ),
        ({"y_train": np.zeros(39, int)}, "x_train has 40 samples and y_train has 39"),
        ({"x_test": np.zeros((0, 4)), "y_test": np.zeros(0, int)}, "x_test has 0 samples"),
        ({"x_test": np.zeros((N_TEST, 5))}, "(40, 4) and x_test (25, 5)"),
        ({"x_train": np.zeros(N_TRAIN), "x_test": np.zeros(N_TEST)}, "(40,) and x_test (25,)"),
        ({"x_test": np.zeros((N_TEST, 4), np.uint8)}, "x_test is uint8"),
        ({"x_train": np.array(["a"] * N_TRAIN)}, "x_train has type <U1"),
        ({"x_train": np.array([None] * N_TRAIN)}, "x_train has type object"),
        ({"y_test": np.array(3)}, "y_test is a single number"),
        ({"y_test": np.zeros(N_TEST)}, "both be integers (classes) or both be floats"),
        ({"y_train": np.zeros((N_TRAIN, 2), int)}, "y_train (40, 2) is not one label a sample"),
        ({"y_test": np.zeros((N_TEST, 2), int)}, "y_test (25, 2) must have equally many targets"),
        ({"y_train": np.full(N_TRAIN, -1)}, "label -1 found; classes are numbered from 0"),
        (
            {"y_train": np.zeros((N_TRAIN, 2)), "y_test": np.zeros((N_TEST, 3))},
            "y_train (40, 2) and y_test (25, 3)",
        ),
    ],
)
def test_arrays_that_do_not_fit_together(
    tmp_path: Path, changes: dict[str, NDArray[Any] | None], words: str
) -> None:
    arrays = {k: v for k, v in {**_arrays(4), **changes}.items() if v is not None}
    assert words in _told(tmp_path, arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "index"),
    [("x_train", (3, 1)), ("x_test", (24, 0)), ("y_train", (39, 0)), ("y_test", (0, 0))],
)
def test_what_is_not_finite_is_named_before_launch(
    tmp_path: Path, name: str, index: tuple[int, ...], dtype: Any, value: float
) -> None:
    arrays = {k: v.reshape(len(v), -1).astype(dtype) for k, v in _arrays(2).items()}
    place = _open(tmp_path, arrays)
    place.prepare()
    arrays[name][index] = value
    arrays[name][-1, -1] = value
    with pytest.raises(GsnrError) as refusal:
        _open(tmp_path, arrays).prepare()
    words = f"mine.npz: {name}[{index[0]}, {index[1]}] is {value}; only finite numbers"
    assert words in str(refusal.value)


def test_the_first_value_that_is_not_finite_is_found_in_any_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gsnr_sweep.data.arrays._CHUNK", 4)
    values = np.zeros((3, 5))
    assert first_not_finite(values) is None
    for place in range(15):
        values = np.zeros((3, 5))
        values.reshape(-1)[place:] = np.inf
        assert first_not_finite(values) == (divmod(place, 5), np.inf)
    assert first_not_finite(np.array([0, 1e39])) == ((1,), 1e39)  # infinite in float32
    assert first_not_finite(np.array([3.4e38, -3.4e38, 1e-300])) is None
    assert first_not_finite(np.array(np.inf)) == ((), np.inf)
    assert first_not_finite(np.zeros((0, 3))) is None
    assert first_not_finite(np.zeros(3, int)) is None


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    cfg = NpzConfig("npz", True, "uniform", path=str(path), layout="auto", standardize=True)
    with pytest.raises(GsnrError, match="there is no such file"):
        distribution(cfg)
    path.write_text("not an archive")
    with pytest.raises(GsnrError, match=r"not an \.npz file"):
        distribution(cfg)
    np.savez(path, x_train=1)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(GsnrError, match=r"not an \.npz file"):
        distribution(cfg)


def test_a_subset_of_the_real_cifar_10(real_data: Path) -> None:
    path = real_data / "cifar10_subset.npz"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    cfg = NpzConfig("npz", True, "uniform", path=str(path), layout="auto", standardize=True)
    place = distribution(cfg)
    assert place.spec.input_shape == (3, 32, 32)
    assert (place.spec.n_train, place.spec.n_test, place.spec.n_outputs) == (20_000, 10_000, 10)
    rule = place.train_set(2, 0, 0).standardization
    np.testing.assert_allclose(rule.mean, [0.4914, 0.4822, 0.4465], atol=0.005)
    np.testing.assert_allclose(rule.std, [0.2470, 0.2435, 0.2616], atol=0.005)
    test = place.test_set(10_000, 0)
    assert torch.bincount(test.y).tolist() == [1000] * 10
    with np.load(path) as arrays:
        raw = arrays["x_test"]
    images = {image.transpose(2, 0, 1).tobytes() for image in raw}
    assert all(image.numpy().tobytes() in images for image in test.x[:50])
