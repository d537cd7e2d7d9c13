"""Randomized labels: rates, targets and coupling, against the definitions."""

import math

import pytest
import torch
from torch import Tensor

from gsnr_sweep.data.label_noise import randomize_labels
from gsnr_sweep.data.seeding import Stream

N, CLASSES = 100_000, 10
TRUE = torch.arange(N) % CLASSES


def _randomized(p: float, kind: str, *, seed: int = 0, index: int = 0, n: int = N) -> Tensor:
    return randomize_labels(TRUE[:n], CLASSES, p, kind, seed, Stream.TRAIN_LABELS, index)  # type: ignore[arg-type]


def _within(found: float, expected: float, count: int) -> bool:
    """Whether a share lies within 4.5 standard errors of its expectation."""
    return abs(found - expected) <= 4.5 * math.sqrt(expected * (1 - expected) / count) + 1e-12


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
@pytest.mark.parametrize(("kind", "share"), [("uniform", 0.9), ("different", 1.0)])
def test_as_many_labels_change_as_the_definition_says(p: float, kind: str, share: float) -> None:
    changed = (_randomized(p, kind) != TRUE).double().mean().item()
    assert _within(changed, p * share, N)


def test_different_at_one_changes_every_label() -> None:
    assert bool((_randomized(1.0, "different") != TRUE).all())


@pytest.mark.parametrize("kind", ["uniform", "different"])
def test_changed_labels_spread_evenly_over_the_other_classes(kind: str) -> None:
    labels = _randomized(0.6, kind)
    offsets = ((labels - TRUE) % CLASSES)[labels != TRUE]
    counts = torch.bincount(offsets, minlength=CLASSES)
    assert counts[0] == 0
    for count in counts[1:].tolist():
        assert _within(count / len(offsets), 1 / 9, len(offsets))


@pytest.mark.parametrize("kind", ["uniform", "different"])
def test_a_label_replaced_at_one_rate_is_replaced_alike_at_any_larger_one(kind: str) -> None:
    little, much = _randomized(0.2, kind), _randomized(0.5, kind)
    touched = little != TRUE
    assert bool((much[touched] == little[touched]).all())
    assert int((much != TRUE).sum()) > int(touched.sum())


def test_zero_changes_nothing_and_the_given_labels_are_left_alone() -> None:
    before = TRUE.clone()
    assert torch.equal(_randomized(0.0, "uniform"), TRUE)
    _randomized(0.7, "uniform")
    assert torch.equal(before, TRUE)


def test_a_longer_set_begins_like_a_shorter_one() -> None:
    assert torch.equal(_randomized(0.5, "uniform", n=50), _randomized(0.5, "uniform")[:50])


def test_sets_seeds_and_streams_have_their_own_noise() -> None:
    labels = [
        _randomized(0.5, "uniform"),
        _randomized(0.5, "uniform", index=1),
        _randomized(0.5, "uniform", seed=1),
        randomize_labels(TRUE, CLASSES, 0.5, "uniform", 0, Stream.TEST_LABELS),
    ]
    for i, one in enumerate(labels):
        for other in labels[:i]:
            # both true (0.55²) or equal by chance: far from identical
            assert (one == other).double().mean().item() < 0.5
