"""What any measure has to be compared with: chance, the settings themselves, and noisy oracles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gsnr_sweep.analysis.ranking.networks import Axis, Networks, Vector

RANDOM = "random numbers"
ORACLE_NOISE = (0.5, 1.0)
"""Standard deviation of the noise of oracles, in standard deviations of the target."""


def random_measures(networks: Networks, draws: int) -> Iterator[Vector]:
    """Draw measures that know nothing: what they reach is what chance reaches.

    Args:
        networks: N networks.
        draws: How many.
    """
    generator = np.random.default_rng(1)
    for _ in range(draws):
        yield generator.standard_normal(len(networks))


def oracle_name(noise: float) -> str:
    """Return how an oracle is called."""
    return f"target + {noise:g} sd of noise"


def oracle(networks: Networks, noise: float, draws: int) -> Iterator[Vector]:
    """Draw g + N(0, ε²), the target itself blurred (Jiang et al. 2020).

    Args:
        networks: N networks.
        noise: ε in standard deviations of g.
        draws: How many.
    """
    generator = np.random.default_rng(2)
    scale = noise * networks.target.std()
    for _ in range(draws):
        yield networks.target + scale * generator.standard_normal(len(networks))


def as_measure(axis: Axis) -> Vector | None:
    """Return a setting's values as if they were a measure; None for one that is no number."""
    if any(isinstance(value, str) or value is None for value in axis.values):
        return None
    return axis.codes.astype(float)
