"""Samples on which a run is tried before it is launched.

A user's own network or measure is tried on samples that are drawn as the run draws them: an
embedding takes no noise. What is in the package takes any numbers, and noise costs nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets, draw_sets
from gsnr_sweep.data.settings import TorchvisionConfig
from gsnr_sweep.user_code import is_ours

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec


def without_confusion(cfg: Config) -> Config:
    """Return a run whose training sets have no confusion set: of a trial n says all."""
    return replace(cfg, data=replace(cfg.data, confusion=0))


def example_sets(cfg: Config, spec: DataSpec, n: int, n_test: int, n_sets: int = 1) -> RunSets:
    """Draw training sets and a test set for a trial, none larger than the data allow.

    Args:
        cfg: The run.
        spec: Its data.
        n: Size of a training set.
        n_test: Size of the test set.
        n_sets: Training sets.
    """
    n, n_test = min(n, spec.n_train or n), min(n_test, spec.n_test or n_test)
    paths = (cfg.model._target_, *cfg.measures.functions.values())
    if not all(is_ours(path) for path in paths):
        small = replace(without_confusion(cfg), n=n, n_test=n_test, n_sets=n_sets)
        try:
            return draw_sets(distribution(cfg.data), small.sampling)
        except Exception:
            if not isinstance(cfg.data, TorchvisionConfig):
                raise
            # They are not there yet: `check.prepare` will fetch them, or say what is wrong.
    x, y = noise(spec, n_sets * n + n_test)
    train = [Samples(x[i * n : (i + 1) * n], y[i * n : (i + 1) * n]) for i in range(n_sets)]
    return RunSets(train, Samples(x[n_sets * n :], y[n_sets * n :]))


def examples(
    cfg: Config, spec: DataSpec, n: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Draw inputs in the run's dtype, and targets."""
    samples = example_sets(cfg, spec, n, n_test=1).train[0]
    if device is not None:
        samples = samples.to(device)
    return samples.batch(0, n, getattr(torch, cfg.dtype))


def noise(spec: DataSpec, n: int) -> tuple[Tensor, Tensor]:
    """Draw inputs and targets of the data's shapes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *spec.input_shape, generator=generator)
    if spec.task == "regression":
        return x, torch.randn(n, spec.n_outputs, generator=generator, dtype=torch.float64)
    return x, torch.randint(spec.n_outputs, (n,), generator=generator)
