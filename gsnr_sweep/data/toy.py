"""The toy regression of Liu et al. 2020, A.3 and 3.2: y = x0·x1 + ε."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import Stream, generators
from gsnr_sweep.data.settings import ToyConfig
from gsnr_sweep.data.sources import DrawnDistribution


class Toy(DrawnDistribution):
    """x0, x1 ~ U[−1, 1] and ε ~ U[−η, η], all independent."""

    def __init__(self, cfg: ToyConfig) -> None:
        """Keep the noise's half-width η."""
        self.eta = cfg.eta
        self.spec = DataSpec(
            name="toy",
            input_shape=(2,),
            n_outputs=1,
            task="regression",
            n_train=None,
            n_test=None,
            source=f"y = x0*x1 + U[-{cfg.eta:g}, {cfg.eta:g}], generated",
        )

    @override
    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        inputs, noise = generators(seed, stream, index, 2)
        x = inputs.uniform(-1, 1, size=(n, 2))
        y = x[:, :1] * x[:, 1:] + self.eta * noise.uniform(-1, 1, size=(n, 1))
        return Samples(torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(y)))
