"""The squared gradient mean by the sign of W·g against loops over samples and weights."""

import math

import numpy as np
import pytest
import torch

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures.squared_gradient import squared_gradient
from tests.measures.snapshots import snapshot

M, N, P = 3, 8, 36
PARAMETERS = (
    Parameter("fc1.weight", 0, 20, (4, 5)),
    Parameter("fc1.bias", 20, 24, (4,)),
    Parameter("fc2.weight", 24, 36, (2, 6)),
)
LAYERS = {"fc1": range(20), "fc2": range(24, 36)}


def _expected(w: np.ndarray, gradients: np.ndarray) -> dict[str, float]:
    values: dict[str, float] = {}
    for suffix, layers in {"": list(LAYERS), "/fc1": ["fc1"], "/fc2": ["fc2"]}.items():
        for kind in ("", "_top10"):
            found: dict[str, list[float]] = {}
            for m in range(M):
                own: dict[str, list[float]] = {}
                for layer in layers:
                    places = sorted(LAYERS[layer], key=lambda j: -abs(w[m, j]))
                    for j in places[: max(1, len(places) // 10)] if kind else places:
                        samples = [float(g) for g in gradients[m, :, j]]
                        g = sum(samples) / N
                        noise = sum((one - g) ** 2 for one in samples) / (N - 1) / N
                        own.setdefault("grad_sq_mean", []).append(g**2)
                        own.setdefault("grad_sq_debiased", []).append(g**2 - noise)
                        if w[m, j] * g:
                            state = "same" if w[m, j] * g > 0 else "opposite"
                            own.setdefault(f"grad_sq_mean_{state}", []).append(g**2)
                for name, squares in own.items():
                    found.setdefault(name, []).append(sum(squares) / len(squares))
            for name in ("mean", "mean_opposite", "mean_same", "debiased"):
                means = found.get(f"grad_sq_{name}", [])
                mean = sum(means) / len(means) if means else math.nan
                values[f"grad_sq_{name}{kind}{suffix}"] = mean
    return values


def test_values_are_those_of_loops_over_samples_and_weights() -> None:
    rng = np.random.default_rng(1)
    w, gradients = rng.normal(size=(M, P)), rng.normal(0.2, 1, size=(M, N, P))
    w[0, 3], gradients[1, :, 5] = 0, 0
    found = squared_gradient(
        snapshot(gradients, parameters=PARAMETERS, weights=torch.from_numpy(w))
    )
    assert found == pytest.approx(_expected(w, gradients), rel=1e-9, nan_ok=True)


def test_without_signal_only_noise_is_left() -> None:
    """E(g²_D) = ρ²/n where the mean over the distribution is zero."""
    rng = np.random.default_rng(2)
    parameters = (Parameter("fc.weight", 0, 20_000, (100, 200)),)
    gradients = rng.normal(size=(1, N, 20_000))
    weights = torch.from_numpy(rng.normal(size=(1, 20_000)))
    found = squared_gradient(snapshot(gradients, parameters=parameters, weights=weights))
    assert found["grad_sq_mean"] == pytest.approx(1 / N, rel=0.03)
    assert found["grad_sq_debiased"] == pytest.approx(0, abs=0.03 / N)
