"""Largest memory of a run, counted from the same numbers that its passes are cut by.

The count is meant as an upper bound, since a run that needs more than it asked for is killed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.settings import CustomDataConfig, NpzConfig, TorchvisionConfig
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.engine.batched.summed_gradient import KEPT_BYTES
from gsnr_sweep.engine.chunking import ChunkSizes
from gsnr_sweep.engine.selection import EngineChoice, may_be_batched
from gsnr_sweep.losses.loss import make_loss
from gsnr_sweep.models.build import build_model
from gsnr_sweep.preflight.examples import examples

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec

# Bytes of a process before it draws data, with what reading them imports, and of mlflow with its
# store. Measured with torch 2.13 on Linux, in the process of a run by itself, which has planned it
# too: a worker of a sweep needs less.
_PROCESS = 500 * 10**6
_MLFLOW = 80 * 10**6

# Bytes a parameter: of a replica its weights and a row of the table of moments, with the last table
# and what the measures derive; of a thread the eight float64 sums of a measurement.
_REPLICA = 8 + 100
_REPLICA_ON_GPU = 8
_THREAD = 64
# With an optimizer: what Adam remembers and its preconditioner; and while its own steps are taken
# back, copies of weights and of what it remembers.
_RULE = 16 + 8
_EXCURSION = 24

# Bytes a value of a pool while it is read: as read and in another order of axes; to standardize a
# user's own arrays, in float64 too. Digits keep eight a pixel of a set for a while.
_READING = 3
_STANDARDIZING = 8
_DEFORMING = 8

# What the allocator keeps between its pieces: the peaks of one run in six processes were 1.31 to
# 1.43 GB, where these numbers add up to 1.33.
_ALLOCATOR = 1.1


def plan_passes(cfg: Config, spec: DataSpec, device: torch.device) -> EngineChoice:
    """Build the network of a run on its device and try it on a few samples."""
    dtype: torch.dtype = getattr(torch, cfg.dtype)
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0)
    x, y = examples(cfg, spec, 3, device)
    network = prepare_network(model, dtype, device, cfg.training.running_statistics)
    loss, stochastic = make_loss(cfg.loss, spec.task), cfg.training.may_be_random
    return EngineChoice.of(network, x, y, loss, cfg.engine, stochastic)


def memory_bytes(
    cfg: Config,
    spec: DataSpec,
    plan: EngineChoice,
    chunks: ChunkSizes,
    n_parameters: int,
    threads: int,
) -> int:
    """Count the largest memory of a run: its process's, or the GPU's.

    Args:
        cfg: The run.
        spec: Its data.
        plan: How its network is run; on a GPU, that one's memory is meant, which holds neither the
            process nor the table of moments.
        chunks: Samples in a pass.
        n_parameters: Trained parameters of a replica.
        threads: Replicas worked on side by side.
    """
    values, pool = math.prod(spec.input_shape), spec.n_train or 0
    own = isinstance(cfg.data, CustomDataConfig)
    in_bytes = len(spec.input_shape) == 3 and not own  # images are kept in uint8
    bytes_a_value = 1 if in_bytes else 8
    stored = values * bytes_a_value
    width: int = getattr(torch, cfg.dtype).itemsize
    on_gpu = plan.examples.is_cuda
    replica = n_parameters * (width + (_REPLICA_ON_GPU if on_gpu else _REPLICA))
    replica += cfg.train_size * (stored + 8 + 2 * 8)  # a label and two losses a sample
    test = cfg.n_test * (stored + 8 + 3 * 8 * cfg.n_sets)
    thread = n_parameters * _THREAD + _pass_bytes(plan, chunks)
    if plan.random and cfg.rule is not None:  # what it draws is drawn for a mini-batch in one pass
        thread = max(thread, cfg.rule.batch_size * plan.bytes_per_sample[0])
    if cfg.rule is not None:
        replica += n_parameters * _RULE
        thread += n_parameters * _EXCURSION
    computing = cfg.n_sets * replica + test + threads * thread
    if may_be_batched(plan.model, on_gpu, by_optimizer=cfg.rule is not None):
        inputs = cfg.n_sets * cfg.train_size * values * width  # standardized once, if they fit
        computing += inputs if inputs <= KEPT_BYTES else 0
    if on_gpu:
        return computing
    whole = values if not isinstance(cfg.data, TorchvisionConfig) else math.prod(cfg.data.shape)
    in_pool = whole * bytes_a_value  # images are resized as they are drawn
    reading = pool * in_pool * _READING
    if isinstance(cfg.data, NpzConfig | CustomDataConfig) and cfg.data.standardize:
        reading += pool * values * _STANDARDIZING
    held = _PROCESS + (pool + (spec.n_test or 0)) * in_pool
    held += _MLFLOW if cfg.tracking.name == "mlflow" else 0
    held += max(cfg.train_size, cfg.n_test) * stored * _DEFORMING if spec.name == "digits" else 0
    return int((held + max(computing, reading)) * _ALLOCATOR)


def _pass_bytes(plan: EngineChoice, chunks: ChunkSizes) -> int:
    activations, per_sample_gradients = plan.bytes_per_sample
    return max(
        chunks.step * activations,
        chunks.normalized * activations + chunks.kept_bytes,
        chunks.moments * (activations + per_sample_gradients),
        chunks.losses * activations // 2,
    )
