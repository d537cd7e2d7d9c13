"""Resized images against dense matrices of weights, and against Pillow's own way."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gsnr_sweep.data import resizing
from gsnr_sweep.data.resizing import resized

RNG = np.random.default_rng(0)
SHAPES = [(1, 28, 28), (3, 32, 32), (2, 9, 17)]


def _weights(old: int, new: int) -> NDArray[np.float64]:
    """Row i: a triangle around pixel i's middle, as wide as a pixel of the coarser grid."""
    matrix = np.zeros((new, old))
    step = old / new
    for i in range(new):
        for j in range(old):
            matrix[i, j] = max(0.0, 1 - abs((j + 0.5) - (i + 0.5) * step) / max(1.0, step))
    return matrix / matrix.sum(1, keepdims=True)


def _images(n: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, size=(n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [32, 40, 14, 5, 1])
def test_pixels_are_those_of_the_matrix_of_weights(shape: tuple[int, ...], side: int) -> None:
    images = _images(7, shape)
    rows, columns = _weights(shape[1], side), _weights(shape[2], side)
    exact = np.einsum("ih,nchw,jw->ncij", rows, images.astype(np.float64), columns)
    found = resized(torch.from_numpy(images), side)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), np.floor(exact + 0.5 + 1e-7))


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("side", [32, 20])
def test_pillow_differs_by_its_own_rounding_alone(shape: tuple[int, ...], side: int) -> None:
    """Pillow rounds to bytes after each axis: one level at most, mostly none."""
    images = _images(20, shape)
    found = resized(torch.from_numpy(images), side).numpy().astype(int)
    theirs = [
        np.asarray(Image.fromarray(channel).resize((side, side), Image.Resampling.BILINEAR))
        for image in images
        for channel in image
    ]
    apart = np.abs(found.reshape(-1, side, side) - np.stack(theirs).astype(int))
    assert apart.max() <= 1
    assert apart.mean() < 0.3


def test_halves_are_rounded_up() -> None:
    image = torch.tensor([[[[0, 1], [0, 1]]]], dtype=torch.uint8)
    assert resized(image, 1).item() == 1


def test_images_of_that_size_are_left_alone() -> None:
    images = torch.from_numpy(_images(3, (1, 32, 32)))
    assert resized(images, 32) is images


def test_parts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.from_numpy(_images(11, (3, 12, 10)))
    whole = resized(images, 16)
    monkeypatch.setattr(resizing, "_PIXELS", 3 * 16 * 16 * 2)
    assert torch.equal(resized(images, 16), whole)
    assert resized(images[:0], 16).shape == (0, 3, 16, 16)
