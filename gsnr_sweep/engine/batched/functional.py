"""Gradients of M replicas of any network at once, by torch.func."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import vector_to_parameters
from typing_extensions import override

from gsnr_sweep.engine.batched.summed_gradient import SummedGradient, groups_of
from gsnr_sweep.gradients.batchnorm import Mode, norms_of, set_modes
from gsnr_sweep.gradients.parameters import Parameter, row_of
from gsnr_sweep.losses.loss import Loss

_TOLERANCE = 1e-8  # relative, in float64
_PERTURBATION = 0.1


class FunctionalGradient(SummedGradient):
    """Summed-loss gradients by one vmapped pass over the replicas' axis.

    All replicas are in one pass on a GPU. On a CPU they go one after the other: together their
    activations leave the caches, and grouped convolutions are slower than plain ones.
    """

    @override
    def _plan(self, model: nn.Module, chunk: int) -> tuple[int, list[slice]]:
        self._networks = _Networks(model)
        return chunk, groups_of(len(self._train), len(self._train) if self._working.is_cuda else 1)

    @override
    def _add(self, group: int, x: Tensor, y: Tensor, totals: list[Tensor]) -> None:
        weights, network = self._working[self.groups[group]], self._networks.own
        totals[0] += stacked_gradient(network, weights, self._parameters, x, y, self._loss)


class _Networks(threading.local):
    """A network of each thread's own: a functional call puts weights into it for a while."""

    def __init__(self, model: nn.Module) -> None:
        self.own = copy.deepcopy(model)
        set_modes(norms_of(self.own), Mode.BATCH)


def stacked_gradient(
    model: nn.Module,
    weights: Tensor,
    parameters: Sequence[Parameter],
    x: Tensor,
    y: Tensor,
    loss: Loss,
) -> Tensor:
    """Differentiate the summed loss of every replica by its own weights.

    Args:
        model: Gives the form, and the weights that are not trained.
        weights: [R, P].
        parameters: Places of the trained parameters in a row.
        x: [R, samples, ...] inputs.
        y: [R, samples] labels or [R, samples, outputs] targets.
        loss: Of each sample.

    Returns:
        [R, P] in the dtype of the weights.
    """

    def summed(trained: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(functional_call(model, trained, (x,)), y).sum()

    trained = {
        p.name: weights[:, p.start : p.stop].view(len(weights), *p.shape) for p in parameters
    }
    with torch.enable_grad():
        gradient = vmap(grad(summed))(trained, x, y)
    return torch.cat([gradient[p.name].flatten(1) for p in parameters], dim=1)


def can_batch(
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, loss: Loss
) -> bool:
    """Try whether torch.func takes a network and gives the gradients that autograd gives.

    Two replicas with different weights see different samples, in float64.

    Args:
        model: The prepared network; it is not changed.
        parameters: Places of the trained parameters in a row.
        x: [N, ...] a few inputs.
        y: Their targets.
        loss: Of each sample.
    """
    try:
        exact = copy.deepcopy(model).double()
        return _agrees(exact, parameters, x.double() if x.is_floating_point() else x, y, loss)
    except Exception:  # whatever torch.func or the network's own code cannot do
        return False


def _agrees(
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, loss: Loss
) -> bool:
    network = _Networks(model).own
    trained = dict(network.named_parameters())
    own = [trained[p.name] for p in parameters]
    row = row_of(network, parameters)
    generator = torch.Generator().manual_seed(0)
    shifts = torch.randn(2, len(row), generator=generator, dtype=row.dtype).to(row.device)
    weights = row + _PERTURBATION * shifts
    other = -0.5 * x if x.is_floating_point() else x.flip(0)
    xs, ys = torch.stack([x, other]), torch.stack([y, y.flip(0)])
    found = stacked_gradient(network, weights, parameters, xs, ys, loss)
    for m, replica in enumerate(weights):
        vector_to_parameters(replica, own)
        with torch.enable_grad():
            total = loss(network(xs[m]), ys[m]).sum()
        parts = torch.autograd.grad(total, own, materialize_grads=True)
        expected = torch.cat([part.flatten() for part in parts])
        if not bool(((found[m] - expected).abs() <= _TOLERANCE * expected.abs().max()).all()):
            return False
    return True
