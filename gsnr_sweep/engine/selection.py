"""Which way a network's passes go, and how many samples go together."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.engine.autograd import AutogradEngine
from gsnr_sweep.engine.base import Engine
from gsnr_sweep.engine.batched.functional import can_batch
from gsnr_sweep.engine.batched.layers import linear_layers
from gsnr_sweep.engine.chunking import ChunkSizes, bytes_per_sample, chunk_sizes, explicit_chunks
from gsnr_sweep.engine.cpu import ExplicitNetwork, MomentOrder, Sums, explicit_network
from gsnr_sweep.engine.cpu.engine import CpuEngine, Workspaces
from gsnr_sweep.engine.cpu.kernels import Kernels, load_kernels
from gsnr_sweep.engine.settings import EngineSettings
from gsnr_sweep.gradients import Method
from gsnr_sweep.gradients.batchnorm import FullBatchNorm, Mode
from gsnr_sweep.gradients.loss import Task
from gsnr_sweep.gradients.method import choose_moments_method
from gsnr_sweep.gradients.parameters import Parameter

log = logging.getLogger(__name__)

# Two right float32 computations differ by 1e-3 of a deep network's gradient where a ReLU flips; a
# wrong one differs by about its size.
_TOLERANCE = 0.05
_WHOLE_TOLERANCE = 0.01


@dataclass(frozen=True)
class EngineChoice:
    """How the replicas of one network are run.

    Attributes:
        model: The prepared network.
        examples: [N, ...] inputs, at least two.
        task: Decides the loss.
        method: Way to per-sample gradients by autograd.
        kernels: Compiled kernels, None if there are none for this device and dtype.
        explicit: Whether the network has an explicit form that is used.
    """

    model: nn.Module
    examples: Tensor
    task: Task
    method: Method
    kernels: Kernels | None
    explicit: bool

    @classmethod
    def of(
        cls,
        model: nn.Module,
        examples: Tensor,
        targets: Tensor,
        task: Task,
        settings: EngineSettings,
    ) -> EngineChoice:
        """Try the network on a few samples.

        Args:
            model: The prepared network, on its device.
            examples: [N, ...] inputs, at least two, standardized.
            targets: Their targets.
            task: Decides the loss.
            settings: Says whether compiled kernels are wanted.

        Raises:
            GsnrError: The network has no per-sample gradients.
        """
        method = choose_moments_method(model, examples, targets, task)
        kernels = None
        if not examples.is_cuda and examples.dtype == torch.float32:
            kernels = load_kernels(settings.kernels)
        plan = cls(model, examples, task, method, kernels, explicit=False)
        network = plan.explicit_network(model) if method is Method.LAYERWISE else None
        if network is None or settings.kernels == "none":
            return plan
        found = replace(plan, explicit=plan._agrees(targets))
        return found if found._fits(settings) else plan

    def explicit_network(self, model: nn.Module) -> ExplicitNetwork | None:
        """Return a copy's explicit form, if it has one."""
        if self.examples.is_cuda or self.examples.dtype != torch.float32:
            return None
        return explicit_network(model, tuple(self.examples.shape[1:]), self.kernels)

    def _fits(self, settings: EngineSettings) -> bool:
        """Say whether a whole block of samples in lanes stays within the memory limit."""
        network = self.explicit_network(self.model) if self.explicit else None
        if network is None or not network.in_lanes or self.kernels is None:
            return True
        block = self.kernels.lanes * self.bytes_per_sample[0]
        return block <= settings.memory_limit

    def _agrees(self, targets: Tensor) -> bool:
        """Check the explicit form against autograd, gradient and squares, on the examples."""
        model = copy.deepcopy(self.model)
        own = self.explicit_network(model)
        assert own is not None
        sizes = ChunkSizes(*[len(self.examples)] * 3)
        autograd = self._autograd(model, sizes)
        explicit = self._explicit(own, model, sizes, Workspaces(own), autograd)
        samples = Samples(self.examples, targets)
        found = []
        for way in (explicit, autograd):
            gradient = [g.flatten() for g in way.gradient(samples)]
            way.fix_statistics(samples)
            squares = way.moments(samples, lambda *_: None, signs=False).sum_of_squares
            found.append((gradient, squares.split_with_sizes([len(g) for g in gradient])))
        agree = all(_close(a, b) for a, b in zip(*found, strict=True))
        if not agree:
            log.warning("the compiled kernels compute something else than PyTorch: not used")
        return agree

    @cached_property
    def bytes_per_sample(self) -> tuple[int, int]:
        """Bytes of activations with their gradients, and of per-sample gradients."""
        if not self.explicit:
            return bytes_per_sample(self.model, self.examples[:2], self.method)
        network = self.explicit_network(self.model)
        assert network is not None
        return _explicit_bytes(network, self.model, self.examples), 0

    @property
    def normalizes(self) -> bool:
        """Whether there is batch normalization."""
        return any(isinstance(module, FullBatchNorm) for module in self.model.modules())

    def chunks(self, settings: EngineSettings) -> ChunkSizes:
        """Choose the samples in a pass under the memory limit.

        Batch normalization's step takes the whole training set at once if it can: otherwise it
        would need many passes.
        """
        limit = settings.memory_limit
        activations, gradients = self.bytes_per_sample
        if self.explicit:
            network = self.explicit_network(self.model)
            assert network is not None
            lanes = self.kernels.lanes if self.kernels and network.in_lanes else None
            sizes = explicit_chunks(activations, lanes, settings.n, limit, settings.chunk_size)
        else:
            cuda = self.examples.is_cuda
            sizes = chunk_sizes(
                activations, gradients, settings.n, limit, settings.chunk_size, cuda
            )
        if settings.chunk_size is None and self.normalizes and activations * settings.n <= limit:
            return replace(sizes, step=settings.n)
        return sizes

    def passes(
        self, settings: EngineSettings
    ) -> Iterator[tuple[nn.Module, Engine, AutogradEngine]]:
        """Yield copy after copy of the network with its ways over samples."""
        sizes = self.chunks(settings)
        memories: Workspaces | None = None
        while True:
            model = copy.deepcopy(self.model)
            autograd = self._autograd(model, sizes)
            network = self.explicit_network(model) if self.explicit else None
            if network is None:
                yield model, autograd, autograd
                continue
            memories = memories or Workspaces(network)
            yield model, self._explicit(network, model, sizes, memories, autograd), autograd

    def _autograd(self, model: nn.Module, sizes: ChunkSizes) -> AutogradEngine:
        dtype, example = self.examples.dtype, self.examples[:2]
        return AutogradEngine(model, self.task, sizes, dtype, self.method, example)

    def _explicit(
        self,
        network: ExplicitNetwork,
        model: nn.Module,
        sizes: ChunkSizes,
        memories: Workspaces,
        autograd: AutogradEngine,
    ) -> CpuEngine:
        parameters = [p for p in model.parameters() if p.requires_grad]
        return CpuEngine(network, parameters, self.task, sizes, memories, autograd)


def _close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Compare parameter by parameter; what is small beside the whole may be rounding alone."""
    whole = _WHOLE_TOLERANCE * float(torch.cat(list(expected)).norm())
    return all(
        float((a - b).norm()) <= whole + _TOLERANCE * float(b.norm())
        for a, b in zip(found, expected, strict=True)
    )


def _explicit_bytes(network: ExplicitNetwork, model: nn.Module, examples: Tensor) -> int:
    """Measure the memory that one more block of samples takes in a forward and backward pass."""
    memory = network.workspace()
    parameters = [p for p in model.parameters() if p.requires_grad]
    taken = []
    before = [(norm.mean, norm.var) for norm in network.norms]
    for blocks in (1, 2):
        n = blocks * memory.lanes
        x = examples[:1].expand(n, *examples.shape[1:]).contiguous()
        done = network.forward(Samples(x, torch.zeros(n)), 0, n, Mode.BATCH, memory)
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
    model: nn.Module, parameters: Sequence[Parameter], x: Tensor, y: Tensor, task: Task
) -> bool:
    """Say whether all replicas should take their steps together.

    Args:
        model: The prepared network, on its device.
        parameters: Places of the trained parameters.
        x: [N, ...] a few inputs.
        y: Their targets.
        task: Decides the loss.
    """
    if x.is_cuda:
        return can_batch(model, parameters, x, y, task)
    layers = linear_layers(model)
    if layers is None:
        return False
    return max(max(layer.in_features, layer.out_features) for _, layer, _ in layers) <= _WIDEST
