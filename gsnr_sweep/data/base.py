"""What a data set must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gsnr_sweep.data.samples import Samples


@dataclass(frozen=True)
class DataSpec:
    """What is known of a distribution before anything is drawn.

    Attributes:
        name: The data set's name.
        input_shape: Shape of one input, without the sample axis.
        n_outputs: Classes of a classification, targets of a regression.
        task: What the targets are, and with that the usual loss: cross entropy of labels, or the
            squared error.
        n_train: Largest training set that can be drawn; None for any size.
        n_test: Largest test set that can be drawn; None for any size.
        source: One line on where the data come from, for logs.
        classes: Labels of the classes in order, where they are known.
        doubts: What of a user's data may be meant otherwise, a sentence each.
        inputs: ``numbers``, or ``tokens``: whole numbers from 0 that a network looks up.
    """

    name: str
    input_shape: tuple[int, ...]
    n_outputs: int
    task: Literal["classification", "regression"]
    n_train: int | None
    n_test: int | None
    source: str
    classes: tuple[int, ...] = ()
    doubts: tuple[str, ...] = ()
    inputs: Literal["numbers", "tokens"] = "numbers"


class Distribution(Protocol):
    """A data distribution Z that training sets and test sets can be drawn from."""

    @property
    def spec(self) -> DataSpec:
        """Shapes and sizes; must not read the whole data."""
        ...

    def prepare(self) -> None:
        """Fetch what draws need, once, before any run starts.

        Raises:
            GsnrError: The data are not there and cannot be fetched.
        """
        ...

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        """Draw training set number `m` of size `n`, true labels."""
        ...

    def test_set(self, n: int, seed: int) -> Samples:
        """Draw the test set of size `n`, true labels."""
        ...
