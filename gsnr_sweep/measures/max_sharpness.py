"""Largest loss in a box around a trained network's weights."""

from __future__ import annotations

from gsnr_sweep.measures.complexity import sharpness
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.progress import Progress
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network

_CHECKPOINTS = 10


def _cost(settings: ComplexityConfig) -> PassCounts:
    starts, batch = settings.max_sharpness_starts, settings.max_sharpness_batch
    steps = settings.max_sharpness_steps
    passes = 3.0 * steps * starts  # of a step: forward and backward
    looks = float(1 + min(_CHECKPOINTS, steps) * starts)
    return PassCounts(looks, passes * batch) if batch else PassCounts(looks + passes)


@of_network(passes=_cost)
def max_sharpness(network: TrainedNetwork) -> dict[str, float]:
    """Sharpness max_{|ν_i| ≤ α(|w_i|+1)} L̂(f_{w+ν}) − L̂(f_w), by gradient ascent.

    Neyshabur et al. 2017, eq. (3) without its denominator, as the paper plots it; batch
    normalization folded. The ascent finds a local maximum: the true one is at least as large.

    Returns:
        ``max_sharpness``; ``keskar_sharpness``, 100 max_sharpness / (1 + L̂(f_w)) as Keskar et al.
        2017 have it; ``max_sharpness_at_bound``, the share of the ν_i on the box's boundary: near 0
        the ascent had too few steps.
    """
    settings = network.settings
    found = sharpness.max_sharpness(
        network.folded,
        network.samples,
        network.loss,
        alpha=settings.max_sharpness_alpha,
        steps=settings.max_sharpness_steps,
        batch_size=settings.max_sharpness_batch,
        starts=settings.max_sharpness_starts,
        checkpoints=min(_CHECKPOINTS, settings.max_sharpness_steps),
        chunk_size=network.chunk_size,
        on_progress=Progress("max sharpness"),
    )
    return {
        "max_sharpness": found.sharpness,
        "keskar_sharpness": found.keskar,
        "max_sharpness_at_bound": found.share_at_bound,
    }
