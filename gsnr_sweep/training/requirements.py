"""What a measured step must leave behind beyond what every measure can use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gsnr_sweep.errors import GsnrError

Probe = Callable[..., Any]
"""Looks at a `Replica` at θ_t and at the followed parameters; returns what a measure reads."""

_GRADIENT_PASSES = 3.0


@dataclass(frozen=True)
class Requirements:
    """Things that cost time or memory, made only for the measures that ask for them.

    Attributes:
        signs: How many per-sample gradients are positive, and how many negative.
        weights: The weights θ_t.
        gradient_change: The full-batch gradient before and after the step, one more pass.
        previous: Weights and full-batch gradient, now and at the measured step before.
        milestones: Marks of `training.milestones` whose first epochs are to be known, for which
            the training set is judged after each epoch.
        own_steps: Losses after the training rule's own next steps, which are taken back.
        probes: Looks at each replica before its step, by the measure's name.
        at_end: Names of the probes that look at the end of training only.
        probe_passes: What they cost for each training sample, in units of a forward pass.
        probe_test_passes: The same for each test sample.
    """

    signs: bool = False
    weights: bool = False
    gradient_change: bool = False
    previous: bool = False
    own_steps: bool = False
    milestones: frozenset[str] = frozenset()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    probe_passes: float = 0.0
    probe_test_passes: float = 0.0
    at_end: frozenset[str] = frozenset()

    @property
    def passes(self) -> float:
        """Cost of it all for each training sample, in units of a forward pass."""
        return self.probe_passes + (_GRADIENT_PASSES if self.gradient_change else 0.0)

    def at(self, *, is_end: bool) -> Requirements:
        """Return what is required of one measured step.

        Args:
            is_end: Whether training ends there.
        """
        if is_end or not self.at_end:
            return self
        probes = {name: probe for name, probe in self.probes.items() if name not in self.at_end}
        return replace(self, probes=probes)

    @classmethod
    def union(cls, parts: Iterable[Requirements]) -> Requirements:
        """Return what any of the parts requires.

        Raises:
            GsnrError: Two measures of one name have different probes.
        """
        parts = list(parts)
        probes: dict[str, Probe] = {}
        for name, probe in (item for part in parts for item in part.probes.items()):
            if probes.setdefault(name, probe) is not probe:
                raise GsnrError(f"Two measures called {name} have a probe each: rename one.")
        return cls(
            any(part.signs for part in parts),
            any(part.weights for part in parts),
            any(part.gradient_change for part in parts),
            any(part.previous for part in parts),
            any(part.own_steps for part in parts),
            frozenset[str]().union(*(part.milestones for part in parts)),
            probes,
            sum(part.probe_passes for part in parts),
            sum(part.probe_test_passes for part in parts),
            frozenset[str]().union(*(part.at_end for part in parts)),
        )
