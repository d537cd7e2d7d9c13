"""Gradients of M replicas of any network at once, by torch.func."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.batched.inputs import StackedInputs, groups_of
from gsnr_sweep.gradients.batchnorm import Mode, norms_of, set_modes
from gsnr_sweep.gradients.loss import Task, sample_losses
from gsnr_sweep.gradients.parameters import Parameter

_TOLERANCE = 1e-8  # relative, in float64
_PERTURBATION = 0.1


class FunctionalGradient:
    """Summed-loss gradients by one vmapped pass over the replicas' axis.

    Attributes:
        groups: Replicas in a pass: all on a GPU. On a CPU one after the other: together their
            activations leave the caches, and grouped convolutions are slower than plain ones.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Sequence[Samples],
        task: Task,
        working: Tensor,
        parameters: Sequence[Parameter],
        chunk: int,
    ) -> None:
        """Stack the training sets.

        Args:
            model: The prepared network; it is copied.
            train: M training sets of equal size.
            task: Decides the loss.
            working: [M, P] trained weights in the run's dtype; read at every call.
            parameters: Their places in a row.
            chunk: Samples of each training set in a pass.
        """
        self.groups = groups_of(len(train), len(train) if working.is_cuda else 1)
        self._task: Task = task
        self._parameters, self._working = parameters, working
        self._inputs = StackedInputs(train, working.dtype, self.groups, chunk, lambda x: x)
        self._networks = _Networks(copy.deepcopy(model))
        self._total = torch.zeros_like(working, dtype=torch.float64)

    def work(self, group: int) -> None:
        """Go through the training sets of a group of replicas."""
        rows, network = self.groups[group], self._networks.own
        total, weights = self._total[rows].zero_(), self._working[rows]
        for x, y in self._inputs.chunks(group):
            total += stacked_gradient(network, weights, self._parameters, x, y, self._task)

    def result(self) -> Tensor:
        """Return the gradients, [M, P] float64, after all groups have been worked on."""
        return self._total.clone()


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
    task: Task,
) -> Tensor:
    """Differentiate the summed loss of every replica by its own weights.

    Args:
        model: Gives the form, and the weights that are not trained.
        weights: [R, P].
        parameters: Places of the trained parameters in a row.
        x: [R, samples, ...] inputs.
        y: [R, samples] labels or [R, samples, outputs] targets.
        task: Decides the loss.

    Returns:
        [R, P] in the dtype of the weights.
    """

    def loss(trained: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return sample_losses(functional_call(model, trained, (x,)), y, task).sum()

    trained = {
        p.name: weights[:, p.start : p.stop].view(len(weights), *p.shape) for p in parameters
    }
    with torch.enable_grad():
        gradient = vmap(grad(loss))(trained, x, y)
    return torch.cat([gradient[p.name].flatten(1) for p in parameters], dim=1)


def can_batch(
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, task: Task
) -> bool:
    """Try whether torch.func takes a network and gives the gradients that autograd gives.

    Two replicas with different weights see different samples, in float64.

    Args:
        model: The prepared network; it is not changed.
        parameters: Places of the trained parameters in a row.
        x: [N, ...] a few inputs.
        y: Their targets.
        task: Decides the loss.
    """
    try:
        return _agrees(copy.deepcopy(model).double(), parameters, x.double(), y, task)
    except Exception:  # whatever torch.func or the network's own code cannot do
        return False


def _agrees(
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, task: Task
) -> bool:
    network = _Networks(model).own
    trained = dict(network.named_parameters())
    row = torch.cat([trained[p.name].detach().flatten() for p in parameters])
    generator = torch.Generator().manual_seed(0)
    shifts = torch.randn(2, len(row), generator=generator, dtype=row.dtype).to(row.device)
    weights = row + _PERTURBATION * shifts
    xs, ys = torch.stack([x, -0.5 * x]), torch.stack([y, y.flip(0)])
    found = stacked_gradient(network, weights, parameters, xs, ys, task)
    plain = [
        _plain_gradient(network, w, parameters, xs[m], ys[m], task) for m, w in enumerate(weights)
    ]
    expected = torch.stack(plain)
    scale = expected.abs().amax(1, keepdim=True)
    return bool(((found - expected).abs() <= _TOLERANCE * scale).all())


def _plain_gradient(
    model: nn.Module,
    weights: Tensor,
    parameters: Sequence[Parameter],
    x: Tensor,
    y: Tensor,
    task: Task,
) -> Tensor:
    """Return the gradient [P] of a replica by ordinary autograd, its weights set to `weights`."""
    trained = dict(model.named_parameters())
    own = [trained[p.name] for p in parameters]
    with torch.no_grad():
        for parameter, p in zip(own, parameters, strict=True):
            parameter.copy_(weights[p.start : p.stop].view_as(parameter))
    with torch.enable_grad():
        loss = sample_losses(model(x), y, task).sum()
    gradient = torch.autograd.grad(loss, own, materialize_grads=True)
    return torch.cat([part.flatten() for part in gradient])
