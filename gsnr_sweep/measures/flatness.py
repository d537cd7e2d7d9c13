"""How much noise of the weights a trained network bears."""

from __future__ import annotations

import torch
from torch import Tensor

from gsnr_sweep.measures.complexity.flatness import (
    EPSILON,
    HALVINGS,
    Level,
    largest_alpha,
    largest_sigma,
    magnitude_aware_pac_bayes,
    pac_bayes,
)
from gsnr_sweep.measures.complexity.mean_loss import MeanLoss
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.trained_network import (
    NO_START,
    NOT_FOLDED,
    PassCounts,
    TrainedNetwork,
    of_network,
)
from gsnr_sweep.measures.undefined import Undefined

_FORMS = 2  # plain and magnitude-aware


def _cost(settings: ComplexityConfig) -> PassCounts:
    passes = float(_FORMS * HALVINGS * (settings.flatness_draws + 4 * settings.flatness_steps))
    samples = settings.flatness_samples
    return PassCounts(0.0, passes * samples) if samples else PassCounts(passes)


@of_network(passes=_cost)
def flatness(network: TrainedNetwork) -> dict[str, float]:
    """PAC-Bayes and sharpness measures of Jiang et al. 2020; batch normalization folded.

    σ is the largest noise level of the weights, ν ~ N(0, σ²), that costs at most
    ``measures.flatness_drop`` (0.1) of the training accuracy on average; σ′ the same with standard
    deviations √(σ′² w_i² + ε²), ε = 10⁻³; α and α′ those of the worst noise found in the boxes
    |ν_i| ≤ α and |ν_i| ≤ α′ |w_i| + ε.

    Returns:
        ``pac_bayes_flatness`` 1/σ² (eq. 53), ``pac_bayes_flatness_magnitude`` 1/σ′² (61),
        ``sharpness_flatness`` 1/α² and ``sharpness_flatness_magnitude`` 1/α′²;
        ``pac_bayes_init`` and ``pac_bayes_orig`` ‖·‖²/(4σ²) + ln(m/σ) + 10 (48, 49), and
        ``pac_bayes_init_magnitude`` and ``pac_bayes_orig_magnitude`` (56, 57), with ‖w − w⁰‖² and
        ‖w‖² over all parameters. `Undefined` where no level of noise is found, or no initial
        weights.
    """
    settings = network.settings
    model = network.folded
    size = settings.flatness_samples or len(network.samples)
    samples = next(network.samples.parts(size))
    loss = MeanLoss(model, samples, network.loss, network.chunk_size)
    generator = torch.Generator().manual_seed(0)
    w = loss.parameters
    noise = [
        torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
        for _ in range(settings.flatness_draws)
    ]
    drop, steps = settings.flatness_drop, settings.flatness_steps
    levels = {
        "pac_bayes_flatness": largest_sigma(loss, noise, drop=drop),
        "pac_bayes_flatness_magnitude": largest_sigma(loss, noise, drop=drop, epsilon=EPSILON),
        "sharpness_flatness": largest_alpha(loss, drop=drop, steps=steps),
        "sharpness_flatness_magnitude": largest_alpha(
            loss, drop=drop, epsilon=EPSILON, steps=steps
        ),
    }
    values = {name: _flat(level) for name, level in levels.items()}
    plain, aware = levels["pac_bayes_flatness"], levels["pac_bayes_flatness_magnitude"]
    return values | _bounds(network, w.double(), plain, aware)


def _flat(level: Level) -> float:
    return Undefined(level.reason) if level.reason else level.value**-2


def _bounds(network: TrainedNetwork, w: Tensor, plain: Level, aware: Level) -> dict[str, float]:
    """Return the four PAC-Bayes bounds."""
    m = len(network.samples)
    moved = _moved(network, w)
    squares: dict[str, float | Undefined] = {
        "init": moved if isinstance(moved, Undefined) else float(moved.square().sum()),
        "orig": float(w.square().sum()),
    }
    values: dict[str, float] = {}
    for name, square in squares.items():
        if isinstance(square, Undefined):
            values[f"pac_bayes_{name}"] = values[f"pac_bayes_{name}_magnitude"] = square
            continue
        values[f"pac_bayes_{name}"] = (
            Undefined(plain.reason) if plain.reason else pac_bayes(square, plain.value, m)
        )
        if isinstance(moved, Undefined):
            values[f"pac_bayes_{name}_magnitude"] = moved
        elif aware.reason:
            values[f"pac_bayes_{name}_magnitude"] = Undefined(aware.reason)
        else:
            values[f"pac_bayes_{name}_magnitude"] = magnitude_aware_pac_bayes(
                square, moved, aware.value, m
            )
    return values


def _moved(network: TrainedNetwork, w: Tensor) -> Tensor | Undefined:
    """Return w − w⁰, [P], or why it is not known."""
    if network.normalizes:
        return Undefined(NOT_FOLDED)
    if not network.initial:
        return Undefined(NO_START)
    names = [name for name, p in network.model.named_parameters() if p.requires_grad]
    initial = torch.cat([network.initial[name].reshape(-1) for name in names])
    return w - initial.to(w)
