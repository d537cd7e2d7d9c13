"""Where to cut a network whose passes over a large set go part by part."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Place:
    """A place before a layer that normalizes.

    Attributes:
        position: Among the network's operations.
        kept: Bytes a sample of each value that has to be kept for a cut here; cuts share values.
        gradients: Bytes a sample of the gradients by what is alive here.
    """

    position: int
    kept: Mapping[Hashable, int]
    gradients: int


@dataclass(frozen=True)
class Cutting:
    """What a choice is made by.

    Attributes:
        costs: Of each of the network's operations in a pass.
        normalizing: Positions of the layers that normalize.
        places: Where cuts are possible.
    """

    costs: Sequence[float]
    normalizing: Sequence[int]
    places: Sequence[Place]

    def chosen(self, n: int, memory: int, forward_only: bool = False) -> list[Place]:
        """Choose cuts that save most for the memory that they take.

        Args:
            n: Samples.
            memory: Bytes that may be kept: for n samples what the cuts need and, of one cut at a
                time, gradients twice.
            forward_only: Whether no backward pass follows, which needs what is kept again: then a
                cut is given up for the next.
        """
        chosen: list[Place] = []
        left = list(self.places)
        while left:
            now = self._cost(chosen)
            best = max(left, key=lambda place: self._saving(now, chosen, place))
            left.remove(best)
            if n * _bytes([*chosen, best], forward_only) <= memory:
                chosen.append(best)
        return sorted(chosen, key=lambda place: place.position)

    def _saving(self, now: float, chosen: Sequence[Place], place: Place) -> float:
        return (now - self._cost([*chosen, place])) / max(1, sum(place.kept.values()))

    def _cost(self, chosen: Sequence[Place]) -> float:
        """Of all passes: through a part as many as it has layers that normalize."""
        total = 0.0
        ends = sorted(place.position for place in chosen)
        for start, end in pairwise([0, *ends, len(self.costs)]):
            norms = sum(start <= position < end for position in self.normalizing)
            total += (norms + (start == 0)) * sum(self.costs[start:end])
        return total


def _bytes(chosen: Sequence[Place], forward_only: bool) -> int:
    if forward_only:
        ordered = sorted(chosen, key=lambda place: place.position)
        sizes = [sum(place.kept.values()) for place in ordered]
        return max(sizes[::2]) + max(sizes[1::2], default=0)  # two pieces of memory take turns
    kept = {key: size for place in chosen for key, size in place.kept.items()}
    return sum(kept.values()) + 2 * max(place.gradients for place in chosen)
