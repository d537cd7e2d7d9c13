"""Margins against loops and numpy's percentiles."""

import math

import numpy as np
import pytest
import torch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.margin import margin_at, margins
from tests.measures.complexity.networks import NETWORKS, VECTORS, wide


@pytest.mark.parametrize("name", NETWORKS)
def test_margins_of_the_reference(name: str) -> None:
    given = VECTORS[name]
    outputs, labels = wide(given["logits"]), torch.tensor(given["labels"])
    found = margins(outputs, labels)
    np.testing.assert_allclose(found, given["margins"], rtol=1e-9)
    assert margin_at(found) == pytest.approx(given["margin_percentile5"], rel=1e-9)
    assert margin_at(found, rule="order") == pytest.approx(given["margin_order"], rel=1e-9)
    # The next margin is the lowest that two margins lie strictly below.
    beyond = sorted(found.tolist())[2]
    assert beyond == pytest.approx(given["margin_order_next"], rel=1e-9)
    noisy = margin_at(margins(outputs, torch.tensor(given["noisy_labels"])))
    assert noisy == pytest.approx(given["margin_percentile5_noisy_labels"], rel=1e-9)
    assert noisy < 0


def test_margins_are_those_of_a_loop() -> None:
    outputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(50) % 4
    expected = [
        row[y] - max(v for k, v in enumerate(row) if k != y)
        for row, y in zip(outputs.double().tolist(), labels.tolist(), strict=True)
    ]
    found = margins(outputs, labels)
    assert found.dtype == torch.float64
    assert found.tolist() == expected
    assert min(expected) < 0 < max(expected)


@pytest.mark.parametrize("n", [1, 2, 19, 20, 21, 30, 100, 101])
@pytest.mark.parametrize("epsilon", [0.001, 0.05, 0.07, 0.1, 0.3])
def test_both_rules(n: int, epsilon: float) -> None:
    found = torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    linear = np.percentile(found.numpy(), 100 * epsilon)
    assert margin_at(found, epsilon) == pytest.approx(linear, rel=1e-12, abs=1e-12)
    order = margin_at(found, epsilon, "order")
    needed = math.ceil(round(epsilon * 1000) * n / 1000)
    assert sum(found <= order) == needed
    # Anything above it has as many below it, up to the next margin; anything lower has fewer.
    assert sum(found < np.nextafter(order, math.inf)) == needed
    assert sum(found < order) == needed - 1


@pytest.mark.parametrize(
    ("outputs", "labels", "said"),
    [
        (torch.zeros(3, 1), torch.zeros(3, dtype=torch.long), "at least two classes"),
        (torch.zeros(3), torch.zeros(3, dtype=torch.long), "[3]"),
        (torch.zeros(3, 2), torch.zeros(2, dtype=torch.long), "one class index a sample"),
        (torch.zeros(3, 2), torch.zeros(3), "torch.float32"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), "labels from 0 to 1"),
        (torch.zeros(3, 2), torch.tensor([0, 1, -1]), "from -1 to 1"),
        (torch.full((3, 2), math.nan), torch.tensor([0, 1, 1]), "NaN"),
    ],
)
def test_what_has_no_margins(outputs: torch.Tensor, labels: torch.Tensor, said: str) -> None:
    with pytest.raises(GsnrError) as error:
        margins(outputs, labels)
    assert said in str(error.value)


def test_what_is_no_margin_of_a_training_set() -> None:
    with pytest.raises(GsnrError, match="margins of its samples"):
        margin_at(torch.zeros(0))
    for epsilon in (0.0, 1.0, math.nan):
        with pytest.raises(GsnrError, match="no share"):
            margin_at(torch.ones(3), epsilon)
    with pytest.raises(GsnrError, match="interpolated and order"):
        margin_at(torch.ones(3), rule="lowest")  # type: ignore[arg-type]
