"""A user's data as batches (x, y), which may be gone through several times."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.user_code import call, told

Data: TypeAlias = (
    "DataLoader[Any] | Dataset[Any] | tuple[Any, Any] | list[Any] | Iterable[tuple[Tensor, Tensor]]"
)
"""A DataLoader, a Dataset of samples (x, y), two tensors (x, y), or batches (x, y)."""

_ALLOWED = "a DataLoader, a Dataset of samples (x, y), two tensors (x, y), or batches (x, y)"
_BATCH = 256  # of a Dataset; passes through the network have sizes of their own
_EXAMPLES = 3
_END = object()
_PRINT_ROUNDING = 1e-10


def is_one_set(data: object) -> bool:
    """Tell one set of samples from a list of sets."""
    if isinstance(data, DataLoader | Dataset):
        return True
    return isinstance(data, tuple | list) and len(data) == 2 and all(map(_is_array, data))


class SampleSet:
    """The samples of one of the user's arguments.

    Where there are several passes, each must meet the same samples: losses before and after a step
    would else be of different sets.
    """

    def __init__(self, name: str, data: Data, repeated: bool = False) -> None:
        """Look at the data, without reading them.

        Args:
            name: The argument, for messages.
            data: What the user gave.
            repeated: Whether there will be several passes.

        Raises:
            GsnrError: It is nothing that samples can be read from.
        """
        self.name, self._repeated, self._prints = name, repeated, torch.empty(0)
        self._first: Iterator[tuple[Tensor, Tensor]] | None = None
        self._passes = 0
        self._source = _source_of(name, data)
        if repeated and isinstance(self._source, Iterator):
            raise GsnrError(
                f"{name}: this is an iterator, which can be gone through once only, and several "
                "passes are needed. Give a list of its batches, a DataLoader or a Dataset."
            )
        self.generators = _generators_of(self._source)

    @property
    def length(self) -> int | None:
        """Number of samples where the data say it beforehand."""
        source = self._source
        try:
            if isinstance(source, DataLoader):
                return len(source.sampler)  # type: ignore[arg-type]
            return len(source[0][0]) if isinstance(source, list) and len(source) == 1 else None
        except TypeError:  # an iterable data set does not know
            return None

    def examples(self) -> tuple[Tensor, Tensor]:
        """Return the first samples, at least two, without spending a pass.

        Raises:
            GsnrError: There are fewer than two samples, or they cannot be read.
        """
        if self._first is None:
            self._first = self._read()
        head: list[tuple[Tensor, Tensor]] = []
        while sum(len(x) for x, _ in head) < _EXAMPLES:
            following = next(self._first, None)
            if following is None:
                break
            head.append(following)
            if len(head) > 1 and head[0][0].shape[1:] != following[0].shape[1:]:
                break  # sequences of other lengths do not go together
        self._first = itertools.chain(head, self._first)
        alike = [(x, y) for x, y in head if x.shape[1:] == head[0][0].shape[1:]]
        count = sum(len(x) for x, _ in head)
        if count < 2:
            raise GsnrError(
                f"{self.name}: there {'is one sample' if count else 'are no samples'} in it. A "
                "variance of gradients takes two at least: give more samples, and of a DataLoader "
                "with drop_last=True a batch_size that they fill."
            )
        x, y = torch.cat([x for x, _ in alike]), torch.cat([y for _, y in alike])
        if len(x) == 1:
            x, y = x.repeat_interleave(2, 0), y.repeat_interleave(2, 0)
        return x[:_EXAMPLES], y[:_EXAMPLES]

    def batches(self, in_order: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through all samples, as they are given.

        Args:
            in_order: Whether a later pass must have the order of the one before, too.

        Raises:
            GsnrError: A later pass meets other samples, or the same in another order.
        """
        batches, self._first = self._first or self._read(), None
        prints = []
        for x, y in batches:
            yield x, y
            if self._repeated:
                prints.append(_prints(x, y))
        self._compare(torch.cat(prints) if prints else torch.empty(0), in_order)
        self._passes += 1

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        source: Any = self._source
        if isinstance(source, DataLoader):
            # Workers that persist belong to the loop that the loader may be in the middle of.
            source = copy.copy(source)
            source._iterator = None
        where = f"{self.name}: it"
        try:
            iterator = call(where, iter, source)
            while (batch := call(where, next, iterator, _END)) is not _END:
                yield _pair(self.name, batch)
        except GsnrError as error:
            if error.__cause__ is None:
                raise
            raise GsnrError(
                f"{self.name}: its samples cannot be read ({told(error)}). Go through it once "
                "without this tool: it must yield batches (x, y)."
            ) from error.__cause__

    def _compare(self, found: Tensor, in_order: bool) -> None:
        """Hold a pass against the first one by one number a sample."""
        if not self._passes:
            self._prints = found
            return
        known = self._prints
        if len(found) == len(known):
            same_samples = _are_equal(found.sort().values, known.sort().values)
            if _are_equal(found, known) or (same_samples and not in_order):
                return
        if in_order and len(found) == len(known) and same_samples:
            how = "gives its samples in another order each time"
        else:
            how = "gives other samples each time (random augmentation, or a random choice of them?)"
        raise GsnrError(
            f"{self.name}: it {how}. Losses before and after a step must be of the same samples"
            f"{', one by one' if in_order else ''}: give the tensors (x, y), a Dataset without "
            "random transforms, or a DataLoader with shuffle=False over one."
        )


def _source_of(name: str, data: object) -> Any:
    """Return what yields batches when it is iterated."""
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, tuple | list) and len(data) == 2 and all(map(_is_array, data)):
        x, y = (torch.as_tensor(part) for part in data)
        return [_pair(name, (x, y))]
    if isinstance(data, Dataset):
        return DataLoader(data, batch_size=_BATCH)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | dict | Tensor):
        return data
    raise GsnrError(
        f"{name}: this is {_kind(data)}, from which no samples can be read. Give {_ALLOWED}."
    )


def _pair(name: str, batch: object) -> tuple[Tensor, Tensor]:
    """Return a batch's inputs and targets.

    Raises:
        GsnrError: It is something else.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        x, y = batch
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            if x.dim() and y.dim() and len(x) == len(y):
                return (x.clone(), y.clone()) if x.is_inference() or y.is_inference() else (x, y)
            raise GsnrError(
                f"{name}: inputs have the shape {tuple(x.shape)} and targets the shape "
                f"{tuple(y.shape)}. A batch needs as many targets as inputs, [N, ...] both."
            )
        what = f"of {_kind(x)} and {_kind(y)}"
    elif isinstance(batch, tuple | list):
        what = f"of {len(batch)} parts"
    elif isinstance(batch, dict):
        what = f"a dict with the keys {sorted(map(str, batch))}"
    else:
        what = _kind(batch)
    raise GsnrError(
        f"{name}: a batch is {what}. Batches (x, y) of two tensors are understood, and a network "
        "that is called as model(x): give a collate_fn that returns such pairs, and wrap a network "
        "of several inputs in a module that takes them apart."
    )


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _prints(x: Tensor, y: Tensor) -> Tensor:
    """Return one number a sample that another sample is unlikely to have, [N] float64."""
    with torch.no_grad():
        numbers = [t.detach().reshape(len(t), -1).cpu().double() for t in (x, y)]
        waves = [n @ torch.arange(1, n.shape[1] + 1).double().cos() for n in numbers]
        return waves[0] + waves[1]


def _generators_of(source: object) -> list[torch.Generator]:
    """List the generators that a pass draws from, beside the global ones."""
    holders = [source, getattr(source, "sampler", None)]
    holders.append(getattr(getattr(source, "batch_sampler", None), "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return [g for g in {id(g): g for g in found}.values() if isinstance(g, torch.Generator)]


def _are_equal(found: Tensor, known: Tensor) -> bool:
    """Tell whether prints are the same up to rounding, which depends on a sample's place."""
    scale = float(known.abs().max()) if len(known) else 0.0
    return torch.allclose(
        found, known, rtol=_PRINT_ROUNDING, atol=_PRINT_ROUNDING * scale, equal_nan=True
    )
