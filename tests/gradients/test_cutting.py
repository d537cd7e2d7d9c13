"""Which cuts are chosen."""

from itertools import combinations

import pytest

from gsnr_sweep.gradients.cutting import Cutting, Place, _bytes

# Eight layers, those at odd positions normalize; early ones are large, as in a network of images.
PLACES = [Place(2 * i + 1, {i: size}, size) for i, size in enumerate([64, 32, 32, 16, 16, 8, 8, 8])]
CUTTING = Cutting([100.0, 1.0] * 8, [place.position for place in PLACES], PLACES)
N = 10


@pytest.mark.parametrize("forward_only", [False, True])
@pytest.mark.parametrize("memory", [0, 100, 500, 1000, 2000, 10**6])
def test_they_keep_to_the_memory(memory: int, forward_only: bool) -> None:
    chosen = CUTTING.chosen(N, memory, forward_only)
    assert not chosen or N * _bytes(chosen, forward_only) <= memory
    positions = [place.position for place in chosen]
    assert positions == sorted(set(positions))
    left = [place for place in PLACES if place not in chosen]
    assert all(N * _bytes([*chosen, place], forward_only) > memory for place in left) or not left


def test_no_memory_no_cuts_and_with_enough_all() -> None:
    assert CUTTING.chosen(N, 0) == []
    assert CUTTING.chosen(N, 10**6) == PLACES


@pytest.mark.parametrize("memory", [300, 700, 1200, 1800, 2500])
def test_passes_are_near_the_fewest_possible(memory: int) -> None:
    """Against all choices there are."""
    best = min(
        CUTTING._cost(some)
        for count in range(len(PLACES) + 1)
        for some in combinations(PLACES, count)
        if not some or N * _bytes(some, False) <= memory
    )
    assert CUTTING._cost(CUTTING.chosen(N, memory)) <= 1.35 * best


def test_values_that_cuts_share_count_once() -> None:
    skipped = {"skip": 50}
    a, b = Place(1, {"a": 10, **skipped}, 60), Place(3, {"b": 10, **skipped}, 60)
    assert _bytes([a, b], False) == 10 + 10 + 50 + 2 * 60
    assert _bytes([a, b], True) == 120


def test_a_cut_makes_as_many_passes_as_a_part_has_layers() -> None:
    costs = [1.0] * 16
    cutting = Cutting(costs, CUTTING.normalizing, PLACES)
    assert cutting._cost([]) == 9 * 16
    assert cutting._cost(PLACES) == 1 * 1 + 1 * 15
    assert cutting._cost([PLACES[4]]) == 5 * 9 + 4 * 7
