"""Trained networks made up: a grid of settings with targets and measures given as formulas."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from gsnr_sweep.analysis.axes import seed_numbers
from gsnr_sweep.analysis.ranking.networks import Networks, Vector, signs

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "reference.json").read_text())
AXES = ("width", "lr", "depth")


def reference() -> tuple[Networks, Vector]:
    """The networks of the reference values, and their measure."""
    frame = DataFrame(REFERENCE["theta"], columns=list(AXES)).assign(g=REFERENCE["g"])
    return Networks.of(frame, AXES, seed_numbers(frame), "g"), np.array(REFERENCE["mu"])


def grid(seeds: int, noise: float = 0.5, seed: int = 0) -> tuple[Networks, Vector]:
    """Networks of a 3 × 3 × 2 grid and some seeds; target and measure share what settings do.

    A seed shifts all its networks, and changes how much the settings do.
    """
    generator = np.random.default_rng(seed)
    places = np.array(list(product(range(3), range(3), range(2))), dtype=float)
    rows = []
    for number in range(seeds):
        tilt, shift = generator.normal(size=3), generator.normal()
        target = places @ (np.array([1, 0.5, 0.2]) + 0.5 * noise * tilt) + noise * shift
        measure = places @ (np.array([1, 0.3, -0.2]) + 0.2 * noise * tilt) + 0.3 * noise * shift
        target += noise * generator.normal(size=len(places))
        measure += noise * generator.normal(size=len(places))
        rows.append(np.column_stack([places, np.full(len(places), number), target, measure]))
    frame = DataFrame(np.concatenate(rows), columns=[*AXES, "seed", "g", "mu"])
    return Networks.of(frame, AXES, seed_numbers(frame), "g"), frame["mu"].to_numpy()


def agreement(networks: Networks, measure: Vector) -> Any:
    """sign(μ_i − μ_j) sign(g_i − g_j)."""
    return signs(measure) * signs(networks.target)
