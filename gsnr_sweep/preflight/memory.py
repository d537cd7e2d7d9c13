"""How much memory a run will need, from the same numbers that its passes are cut by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.settings import NpzConfig
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.engine.selection import PassPlan
from gsnr_sweep.models.build import build_model

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec

# Measured with torch 2.13 on Linux: a run's process before it draws data, what reading or drawing
# the data imports, and mlflow with its store.
_PROCESS_BYTES = 330 * 10**6
_DIGITS_BYTES = 20 * 10**6
_MLFLOW_BYTES = 190 * 10**6

# Bytes a value of a training pool while it is read: as read, in the networks' order of axes, and,
# to standardize a user's own arrays, in float64 (NumPy's standard deviation makes such a copy).
_READING_BYTES = 3
_STANDARDIZING_BYTES = 8
_LABEL_BYTES = 8

# Bytes a parameter. A replica keeps float64 weights beside the network's own; a step in progress
# has a float64 gradient and the network's own, a measurement eight float64 sums.
_WEIGHT_BYTES = 8
_STEP_BYTES = 8
_MOMENT_BYTES = 64
# A replica's row of the moments table (24), with the last table and what the measures derive.
_TABLE_BYTES = 100

# What the allocator keeps between its pieces: the peaks of one run in six processes were 1.31 to
# 1.43 GB, where these numbers add up to 1.33.
_ALLOCATOR = 1.1

# Bytes a pixel while a set of digits is deformed: the allocator keeps them for a while.
_DEFORMING_BYTES = 8


@dataclass(frozen=True)
class Network:
    """What of a network decides memory; found by building it.

    Attributes:
        plan: How it is run.
    """

    plan: PassPlan

    @classmethod
    def build(cls, cfg: Config, spec: DataSpec, device: torch.device) -> Network:
        """Build the network of a run on its device and try it on noise."""
        dtype: torch.dtype = getattr(torch, cfg.dtype)
        model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0)
        model = prepare_network(model, dtype, device)
        x, y = (tensor.to(device) for tensor in noise(spec, 3))
        return cls(PassPlan.of(model, x.to(dtype), y, spec.task, cfg.engine))

    @property
    def is_cuda(self) -> bool:
        """Whether it computes on a GPU."""
        return self.plan.examples.is_cuda

    @property
    def normalizes(self) -> bool:
        """Whether there is batch normalization."""
        return self.plan.normalizes

    @cached_property
    def n_parameters(self) -> int:
        """Number P of trained parameters."""
        return sum(p.numel() for p in self.plan.model.parameters() if p.requires_grad)

    @property
    def bytes_per_sample(self) -> tuple[int, int]:
        """Bytes of activations with their gradients, and of per-sample gradients."""
        return self.plan.bytes_per_sample

    def chunks(self, cfg: Config) -> ChunkSizes:
        """Return the samples in a pass, as the run will choose them."""
        return self.plan.chunks(cfg.engine)


def noise(spec: DataSpec, n: int) -> tuple[Tensor, Tensor]:
    """Draw inputs and targets of the data's shapes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *spec.input_shape, generator=generator)
    if spec.task == "regression":
        return x, torch.randn(n, spec.n_outputs, generator=generator, dtype=torch.float64)
    return x, torch.randint(spec.n_outputs, (n,), generator=generator)


def memory_bytes(
    cfg: Config, spec: DataSpec, network: Network, chunks: ChunkSizes, threads: int
) -> int:
    """Estimate the largest memory of a run: its process's, or the GPU's.

    Args:
        cfg: The run.
        spec: Its data.
        network: Its network; on a GPU, that one's memory is meant, which holds neither the process
            nor the table of moments.
        chunks: Samples in a pass.
        threads: Replicas worked on side by side.
    """
    width: int = getattr(torch, cfg.dtype).itemsize
    replicas = cfg.n_sets * network.n_parameters * (_WEIGHT_BYTES + width)
    moving = threads * network.n_parameters * max(_STEP_BYTES + width, _MOMENT_BYTES)
    losses = cfg.n_sets * (2 * cfg.n + 3 * cfg.n_test) * 8
    passes = threads * _pass_bytes(network, chunks)
    computing = _sets_bytes(cfg, spec) + replicas + moving + losses + passes
    if network.is_cuda:
        return computing
    table = cfg.n_sets * network.n_parameters * _TABLE_BYTES
    needed = _base_bytes(cfg, spec) + max(computing + table, _reading_bytes(cfg, spec))
    return int(needed * _ALLOCATOR)


def _base_bytes(cfg: Config, spec: DataSpec) -> int:
    base = _PROCESS_BYTES
    if spec.name == "digits":
        largest = max(cfg.n, cfg.n_test)
        base += _DIGITS_BYTES + largest * _input_bytes(spec) * _DEFORMING_BYTES
    base += _MLFLOW_BYTES if cfg.tracking.name == "mlflow" else 0
    pool = (spec.n_train or 0) + (spec.n_test or 0)
    return base + pool * _input_bytes(spec)


def _reading_bytes(cfg: Config, spec: DataSpec) -> int:
    """Bytes that are needed for a moment while a pool of samples is read."""
    standardizes = isinstance(cfg.data, NpzConfig) and cfg.data.standardize
    each = _READING_BYTES * _input_bytes(spec)
    each += _STANDARDIZING_BYTES * math.prod(spec.input_shape) if standardizes else 0
    return (spec.n_train or 0) * each


def _sets_bytes(cfg: Config, spec: DataSpec) -> int:
    samples = cfg.n_sets * cfg.n + cfg.n_test
    return samples * (_input_bytes(spec) + _LABEL_BYTES)


def _input_bytes(spec: DataSpec) -> int:
    """Bytes of one stored input: images are kept in uint8, other numbers in up to float64."""
    return math.prod(spec.input_shape) * (1 if len(spec.input_shape) == 3 else 8)


def _pass_bytes(network: Network, chunks: ChunkSizes) -> int:
    activations, per_sample_gradients = network.bytes_per_sample
    return max(
        chunks.step * activations,
        chunks.moments * (activations + per_sample_gradients),
        chunks.losses * activations // 2,
    )
