"""Independent random streams, one for each thing that is drawn.

Every draw of a run takes its numbers from a stream named by what it is for, never from a shared
generator. So the same config gives the same draws on any machine, whatever is drawn first and by
whom; a larger n extends the smaller set instead of replacing it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What a stream of random numbers is for. Values are part of the results: never renumber."""

    INITIAL_WEIGHTS = 0
    TRAIN_SAMPLES = 1
    TRAIN_LABELS = 2
    TEST_SAMPLES = 3
    TEST_LABELS = 4
    BATCH_ORDER = 5
    TRAINING_NOISE = 6
    CONFUSION_LABELS = 7


def generators(seed: int, stream: Stream, index: int, count: int) -> list[np.random.Generator]:
    """Return `count` independent generators of one stream.

    Args:
        seed: The run's seed.
        stream: What the numbers are for.
        index: Number of the set within the stream (m for training sets, 0 otherwise).
        count: How many generators; each serves one array, drawn row by row.
    """
    root = np.random.SeedSequence(seed, spawn_key=(int(stream), index))
    return [np.random.Generator(np.random.Philox(child)) for child in root.spawn(count)]


def epoch_generator(seed: int, stream: Stream, index: int, epoch: int) -> np.random.Generator:
    """Return the generator of one replica's epoch.

    Args:
        seed: The run's seed.
        stream: What the numbers are for.
        index: m, the replica's number.
        epoch: Epochs that it has behind it.
    """
    root = np.random.SeedSequence(seed, spawn_key=(int(stream), index, epoch))
    return np.random.Generator(np.random.Philox(root))


@contextmanager
def global_generators_restored(*devices: torch.device) -> Iterator[None]:
    """Put Python's, NumPy's and PyTorch's global random numbers back to where they stood.

    Args:
        devices: GPUs whose generators count, too.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[d for d in devices if d.type == "cuda"]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def global_generators_state(device: torch.device | None = None) -> tuple[object, ...]:
    """Return where all global generators of random numbers stand; can be compared.

    Args:
        device: A GPU whose generator counts, too.
    """
    kind, keys, *rest = np.random.get_state(legacy=True)
    states = [torch.get_rng_state()]
    if device is not None and device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    torch_states = tuple(state.numpy().tobytes() for state in states)
    return (kind, np.asarray(keys).tobytes(), *rest, random.getstate(), *torch_states)


@contextmanager
def global_generators_seeded(
    seed: int, stream: Stream, index: int, step: int, *devices: torch.device
) -> Iterator[None]:
    """Put Python's, NumPy's and PyTorch's global random numbers to one place for a while.

    Args:
        seed: The run's seed.
        stream: What the numbers are for.
        index: m, the replica's number.
        step: Steps that it has behind it.
        devices: GPUs whose generators count, too.
    """
    root = np.random.SeedSequence(seed, spawn_key=(int(stream), index, step))
    first, second = (int(word) for word in root.generate_state(2, np.uint64))
    with global_generators_restored(*devices):
        torch.manual_seed(first >> 1)
        random.seed(first)
        np.random.seed(second % 2**32)
        yield


def torch_seed(seed: int, stream: Stream) -> int:
    """Return a seed for PyTorch's own generator, for code that draws from no other."""
    state = np.random.SeedSequence(seed, spawn_key=(int(stream),)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
