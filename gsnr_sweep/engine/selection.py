"""Which way a network's passes go, and how many samples go together."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.agreement import close
from gsnr_sweep.engine.autograd import AutogradEngine
from gsnr_sweep.engine.batched.functional import can_batch
from gsnr_sweep.engine.batched.layers import linear_layers
from gsnr_sweep.engine.chunking import (
    ChunkSizes,
    bytes_per_sample,
    chunk_sizes,
    even,
    explicit_chunks,
)
from gsnr_sweep.engine.cpu import ExplicitNetwork, MomentOrder, Sums, Workspace, explicit_network
from gsnr_sweep.engine.cpu.engine import CpuEngine
from gsnr_sweep.engine.cpu.kernels import Kernels, load_kernels
from gsnr_sweep.engine.settings import EngineSettings
from gsnr_sweep.gradients import Method
from gsnr_sweep.gradients.batchnorm import Mode, norms_of
from gsnr_sweep.gradients.method import choose_moments_method, differs_in_training
from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.losses.loss import Loss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineChoice:
    """How the replicas of one network are run.

    Attributes:
        model: The prepared network.
        examples: [N, ...] inputs, at least two.
        loss: Of each sample.
        method: Way to per-sample gradients by autograd.
        kernels: Compiled kernels, None if there are none for this device and dtype.
        explicit: Whether the network has an explicit form that is used.
        random: Whether the network computes something else in training mode.
    """

    model: nn.Module
    examples: Tensor
    loss: Loss
    method: Method
    kernels: Kernels | None
    explicit: bool
    random: bool = False

    @classmethod
    def of(
        cls,
        model: nn.Module,
        examples: Tensor,
        targets: Tensor,
        loss: Loss,
        settings: EngineSettings,
        stochastic: bool = False,
    ) -> EngineChoice:
        """Try the network on a few samples.

        Args:
            model: The prepared network, on its device.
            examples: [N, ...] inputs, at least two, standardized.
            targets: Their targets.
            loss: Of each sample.
            settings: Says whether compiled kernels are wanted.
            stochastic: Whether weights move on mini-batches, so that the network may be random in
                training mode.

        Raises:
            GsnrError: The network has no per-sample gradients.
        """
        method = choose_moments_method(model, examples, targets, loss, stochastic)
        random = stochastic and differs_in_training(model, examples)
        kernels = None
        if not examples.is_cuda and examples.dtype == torch.float32:
            kernels = load_kernels(settings.kernels)
        plan = cls(model, examples, loss, method, kernels, explicit=False, random=random)
        network = plan.explicit_network(model) if method is Method.LAYERWISE else None
        if network is None or settings.kernels == "none":
            return plan
        found = replace(plan, explicit=plan._agrees(targets))
        block = (found._lanes or 0) * found.bytes_per_sample[0]
        return found if block <= settings.memory_limit else plan

    def explicit_network(self, model: nn.Module) -> ExplicitNetwork | None:
        """Return a copy's explicit form, if it has one."""
        if self.examples.is_cuda or self.examples.dtype != torch.float32:
            return None
        return explicit_network(model, tuple(self.examples.shape[1:]), self.kernels)

    @cached_property
    def _network(self) -> ExplicitNetwork | None:
        """The explicit form that is used."""
        return self.explicit_network(self.model) if self.explicit else None

    @property
    def _lanes(self) -> int | None:
        """Samples in a block of the explicit form; None for linear layers alone."""
        in_lanes = self._network is not None and self._network.in_lanes
        return self.kernels.lanes if in_lanes and self.kernels else None

    def _agrees(self, targets: Tensor) -> bool:
        """Check the explicit form against autograd, gradient and squares, on the examples."""
        model = copy.deepcopy(self.model)
        sizes = ChunkSizes(*[len(self.examples)] * 3)
        samples = Samples(self.examples, targets)
        found = []
        for explicit in (True, False):
            engine = self._engine(model, sizes, explicit, [])
            gradient = [g.flatten() for g in engine.gradient(samples)]
            engine.fix_statistics(samples)
            squares = engine.moments(samples, lambda *_: None, signs=False).sum_of_squares
            found.append((gradient, squares.split_with_sizes([len(g) for g in gradient])))
        agree = all(close(a, b) for a, b in zip(*found, strict=True))
        if not agree:
            log.warning("the compiled kernels compute something else than PyTorch: not used")
        return agree

    @cached_property
    def bytes_per_sample(self) -> tuple[int, int]:
        """Bytes of activations with their gradients, and of per-sample gradients."""
        if self._network is None:
            return bytes_per_sample(self.model, self.examples[:2], self.method)
        return _explicit_bytes(self._network, self.model, self.examples), 0

    @property
    def normalizes(self) -> bool:
        """Whether there is batch normalization."""
        return bool(norms_of(self.model))

    def chunks(self, settings: EngineSettings) -> ChunkSizes:
        """Choose the samples in a pass under the memory limit.

        Batch normalization's step takes the whole training set at once if it can: otherwise it
        would need many passes.
        """
        n, limit, wanted = settings.n, settings.memory_limit, settings.chunk_size
        activations, gradients = self.bytes_per_sample
        if self.explicit:
            sizes = explicit_chunks(activations, self._lanes, n, limit, wanted)
        else:
            cuda = self.examples.is_cuda
            sizes = chunk_sizes(activations, gradients, n, limit, wanted, cuda)
        if not self.normalizes:
            return sizes
        if wanted is None and activations * n <= limit:
            return replace(sizes, step=n)
        size = sizes.step if wanted else min(sizes.step, even(n, limit // 4 // activations))
        return replace(sizes, normalized=size, kept_bytes=max(0, limit - size * activations))

    def engines(self, settings: EngineSettings, count: int) -> list[AutogradEngine]:
        """Make copies of the network, each with its way over samples."""
        sizes = self.chunks(settings)
        free: list[Workspace] = []
        models = [copy.deepcopy(self.model) for _ in range(count)]
        return [self._engine(model, sizes, self.explicit, free) for model in models]

    def _engine(
        self, model: nn.Module, sizes: ChunkSizes, explicit: bool, free: list[Workspace]
    ) -> AutogradEngine:
        arguments = (model, self.loss, sizes, self.method, self.examples[:2])
        network = self.explicit_network(model) if explicit else None
        if network is None:
            return AutogradEngine(*arguments, random=self.random)
        return CpuEngine(*arguments, network, free, random=self.random)


def _explicit_bytes(network: ExplicitNetwork, model: nn.Module, examples: Tensor) -> int:
    """Measure the memory that one more block of samples takes in a forward and backward pass."""
    memory = network.workspace()
    parameters = [p for p in model.parameters() if p.requires_grad]
    taken = []
    before = [(norm.mean, norm.var) for norm in network.norms]
    for blocks in (1, 2):
        n = blocks * memory.lanes
        x = examples[:1].expand(n, *examples.shape[1:]).contiguous()
        done = network.forward(Samples(x, torch.zeros(n)), Mode.BATCH, memory)
        network.backward(
            done, torch.zeros_like(done.outputs), Sums(parameters, MomentOrder.SQUARES)
        )
        taken.append(memory.bytes)
    for norm, (mean, var) in zip(network.norms, before, strict=True):
        norm.mean, norm.var = mean, var
    widths = sum(
        m.in_features + m.out_features for m in model.modules() if isinstance(m, nn.Linear)
    )
    inputs = examples[0].numel()
    return (taken[1] - taken[0]) // memory.lanes + 4 * (2 * widths + inputs)


_WIDEST = 64
"""On a CPU, networks with layers up to this width: 2-20-20-1 is 4.9 times as fast as replica by
replica, 2-20-1 ten times or more, 784-20-10 as fast."""


def can_be_batched(
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, loss: Loss
) -> bool:
    """Say whether all replicas should take their steps together.

    Args:
        model: The prepared network, on its device.
        parameters: Places of the trained parameters.
        x: [N, ...] a few inputs.
        y: Their targets.
        loss: Of each sample.
    """
    if not may_be_batched(model, x.is_cuda, by_optimizer=False):
        return False
    return not x.is_cuda or can_batch(model, parameters, x, y, loss)


def may_be_batched(model: nn.Module, on_gpu: bool, by_optimizer: bool) -> bool:
    """Say whether replicas may take their steps together, without trying the network.

    Args:
        model: The network.
        on_gpu: Whether it is computed there.
        by_optimizer: Whether an optimizer moves the weights on mini-batches.
    """
    layers = linear_layers(model)
    if on_gpu and not by_optimizer:
        return True
    if layers is None:
        return False
    widest = max(max(layer.in_features, layer.out_features) for _, layer, _ in layers)
    return by_optimizer or widest <= _WIDEST
