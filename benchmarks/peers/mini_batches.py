"""Training on mini-batches, the way that people write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from benchmarks.peers.networks import plain_network
from benchmarks.peers.training import flat
from benchmarks.peers.tuning import Setting, best_setting, settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workloads import Workload

BATCH, LR, MOMENTUM = 64, 0.01, 0.9
STEPS = 2
"""After which weights are compared: later on, rounding alone drives deep networks apart."""


class MiniBatchLoop:
    """A loop over replicas and shuffled mini-batches, each replica with torch.optim.SGD.

    The data are standardized tensors in memory: a DataLoader would cost more than the training.
    """

    def __init__(
        self, workload: Workload, epochs: int, fused: bool | None, dtype: str = "float32"
    ) -> None:
        """Make M copies of the network.

        Args:
            workload: What is trained.
            epochs: Of a turn.
            fused: As SGD takes it.
            dtype: Of everything.
        """
        self.workload, self.epochs, self._epoch = workload, epochs, 0
        self.data = workload.tensors(dtype)
        self.models = [plain_network(workload, dtype) for _ in self.data]
        self.optimizers = [
            torch.optim.SGD(model.parameters(), LR, MOMENTUM, fused=fused) for model in self.models
        ]
        self.setting = Setting(BATCH, 1)
        self._fused, self._dtype = fused, dtype

    def tune(self) -> str:
        """Choose the number of threads by an epoch of one replica; one replica has one core."""
        if len(self.models) == 1:
            return "1 thread"
        candidates = settings([BATCH], self.workload.n)
        self.setting = best_setting(candidates, lambda _: self._train(0))
        return f"{self.setting.threads} thread{'s' if self.setting.threads > 1 else ''}"

    def _train(self, m: int, steps: int | None = None) -> None:
        from gsnr_sweep.data.seeding import Stream, epoch_generator

        (x, y), model, optimizer = self.data[m], self.models[m], self.optimizers[m]
        order = epoch_generator(0, Stream.BATCH_ORDER, m, self._epoch).permutation(len(x))
        for places in torch.split(torch.from_numpy(order), BATCH)[:steps]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[places]), y[places]).backward()
            optimizer.step()

    def numbers(self) -> NDArray[np.float64]:
        """Return how far some steps move the first and the last replica's weights, [2, P]."""
        fresh = MiniBatchLoop(self.workload, 1, self._fused, self._dtype)
        ends = [fresh.models[m] for m in (0, -1)]
        before = [flat(list(model.parameters())) for model in ends]
        for m in range(len(self.models)):
            fresh._train(m, STEPS)
        return np.stack([flat(list(model.parameters())) for model in ends]) - np.stack(before)

    def work(self) -> None:
        """Train for the epochs."""
        torch.set_num_threads(self.setting.threads)
        for _ in range(self.epochs):
            self._epoch += 1
            for m in range(len(self.models)):
                self._train(m)
