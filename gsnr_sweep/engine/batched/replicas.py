"""M replicas' weights as one tensor, and their steps as a few large operations.

Beside `Replica`, which works on one network at a time, this is for networks whose operations are
too small to fill the machine: fully connected ones on a CPU, all of them on a GPU. The weights are
the replicas' own (`row_views`): whichever of the two takes a step, the other one sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.batched.cuda_graph import captured
from gsnr_sweep.engine.batched.functional import FunctionalGradient
from gsnr_sweep.engine.batched.layers import linear_layers
from gsnr_sweep.engine.batched.mlp import MLPGradient
from gsnr_sweep.engine.batched.one_hidden_layer import OneHiddenLayerGradient, has_one_hidden_layer
from gsnr_sweep.engine.batched.summed_gradient import SummedGradient
from gsnr_sweep.engine.cpu.kernels import Kernels
from gsnr_sweep.gradients.batchnorm import norms_of
from gsnr_sweep.gradients.parameters import Parameter, row_of
from gsnr_sweep.losses.loss import Loss


class BatchedReplicas:
    """M replicas trained by full-batch gradient descent, each on its own training set.

    The numbers do not depend on the number of threads: replicas are always worked on in the same
    groups, and a group is worked on by one thread.

    Attributes:
        master: [M, P] float64 weights; they add up updates far below float32's resolution.
        working: [M, P] the same, rounded to the run's dtype.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Sequence[Parameter],
        train: Sequence[Samples],
        loss: Loss,
        dtype: torch.dtype,
        chunk: int,
        threads: int = 1,
        kernels: Kernels | None = None,
    ) -> None:
        """Start all replicas at the network's weights.

        Args:
            model: The prepared network (`prepare_network`), on its device, in `dtype`.
            parameters: Places of its trained parameters.
            train: M training sets of equal size, on the network's device.
            loss: Of each sample.
            dtype: Of weights and activations.
            chunk: Samples of each training set in a pass, at most.
            threads: Groups of replicas worked on side by side; of no use on a GPU.
            kernels: Compiled ones, used where they fit.

        Raises:
            ValueError: Training sets differ in size, or the network normalizes over the batch and
                `chunk` is smaller than a training set.
        """
        _refuse(model, train, chunk)
        row = row_of(model, parameters).double()
        self.master = row.repeat(len(train), 1)
        self.working = self.master.to(dtype, copy=True)
        self._n = len(train[0])
        self._way = _way(model)(model, train, loss, self.working, parameters, chunk, kernels)
        threads = 1 if row.is_cuda else min(threads, len(self._way.groups))
        self._pool = _pool(threads) if threads > 1 else None
        self._replay: tuple[float, Callable[[], None]] | None = None

    def gradient(self) -> Tensor:
        """Return the gradients of the training losses at the working weights, [M, P] float64."""
        groups = range(len(self._way.groups))
        each = map if self._pool is None else self._pool.map
        for _ in each(self._way.work, groups):
            pass
        return self._way.result().div_(self._n)

    @torch.no_grad()
    def descend(self, gradient: Tensor, lr: float) -> None:
        """Take one step θ ← θ − λ g.

        Args:
            gradient: [M, P].
            lr: λ.
        """
        self.master.sub_(gradient, alpha=lr)
        self.round()

    @torch.no_grad()
    def round(self) -> None:
        """Make the working weights those of `master`, after somebody else changed these."""
        self.working.copy_(self.master)

    def step(self, lr: float) -> None:
        """Take one step of all replicas; on a GPU by a captured graph, without waiting for it."""
        if self._replay is None or self._replay[0] != lr:
            changed, device = (self.master, self.working), self.master.device
            self._replay = (lr, captured(lambda: self._step(lr), changed, device))
        self._replay[1]()

    def _step(self, lr: float) -> None:
        self.descend(self.gradient(), lr)

    def close(self) -> None:
        """Let go of the threads; the weights stay."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _refuse(model: nn.Module, train: Sequence[Samples], chunk: int) -> None:
    sizes = {len(samples) for samples in train}
    if len(sizes) != 1:
        raise ValueError(f"training sets of equal size are needed, not of {sorted(sizes)}")
    if norms_of(model) and chunk < min(sizes):
        raise ValueError(f"batch normalization needs all {min(sizes)} samples at once, not {chunk}")


def _way(model: nn.Module) -> type[SummedGradient]:
    """Choose the fastest way to a network's gradients."""
    if has_one_hidden_layer(model):
        return OneHiddenLayerGradient
    return MLPGradient if linear_layers(model) else FunctionalGradient


def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "stacked", initializer=torch.set_num_threads, initargs=(1,))
