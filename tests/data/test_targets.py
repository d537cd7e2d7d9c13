"""What targets are taken for: labels of classes or numbers to be met, and what is doubtful."""

from typing import Any

import numpy as np
import pytest
import torch

from gsnr_sweep.data.targets import Targets, describe_values
from gsnr_sweep.errors import GsnrError

AUTO = "auto"
N = 60


def of(train: Any, task: str = AUTO, test: Any = None) -> Targets:
    y = np.asarray(train)
    return Targets.of("data.path=mine.npz", y, y if test is None else np.asarray(test), task)


def told(train: Any, task: str = AUTO, test: Any = None) -> str:
    with pytest.raises(GsnrError) as refusal:
        of(train, task, test)
    said = str(refusal.value)
    assert said.startswith("data.path=mine.npz: ")
    assert "\n" not in said
    return said


LABELS: list[tuple[Any, Any]] = [
    *[(range(1, 11), dtype) for dtype in (np.uint8, np.int32, np.int64, np.uint64)],
    *[(labels, np.int64) for labels in (range(3), (0, 99_999), (3, 2_000_000_000), (7, 8, 255))],
    *[((7, 8, 255), np.uint8), ((0, 2**53 - 1), np.uint64)],
]


@pytest.mark.parametrize(("labels", "dtype"), LABELS)
def test_classes_are_the_labels_that_occur_in_order(labels: Any, dtype: Any) -> None:
    y = np.resize(np.array(labels, dtype), N)
    targets = of(y)
    assert (targets.task, targets.n_outputs) == ("classification", len(labels))
    assert targets.classes == tuple(labels)
    encoded = targets.encode(y)
    assert encoded.dtype == torch.int64
    assert encoded.tolist() == [i % len(labels) for i in range(N)]


def test_labels_from_0_are_their_classes_numbers() -> None:
    y = np.arange(N) % 7
    targets = of(y)
    assert torch.equal(targets.encode(y), torch.from_numpy(y))
    assert targets.doubts == ()


@pytest.mark.parametrize("y", [np.arange(N) % 3 - 1, -np.arange(N)])
def test_a_negative_label_is_one_only_if_that_is_said(y: Any) -> None:
    said = told(y)
    assert f"label {y.min()} found; classes are numbered from 0" in said
    assert "data.task=classification" in said
    targets = of(y, "classification")
    assert targets.classes == tuple(sorted(set(y.tolist())))
    assert [targets.classes[i] for i in targets.encode(y)] == y.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_floats_are_classes_where_that_is_said(dtype: Any) -> None:
    y = (np.arange(N) % 3).astype(dtype)
    targets = of(y, "classification")
    assert (targets.classes, targets.doubts) == ((0, 1, 2), ())
    assert targets.encode(y).tolist() == [i % 3 for i in range(N)]
    assert of(y, "regression").doubts == ()
    assert of(y, "regression").encode(y).shape == (N, 1)


@pytest.mark.parametrize("dtype", [float, int, bool])
def test_one_hot_rows_are_classes_where_that_is_said(dtype: Any) -> None:
    y = np.eye(4)[np.arange(N) % 4].astype(dtype)
    targets = of(y, "classification")
    assert targets.classes == (0, 1, 2, 3)
    assert targets.encode(y).tolist() == [i % 4 for i in range(N)]


def test_whole_numbers_are_targets_where_that_is_said() -> None:
    y = np.arange(N)
    targets = of(y, "regression")
    assert (targets.task, targets.n_outputs, targets.classes) == ("regression", 1, ())
    assert targets.encode(y).dtype == torch.float64


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0.0, 1.0, 0.5], "y_train[2] = 0.5 is not a whole number"),
        ([0.0, np.inf, 1.0], "y_train[1] = inf is not a whole number"),
        ([np.nan, 1.0], "y_train[0] = nan is not a whole number"),
        ([1e300, 1.0], "y_train[0] = 1e+300 is not a whole number"),
        ([2**64 - 1, 1], "y_train[0] = 18446744073709551615 is not a whole number"),
        ([[1, 0], [1, 1]], "y_train[1] is not one-hot"),
        ([[1, 0], [0, 0]], "y_train[1] is not one-hot"),
        ([[0.5, 0.5], [0, 1]], "y_train[0] is not one-hot"),
        ([[2, 0], [0, 1]], "y_train[0] is not one-hot"),
    ],
)
def test_what_is_no_label(y: Any, words: str) -> None:
    array = np.array(y, np.uint64) if isinstance(y[0], int) else np.array(y)
    assert words in told(array, "classification")


ONE_HOT = np.eye(4)[np.arange(N) % 4]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.arange(N) % 3 * 1.0, "hold only the whole numbers 0, 1, 2 and are taken, as floats"),
        (np.arange(N)[:, None] % 2 * 1.0, "hold only the whole numbers 0, 1 and"),
        (ONE_HOT, "look one-hot and are taken as 4 targets of a regression"),
        (np.arange(N), "hold 60 different whole numbers, each taken as a class"),
        (np.arange(N) % 3 * 5, "8 of the labels between 0 and 10 do not occur"),
    ],
)
def test_what_may_be_meant_otherwise_is_said(y: Any, words: str) -> None:
    (doubt,) = of(y).doubts
    assert words in doubt
    assert of(y, of(y).task).doubts == ()


@pytest.mark.parametrize(
    "y",
    [
        np.linspace(0, 1, N),
        np.arange(N) * 1.0,  # each value once: rather a count
        np.zeros(N),
        np.linspace(0, 1, 2 * N).reshape(N, 2),
        np.arange(N) % 20,
        np.arange(N) % 3 + 1,
    ],
)
def test_what_is_clear_raises_no_doubt(y: Any) -> None:
    assert of(y).doubts == ()


def test_labels_of_the_test_set_alone_are_said() -> None:
    targets = of([0, 1, 2], test=[0, 3, 4])
    assert targets.n_outputs == 5
    assert targets.doubts == ("labels 3, 4 occur in y_test alone: they cannot be learned.",)


def test_many_values_are_shortened() -> None:
    assert describe_values(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert describe_values(range(11)) == "0, 1, … 10"
