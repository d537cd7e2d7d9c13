"""How a measure says what it needs beyond the usual content of a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gsnr_sweep.training.requirements import Probe, Requirements

if TYPE_CHECKING:
    from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "requirements"


def requires(
    *,
    signs: bool = False,
    weights: bool = False,
    gradient_change: bool = False,
    previous: bool = False,
    own_steps: bool = False,
    milestones: Iterable[str] = (),
    probe: Probe | None = None,
    probe_passes: float = 1.0,
    probe_test_passes: float = 0.0,
) -> Callable[[F], F]:
    """Mark a measure, as a decorator.

    Args:
        signs: It reads ``snapshot.positive`` and ``snapshot.negative``.
        weights: It reads ``snapshot.weights``.
        gradient_change: It reads ``snapshot.step_gradient`` and ``snapshot.next_gradient``.
        previous: It reads ``snapshot.previous``, ``snapshot.weights`` and
            ``snapshot.step_gradient``.
        own_steps: It reads ``snapshot.own`` and ``snapshot.preconditioner``.
        milestones: It reads these of ``snapshot.milestones``.
        probe: Called as ``probe(replica, followed)`` before each replica's step; the measure reads
            what it returned, one entry a replica, from ``snapshot.probed[measure's __name__]``.
        probe_passes: About what the probe costs for each training sample, in units of a forward
            pass, for estimates.
        probe_test_passes: The same for each test sample.
    """

    def mark(measure: F) -> F:
        probes = {measure.__name__: probe} if probe else {}
        passes = (probe_passes, probe_test_passes) if probe else (0.0, 0.0)
        asked = (signs, weights, gradient_change, previous, own_steps, frozenset(milestones))
        setattr(measure, _MARK, Requirements(*asked, probes, *passes))
        return measure

    return mark


def requirements_of(measures: Mapping[str, Callable[..., Any]]) -> Requirements:
    """Return what a set of measures requires together."""
    return Requirements.union(
        getattr(measure, _MARK, Requirements()) for measure in measures.values()
    )


class NotRequiredError(ValueError):
    """A measure reads what no measure has asked for."""


def require(value: Tensor | None) -> Tensor:
    """Return a snapshot's optional field, which must be there.

    Raises:
        NotRequiredError: It is not: the measure is not marked with `requires`.
    """
    if value is None:
        raise NotRequiredError(
            "the snapshot does not hold this: mark the measure with @requires(...)"
        )
    return value
