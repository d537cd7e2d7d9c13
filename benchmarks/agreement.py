"""Whether contenders compute the same numbers: who does not is not compared.

In float32 a ReLU or a pooling window is now and then decided otherwise than in float64: one such
sample moves a gradient of random labels by up to 1e-2, whoever computes it. So each contender shows
in float64, on a small set, that it computes the same; its numbers as they are timed are compared
too, less strictly. torch.compile of PyTorch 2.13 gives zeros for the gradients of Table 2's
convolutions in small batches (40 samples, float64 from ch=12 on, float32 at ch=20) and the right
numbers in the batches that are timed: it is judged by these alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peers.mini_batches import MiniBatchLoop
from benchmarks.peers.moments import SampleLoop
from benchmarks.peers.training import PlainLoop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.workloads import Workload

EXACT = 1e-7
ROUNDED = 3e-2
_SLICE = 100
_FEW, _FEW_SETS = 40, 3


def small(workload: Workload) -> Workload:
    """Return the workload on which contenders are compared in float64."""
    return replace(workload, n=min(workload.n, _FEW), n_sets=min(workload.n_sets, _FEW_SETS))


def difference(found: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the largest relative difference of the rows, ‖a − b‖ / ‖b‖; infinite for NaN."""
    if found.shape != reference.shape:
        return float("inf")
    lengths = np.linalg.norm(reference, axis=1)
    apart = float((np.linalg.norm(found - reference, axis=1) / lengths).max())
    return float("inf") if np.isnan(apart) else apart


class Reference:
    """The numbers in float64 by autograd in its simplest form, for a process of its own."""

    def gradients(self, workload: Workload) -> NDArray[np.float64]:
        """Return the training gradients of the first and the last replica, [2, P]."""
        return PlainLoop(workload, 1, [_SLICE], "float64").numbers()

    def moments(self, workload: Workload) -> NDArray[np.float64]:
        """Return Σ g and Σ g² of the first set, one backward pass a sample, [2, P]."""
        return SampleLoop(workload, [_SLICE], "float64").numbers()

    def statistics(self, workload: Workload) -> NDArray[np.float64]:
        """Return mean and variance of g over the first set, [2, P]."""
        sums, squares = self.moments(workload)
        mean = sums / workload.n
        return np.stack([mean, squares / workload.n - mean**2])

    def mini_batches(self, workload: Workload) -> NDArray[np.float64]:
        """Return how far some mini-batches move two replicas' weights, [2, P]."""
        return MiniBatchLoop(workload, 1, None, "float64").numbers()

    def flops(self, workload: Workload) -> float:
        """Count the operations of the training gradient of one sample."""
        from torch.utils.flop_counter import FlopCounterMode

        loop = PlainLoop(replace(workload, n=2, n_sets=1), 1, [2])
        with FlopCounterMode(display=False) as counter:
            loop.gradient(0, loop.setting)
        return counter.get_total_flops() / 2
