"""Epochs to measure at, from the few words that name them."""

from __future__ import annotations

import re
from typing import Any

MOST_EPOCHS = 10**12
MOST_MEASURED = 100_000
FORMS = "a list of epochs such as [20,100], auto, every:K, or log:K"
_USUAL = (20, 100)


def epochs_of(schedule: Any, epochs: int) -> list[int]:
    """Return the epochs that a schedule names.

    Args:
        schedule: ``auto`` for epochs 20 and 100, of a shorter training its last epoch in place of
            what lies beyond; a list of epochs; ``every:K`` for every K-th one; or ``log:K`` for K
            epochs whose logarithms are evenly spaced (fewer where they fall together). These two
            begin at epoch 0, that is at the initial weights, and end at the last epoch.
        epochs: Number of epochs E to train for.

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
    """
    if isinstance(schedule, list | tuple):
        wrong = [one for one in schedule if not isinstance(one, int) or isinstance(one, bool)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no epoch; give {FORMS}")
        return list(schedule)
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


def _judge_number(measured: int, instead: str) -> None:
    """Refuse a schedule whose record would not fit into memory, before it is made."""
    if measured > MOST_MEASURED:
        raise ValueError(
            f"that is {measured:,} measurements, more than {MOST_MEASURED:,}; give for example "
            f"{instead}"
        )
