"""Epochs to measure at, from the few words that name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MOST_EPOCHS = 10**12
MOST_MEASURED = 100_000
FORMS = (
    "a list of epochs such as [20,100], of steps such as step:200 and of end, or auto, every:K, or "
    "log:K"
)
_USUAL = (20, 100)
_END = "end"


def epochs_of(schedule: Any, epochs: int, steps_an_epoch: int = 1) -> list[float]:
    """Return the epochs that a schedule names.

    Args:
        schedule: ``auto`` for epochs 20 and 100, of a shorter training its last epoch in place of
            what lies beyond; a list of epochs, in which ``step:K`` stands for the epoch, or the
            fraction of one, that K steps of the training rule make, and ``end`` for the last;
            ``every:K`` for every K-th one; or ``log:K`` for K epochs whose logarithms are evenly
            spaced (fewer where they fall together). These two begin at epoch 0, that is at the
            initial weights, and end at the last epoch. A single ``step:K`` or ``end`` is a list of
            one.
        epochs: Number of epochs E to train for.
        steps_an_epoch: Steps of the training rule in each.

    Returns:
        The epochs, in ascending order unless they were listed.

    Raises:
        ValueError: It is none of these, or names more than `MOST_MEASURED` epochs. Their number is
            judged before the epochs are made.

    Example:
        >>> epochs_of("every:4", 10)
        [0, 4, 8, 10]
        >>> epochs_of("log:5", 1000)
        [0, 1, 10, 100, 1000]
        >>> epochs_of([1, "step:5", "end"], 10, steps_an_epoch=4)
        [1, 1.25, 10]
    """
    if isinstance(schedule, str) and re.fullmatch(r"step:.*|end", schedule):
        schedule = [schedule]
    if isinstance(schedule, list | tuple):
        return [_epoch(one, epochs, steps_an_epoch) for one in schedule]
    if schedule == "auto":
        return sorted({min(epoch, epochs) for epoch in _USUAL})
    match = re.fullmatch(r"(every|log):(\d{1,18})", str(schedule))
    if not match or int(match[2]) < 1:
        raise ValueError(f"give {FORMS}, with K at least 1")
    count = int(match[2])
    if match[1] == "every":
        _judge_number(epochs // count + 2, f"every:{epochs // MOST_MEASURED + 1}")
        return sorted({*range(0, epochs + 1, count), epochs})
    if count < 2:
        raise ValueError("log:K needs K at least 2: the first epoch and the last")
    _judge_number(count, "log:30")
    steps = count - 2
    spaced = {round(max(epochs, 1) ** (i / steps)) for i in range(steps)}
    return sorted({0, *(epoch for epoch in spaced if epoch < epochs), epochs})


def with_end(schedule: Sequence[float], epochs: int) -> list[float]:
    """Return a schedule of a training that may stop before: its end, wherever that is, counts."""
    return [*schedule, *([] if epochs in schedule else [epochs])]


def _epoch(one: Any, epochs: int, steps_an_epoch: int) -> float:
    """Return the epoch that an entry of a list names."""
    if isinstance(one, int) and not isinstance(one, bool):
        return one
    if one == _END:
        return epochs
    match = re.fullmatch(r"step:(\d{1,18})", one) if isinstance(one, str) else None
    if not match:
        raise ValueError(f"{one!r} is no epoch; give {FORMS}")
    whole, within = divmod(int(match[1]), steps_an_epoch)
    return int(match[1]) / steps_an_epoch if within else whole


def _judge_number(measured: int, instead: str) -> None:
    """Refuse a schedule whose record would not fit into memory, before it is made."""
    if measured > MOST_MEASURED:
        raise ValueError(
            f"that is {measured:,} measurements, more than {MOST_MEASURED:,}; give for example "
            f"{instead}"
        )
