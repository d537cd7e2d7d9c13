"""What the targets of a user's own arrays are: labels of classes, or numbers to be met.

Whole numbers are taken as class labels and floats as the targets of a regression, unless
``data.task`` says otherwise. Classes are the labels that occur, in order: labels 1 to 10 are ten
classes, and a stray label of 99999 is one more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsnr_sweep.data.arrays import describe_index
from gsnr_sweep.errors import GsnrError

AUTO, CLASSIFICATION, REGRESSION = "auto", "classification", "regression"

_LARGEST = 2**53  # beyond, not every whole number is a float64
# Whole numbers are more likely counts or prices than labels if there are many and each is rare.
_MANY_CLASSES, _FEW_SAMPLES = 20, 5
# Floats are more likely labels if they are whole, few, and each is frequent.
_MOST_LIKELY_LABELS, _ENOUGH_SAMPLES = 100, 2


@dataclass(frozen=True)
class Targets:
    """How targets are understood.

    Attributes:
        task: Decides the loss.
        n_outputs: Classes of a classification, targets a sample of a regression.
        classes: Of a classification, the label of each class in order.
        doubts: What may be meant otherwise, a sentence each.
    """

    task: Literal["classification", "regression"]
    n_outputs: int
    classes: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(cls, where: str, train: NDArray[Any], test: NDArray[Any], task: str) -> Targets:
        """Tell what the targets of both pools are.

        Args:
            where: Key and value that the pools come from.
            train: y_train.
            test: y_test.
            task: ``auto``, ``classification`` or ``regression``.

        Raises:
            GsnrError: They are no labels, or a label is negative and nobody said that it is one.
        """
        if task == REGRESSION or (task == AUTO and train.dtype.kind == "f"):
            doubts = tuple(_doubts_of_floats(train, test)) if task == AUTO else ()
            return cls("regression", math.prod(train.shape[1:]), doubts=doubts)
        pools = {"y_train": train, "y_test": test}
        in_train, in_test = (
            set(np.unique(_labels(where, name, y)).tolist()) for name, y in pools.items()
        )
        classes = tuple(sorted(in_train | in_test))
        if classes[0] < 0 and task == AUTO:
            raise GsnrError(
                f"{where}: label {classes[0]} found; classes are numbered from 0. If it is the "
                "label of a class, say so by data.task=classification; if these are the targets of "
                "a regression, by data.task=regression."
            )
        doubts = tuple(_doubts_of_labels(in_train, in_test, len(train), task))
        return cls("classification", len(classes), classes, doubts)

    def encode(self, y: NDArray[Any]) -> Tensor:
        """Bring targets to the type that losses take.

        Returns:
            [N] int64, the number of each label's class, or [N, outputs] float64.
        """
        if self.task == "regression":
            return torch.from_numpy(y.reshape(len(y), -1).astype(np.float64))
        labels = _labels("y", "y", y)
        return torch.from_numpy(np.searchsorted(np.array(self.classes, np.int64), labels))


def describe_values(values: Sequence[object]) -> str:
    """List values, of many the first and the last."""
    if len(values) <= 10:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, … {values[-1]}"


def _labels(where: str, name: str, y: NDArray[Any]) -> NDArray[np.int64]:
    """Return one label a sample; of one-hot rows the number of the column."""
    if math.prod(y.shape[1:]) != 1:
        rows = y.reshape(len(y), -1)
        wrong = ~_is_one_hot(rows)
        if wrong.any():
            raise _no_labels(where, f"{name}{describe_index((int(wrong.argmax()),))}", "one-hot")
        columns: NDArray[np.int64] = rows.argmax(axis=1).astype(np.int64)
        return columns
    values = y.reshape(-1)
    if values.dtype.kind in "fu":
        numbers = values.astype(np.float64)
        kept = (np.abs(numbers) < _LARGEST) & (numbers == np.floor(numbers))
        if not kept.all():
            i = int(kept.argmin())
            raise _no_labels(where, f"{name}{describe_index((i,))} = {values[i]}", "a whole number")
    labels: NDArray[np.int64] = values.astype(np.int64)
    return labels


def _no_labels(where: str, what: str, needed: str) -> GsnrError:
    return GsnrError(
        f"{where}: {what} is not {needed}, so that it is no class label. Give one whole number or "
        "one one-hot row a sample for a classification, or data.task=regression for targets to be "
        "met."
    )


def _is_one_hot(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each row whether it holds a single 1 and else 0."""
    one: NDArray[np.bool_] = ((rows == 1).sum(axis=1) == 1) & ((rows != 0).sum(axis=1) == 1)
    return one


def _doubts_of_floats(train: NDArray[Any], test: NDArray[Any]) -> Iterator[str]:
    """Say where floats that are taken as targets of a regression look like labels."""
    choose = "data.task=classification makes classes of them, data.task=regression says it is meant"
    pools = [y.reshape(len(y), -1) for y in (train, test)]
    outputs = pools[0].shape[1]
    if outputs > 1:
        if all(_is_one_hot(y).all() for y in pools):
            yield (
                f"y_train and y_test look one-hot and are taken as {outputs} targets of a "
                f"regression: {choose}."
            )
        return
    if not all((y == np.floor(y)).all() for y in pools):
        return
    distinct = np.unique(np.concatenate(pools))
    few = 2 <= len(distinct) <= min(_MOST_LIKELY_LABELS, len(train) / _ENOUGH_SAMPLES)
    if few:
        values = describe_values([f"{value:g}" for value in distinct])
        yield (
            f"y_train and y_test hold only the whole numbers {values} and are taken, as floats, as "
            f"targets of a regression: {choose}."
        )


def _doubts_of_labels(train: set[int], test: set[int], n_train: int, task: str) -> Iterator[str]:
    """Say what is odd about labels that are taken as classes."""
    classes = sorted(train | test)
    if task == AUTO and len(classes) > max(_MANY_CLASSES, n_train / _FEW_SAMPLES):
        yield (
            f"y_train and y_test hold {len(classes)} different whole numbers, each taken as a "
            "class: data.task=regression makes targets of them, data.task=classification says it "
            "is meant."
        )
    if absent := sorted(test - train):
        yield f"labels {describe_values(absent)} occur in y_test alone: they cannot be learned."
    missing = classes[-1] - classes[0] + 1 - len(classes)
    if missing and task == AUTO:
        yield (
            f"{missing} of the labels between {classes[0]} and {classes[-1]} do not occur and are "
            "no classes: data.task=classification says it is meant."
        )
