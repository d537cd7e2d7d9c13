"""Deformed digits against SciPy's resampling and scikit-learn's own images."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_digits

from gsnr_sweep.data import digits
from gsnr_sweep.data.digits import affine_maps, base_digits, bundled_digits, deform
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.settings import DigitsConfig
from tests.conftest import tiny_config

SIDE = digits.SIDE
GOLDEN_LABELS = [0, 0, 1, 6, 2, 7, 9, 5]
GOLDEN_MEANS = [42.6, 35.5, 32.6, 37.7, 45.8, 39.2, 42.7, 39.8]
STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0, "elastic": 0.0}


def _config(**changes: float) -> DigitsConfig:
    data = tiny_config().data
    assert isinstance(data, DigitsConfig)
    return dataclasses.replace(data, **changes)


def _draw(n: int, m: int = 0, seed: int = 0, **changes: float) -> Samples:
    return distribution(_config(**changes)).train_set(n, m, seed)


# --- the undeformed digits


def test_base_digits_are_scikit_learns_in_mnists_layout() -> None:
    images, labels = base_digits()
    bundle = load_digits()
    assert images.shape == (1797, 1, SIDE, SIDE)
    np.testing.assert_array_equal(labels.numpy(), bundle.target)
    frame = images.clone()
    frame[:, :, 4:24, 4:24] = 0
    assert not frame.any()
    assert float(images.min()) >= 0
    assert float(images.max()) <= 255
    for image, small in zip(images[::199, 0].numpy(), bundle.images[::199], strict=True):
        zoomed = ndimage.zoom(small * (255 / 16), 20 / 8, order=3, grid_mode=True, mode="nearest")
        difference = image[4:24, 4:24] - zoomed.clip(0, 255)
        assert math.sqrt((difference**2).mean()) < 13  # two bicubic kernels, of 255


def test_the_file_holds_what_scikit_learn_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_digits()
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: pytest.fail("not needed"))
    pixels, labels = bundled_digits()
    np.testing.assert_array_equal(pixels, bundle.images)
    np.testing.assert_array_equal(labels, bundle.target)


@pytest.mark.parametrize("path", [None, Path("elsewhere")])
def test_where_the_file_is_not_scikit_learn_is_asked(
    monkeypatch: pytest.MonkeyPatch, path: Path | None
) -> None:
    monkeypatch.setattr(digits, "_bundled_file", lambda: path)
    pixels, labels = bundled_digits()
    np.testing.assert_array_equal(pixels, load_digits().images)
    np.testing.assert_array_equal(labels, load_digits().target)


def test_drawing_does_not_import_scikit_learn() -> None:
    """It would take every worker half a second and 150 MB."""
    script = (
        "import sys; from gsnr_sweep.data.digits import base_digits; base_digits(); "
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_deformation_a_draw_is_a_base_digit_with_its_label() -> None:
    samples = _draw(20, **STILL)
    images, labels = base_digits()
    rounded = images.round().to(torch.uint8).flatten(1)
    distance = (samples.x.flatten(1)[:, None].short() - rounded[None].short()).abs().sum(2)
    nearest = distance.min(1)
    assert bool((nearest.values == 0).all())
    assert torch.equal(labels[nearest.indices], samples.y)


def test_a_deformed_digit_can_still_be_told_by_its_nearest_neighbours() -> None:
    """Labels belong to their images: 1-NN among base digits is right for most of them."""
    samples = _draw(200)
    images, labels = base_digits()
    blurred = [F.avg_pool2d(x.float(), 4).flatten(1) for x in (samples.x, images)]
    nearest = torch.cdist(*blurred).argmin(1)
    assert (labels[nearest] == samples.y).double().mean() > 0.6  # chance: 0.1


# --- the deformation


def _resampled(
    image: NDArray[np.float32],
    draw: NDArray[np.float64],
    bend: NDArray[np.float32],
    cfg: DigitsConfig,
) -> NDArray[np.float64]:
    """One image along R·S·H x + shift + bend, in pixels, with SciPy's bilinear resampling."""
    angle = math.radians(cfg.rotation) * draw[0]
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scaling = np.diag(1 + cfg.scale * draw[1:3])
    shearing = np.array([[1, cfg.shear * draw[3]], [0, 1]])
    centre = (SIDE - 1) / 2
    y, x = np.mgrid[:SIDE, :SIDE] - centre
    at = rotation @ scaling @ shearing @ np.stack([x.ravel(), y.ravel()])
    at += cfg.shift * draw[4:6, None] + bend.reshape(2, -1) * cfg.elastic
    rows, columns = at[1] + centre, at[0] + centre
    moved = ndimage.map_coordinates(image, [rows, columns], order=1, mode="grid-constant", cval=0)
    return moved.reshape(SIDE, SIDE)


def test_deformation_is_the_affine_map_and_the_smooth_displacement() -> None:
    cfg = _config(rotation=20, scale=0.2, shear=0.3, shift=3, elastic=1.5)
    rng = np.random.default_rng(0)
    images, _ = base_digits()
    draws = rng.uniform(-1, 1, size=(12, 6))
    knots = rng.standard_normal((12, 2, 5, 5)).astype(np.float32)
    found = deform(images[:12], affine_maps(draws, cfg), knots, cfg.elastic)
    bends = F.interpolate(torch.from_numpy(knots), (SIDE, SIDE), mode="bicubic", align_corners=True)
    for i in range(12):
        expected = _resampled(images[i, 0].numpy(), draws[i], bends[i].numpy(), cfg)
        difference = np.abs(found[i, 0].numpy().astype(float) - expected)
        assert difference.max() <= 0.6  # rounding to whole pixel values


@pytest.mark.parametrize("name", list(STILL))
def test_each_deformation_alone_moves_images(name: str) -> None:
    still = _draw(5, **STILL)
    moved = _draw(
        5, **{**STILL, name: {"rotation": 15.0, "shift": 2.0, "elastic": 1.0}.get(name, 0.2)}
    )
    assert torch.equal(still.y, moved.y)
    assert all(not torch.equal(a, b) for a, b in zip(still.x, moved.x, strict=True))


# --- the distribution


def test_constants_of_conf_standardize() -> None:
    x, _ = _draw(20_000).batch(0, 20_000, torch.float32)
    assert abs(float(x.mean())) < 0.02
    assert abs(float(x.std()) - 1) < 0.02


def test_labels_are_as_frequent_as_in_the_bundle() -> None:
    labels = _draw(20_000, elastic=0.0).y
    expected = np.bincount(load_digits().target) / 1797
    found = torch.bincount(labels, minlength=10).numpy() / len(labels)
    assert np.abs(found - expected).max() < 4.5 * math.sqrt(0.1 * 0.9 / 20_000)


def test_draws_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _draw(50)
    monkeypatch.setattr(digits, "_CHUNK", 7)
    assert torch.equal(_draw(50).x, expected.x)


def test_draws_are_those_of_every_other_machine() -> None:
    """A change here changes every result on the default data."""
    samples = _draw(8, m=1, seed=3)
    assert samples.y.tolist() == GOLDEN_LABELS
    found = [round(float(image.double().mean()), 1) for image in samples.x]
    assert found == pytest.approx(GOLDEN_MEANS, abs=0.11)


def test_what_is_known_beforehand() -> None:
    spec = distribution(_config()).spec
    assert (spec.input_shape, spec.n_outputs, spec.task) == ((1, 28, 28), 10, "classification")
    assert (spec.n_train, spec.n_test) == (None, None)
    samples = _draw(3)
    assert (samples.x.dtype, samples.y.dtype) == (torch.uint8, torch.int64)
    assert samples.x.shape == (3, *spec.input_shape)
