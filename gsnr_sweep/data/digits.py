"""Handwritten digits without a download: scikit-learn's bundled set, deformed afresh each draw.

A sample is one of the 1,797 bundled 8×8 digits, chosen uniformly, brought to 20×20 by bicubic
interpolation inside a 28×28 frame (MNIST's layout), then rotated, scaled, sheared, shifted and
bent by a smooth random displacement. Training sets and the test set are independent draws of this
one distribution, so eq. (19)'s condition on them holds by construction, for sets of any size.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.samples import Samples, Standardization
from gsnr_sweep.data.seeding import Stream, generators
from gsnr_sweep.data.settings import DigitsConfig
from gsnr_sweep.data.sources import DrawnDistribution

SIDE = 28
_INNER_SIDE = 20
_COARSE_SIDE = 5  # knots a side of the displacement field
_CHUNK = 1000  # images deformed at once


class Digits(DrawnDistribution):
    """Randomly deformed handwritten digits, 1×28×28 pixels, ten classes."""

    def __init__(self, cfg: DigitsConfig) -> None:
        """Keep the sizes of the deformations."""
        self.cfg = cfg
        self.spec = DataSpec(
            name="digits",
            input_shape=(1, SIDE, SIDE),
            n_outputs=10,
            task="classification",
            n_train=None,
            n_test=None,
            source="scikit-learn's bundled handwritten digits, randomly deformed",
        )

    @override
    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        images, labels = base_digits()
        which, shape, bend = generators(seed, stream, index, 3)
        chosen = torch.from_numpy(which.integers(len(images), size=n))
        maps = affine_maps(shape.uniform(-1, 1, size=(n, 6)), self.cfg)
        knots = bend.standard_normal((n, 2, _COARSE_SIDE, _COARSE_SIDE)).astype(np.float32)
        x = torch.empty(n, 1, SIDE, SIDE, dtype=torch.uint8)
        for start in range(0, n, _CHUNK):
            part = slice(start, start + _CHUNK)
            x[part] = deform(images[chosen[part]], maps[part], knots[part], self.cfg.elastic)
        standardization = Standardization(tuple(self.cfg.mean), tuple(self.cfg.std), 255.0)
        return Samples(x, labels[chosen], standardization)


@lru_cache(maxsize=1)
def base_digits() -> tuple[Tensor, Tensor]:
    """Return the bundled digits at 28×28.

    Returns:
        [1797, 1, 28, 28] pixel values in 0..255, and [1797] labels.
    """
    pixels, labels = bundled_digits()
    small = torch.from_numpy(pixels.astype(np.float32)).unsqueeze(1) * (255 / 16)
    inner = F.interpolate(small, size=(_INNER_SIDE, _INNER_SIDE), mode="bicubic")
    margin = (SIDE - _INNER_SIDE) // 2
    images = F.pad(inner.clamp(0, 255), (margin, margin, margin, margin))
    return images, torch.from_numpy(labels.astype(np.int64))


def bundled_digits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scikit-learn's digits as they are.

    Its file of 60 kB is read without it where it lies in its usual place: importing scikit-learn
    takes 0.6 s and 170 MB in every worker.

    Returns:
        [1797, 8, 8] pixel values in 0..16, and [1797] labels.
    """
    path = _bundled_file()
    if path is None or not path.is_file():
        from sklearn.datasets import load_digits

        bundle = load_digits()
        return bundle.images, bundle.target
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]


def _bundled_file() -> Path | None:
    """Return where the digits lie in the installed scikit-learn, which is not imported for it."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def affine_maps(draws: NDArray[np.float64], cfg: DigitsConfig) -> NDArray[np.float32]:
    """Turn uniform draws into affine maps of the sampling grid.

    Args:
        draws: [n, 6] in [−1, 1]: rotation, x scale, y scale, shear, x shift, y shift.
        cfg: The largest values of each.

    Returns:
        [n, 2, 3] maps in the coordinates of `torch.nn.functional.affine_grid`.
    """
    angle = draws[:, 0] * math.radians(cfg.rotation)
    scale_x, scale_y = 1 + cfg.scale * draws[:, 1], 1 + cfg.scale * draws[:, 2]
    shear = cfg.shear * draws[:, 3]
    shift = cfg.shift * 2 / SIDE * draws[:, 4:6]
    cosine, sine = np.cos(angle), np.sin(angle)
    rows = [
        np.stack([scale_x * cosine, shear * scale_x * cosine - scale_y * sine, shift[:, 0]], 1),
        np.stack([scale_x * sine, shear * scale_x * sine + scale_y * cosine, shift[:, 1]], 1),
    ]
    return np.stack(rows, axis=1).astype(np.float32)


def deform(
    images: Tensor, maps: NDArray[np.float32], knots: NDArray[np.float32], elastic: float
) -> Tensor:
    """Resample images along affine maps bent by a smooth displacement.

    Args:
        images: [n, 1, 28, 28] pixel values.
        maps: [n, 2, 3] affine maps.
        knots: [n, 2, 5, 5] standard normal displacements on a coarse grid.
        elastic: Standard deviation of the displacement at a knot, pixels.

    Returns:
        [n, 1, 28, 28] uint8. Rounding to whole pixel values keeps nearly all pixels equal on
        machines whose floating-point interpolation differs in the last bits.
    """
    affine_basis, knot_basis = grid_bases()
    bend = torch.from_numpy(knots).flatten(2) * (elastic * 2 / SIDE)
    grid = torch.from_numpy(maps) @ affine_basis + bend @ knot_basis
    grid = grid.transpose(1, 2).reshape(-1, SIDE, SIDE, 2)
    moved = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    return moved.round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=1)
def grid_bases() -> tuple[Tensor, Tensor]:
    """Return the linear maps from a deformation's parameters to its sampling grid.

    Both the affine grid and the bicubic interpolation of the knots are linear in their parameters,
    so that two matrix products make the grids of a thousand images.

    Returns:
        [3, 784] for the coefficients of x, y and 1, and [25, 784] for the knots.
    """
    identity = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    grid = F.affine_grid(identity, [1, 1, SIDE, SIDE], align_corners=False).reshape(-1, 2)
    affine = torch.stack([grid[:, 0], grid[:, 1], torch.ones(SIDE * SIDE)])
    each_knot = torch.eye(_COARSE_SIDE**2).reshape(-1, 1, _COARSE_SIDE, _COARSE_SIDE)
    knots = F.interpolate(each_knot, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
    return affine, knots.flatten(1)
