"""What a measured step must leave behind beyond what every measure can use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Probe = Callable[..., Any]
"""Looks at a `Replica` at θ_t and at the followed parameters; returns what a measure reads."""


@dataclass(frozen=True)
class Wanted:
    """Things that cost time or memory, made only for the measures that ask for them.

    Attributes:
        weights: The weights θ_t.
        gradient_change: The full-batch gradient before and after the step, one more pass.
        probes: Looks at each replica before its step, by the measure's name.
    """

    weights: bool = False
    gradient_change: bool = False
    probes: Mapping[str, Probe] = field(default_factory=dict)

    @classmethod
    def union(cls, parts: Iterable[Wanted]) -> Wanted:
        """Return what any of the parts wants."""
        parts = list(parts)
        return cls(
            any(part.weights for part in parts),
            any(part.gradient_change for part in parts),
            {name: probe for part in parts for name, probe in part.probes.items()},
        )
