"""Peers that are not installed everywhere; they are imported in their own process."""

from __future__ import annotations

import importlib.util
from typing import Any


def has_jax() -> bool:
    """Say whether JAX is installed."""
    return importlib.util.find_spec("jax") is not None


def jax_replicas(*arguments: Any) -> Any:
    """Build `benchmarks.peers.in_jax.Replicas`."""
    from benchmarks.peers.in_jax import Replicas

    return Replicas(*arguments)


def jax_moments(*arguments: Any) -> Any:
    """Build `benchmarks.peers.in_jax.PerSampleGradients`."""
    from benchmarks.peers.in_jax import PerSampleGradients

    return PerSampleGradients(*arguments)
