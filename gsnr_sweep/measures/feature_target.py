"""How well single features predict the target (Table 1)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.gradients.forward_hooks import listening
from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot


def correlate_features(replica: Replica, followed: tuple[Parameter, ...]) -> dict[str, Tensor]:
    """Correlate the inputs of each followed linear layer with the targets over the training set.

    Args:
        replica: At the weights θ_t.
        followed: Of these, weight matrices [C, S] of linear layers with as many outputs C as there
            are targets (or classes, each as an indicator) have features: their S inputs.

    Returns:
        By parameter name, Pearson's correlation [C, S] of input s with target c; NaN where one of
        them does not vary.
    """
    found = {}
    for parameter in followed:
        layer = replica.model.get_submodule(parameter.name.rpartition(".")[0])
        if isinstance(layer, nn.Linear) and parameter.name.endswith("weight"):
            features, targets = _features(replica, layer)
            if targets.shape[1] == layer.out_features:
                found[parameter.name] = _correlations(targets, features)
    return found


@requires(probe=correlate_features)
def feature_target(snapshot: Snapshot) -> dict[str, float | list[float]]:
    """Correlation of features with the target (Liu et al. 2020, 3.2, Table 1).

    Returns:
        For each followed weight matrix of a linear layer, ``feature_target/NAME``: the correlation
        of its inputs with the targets, in the order of the weights, averaged over the replicas.
    """
    per_replica: list[dict[str, Any]] = snapshot.probed["feature_target"]
    return {
        f"feature_target/{name}": torch.stack([one[name] for one in per_replica])
        .mean(0)
        .flatten()
        .tolist()
        for name in per_replica[0]
    }


@torch.no_grad()
def _features(replica: Replica, layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return the layer's inputs [n, S] and the targets [n, C], float64."""
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    keep = lambda _, require, __: inputs.append(require[0].flatten(1).double())  # noqa: E731
    with listening([layer], keep):
        for x, y in replica.batches():
            outputs = replica.model(x)
            indicator = y if y.is_floating_point() else F.one_hot(y, outputs.shape[1])
            targets.append(indicator.double().flatten(1))
    return torch.cat(inputs), torch.cat(targets)


def _correlations(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlations [A, B] of the columns of two matrices [n, A] and [n, B]."""
    constant = (_constant(a)[:, None] | _constant(b)).cpu()
    a, b = a - a.mean(0), b - b.mean(0)
    correlations: Tensor = a.T @ b / a.norm(dim=0)[:, None] / b.norm(dim=0)
    return correlations.cpu().masked_fill(constant, math.nan)


def _constant(values: Tensor) -> Tensor:
    """Tell of each column [n, A] whether it is one value."""
    same: Tensor = values.amax(0) == values.amin(0)
    return same
