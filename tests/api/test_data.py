"""What samples may be given in, and what is said of anything else."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from gsnr_sweep import GradientStatistics, gradient_statistics
from gsnr_sweep.errors import GsnrError

X, Y = torch.randn(21, 4), torch.arange(21) % 3
MODEL = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(X, Y, strict=True)


def of(data: object) -> GradientStatistics:
    return gradient_statistics(MODEL, data)  # type: ignore[arg-type]


WAYS: dict[str, Callable[[], object]] = {
    "tensors": lambda: (X, Y),
    "list of tensors": lambda: [X, Y],
    "arrays": lambda: (X.numpy(), Y.numpy()),
    "data set": lambda: TensorDataset(X, Y),
    "loader": lambda: DataLoader(TensorDataset(X, Y), 5),
    "shuffling loader": lambda: DataLoader(TensorDataset(X, Y), 5, shuffle=True),
    "loader of single samples": lambda: DataLoader(TensorDataset(X, Y)),
    "loader with workers": lambda: DataLoader(TensorDataset(X, Y), 5, num_workers=2),
    "iterable data set": Stream,
    "loader of it": lambda: DataLoader(Stream(), 4),
    "batches": lambda: [(X[:8], Y[:8]), (X[8:], Y[8:])],
    "generator": lambda: ((x, y) for x, y in zip(X.split(4), Y.split(4), strict=True)),
    "in float32": lambda: (X.float(), Y),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_give_the_same_numbers(way: str) -> None:
    found, expected = of(WAYS[way]()), of((X, Y))
    assert found.n == 21
    for key, variance in expected.variance.items():
        torch.testing.assert_close(found.variance[key], variance, rtol=1e-10, atol=1e-14)


def test_a_samplers_choice_is_the_set() -> None:
    places = [0, 3, 4, 7]
    sampler = torch.utils.data.SubsetRandomSampler(places)
    found = of(DataLoader(TensorDataset(X, Y), 2, sampler=sampler))
    expected = of(Subset(TensorDataset(X, Y), places))
    assert found.n == 4
    torch.testing.assert_close(found.variance["0.weight"], expected.variance["0.weight"])


def test_sequences_of_several_lengths() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.embed(tokens).mean(1))

    model = Mean().double()
    batches = [(torch.randint(0, 7, (2, length)), torch.arange(2)) for length in (3, 5, 4)]
    singles = [(x[i : i + 1], y[i : i + 1]) for x, y in batches for i in range(2)]
    one, other = (gradient_statistics(model, data) for data in (batches, singles))
    torch.testing.assert_close(one.variance["embed.weight"], other.variance["embed.weight"])


@pytest.mark.parametrize("memory_limit", [1, 10**5, 10**9])
def test_chunks_follow_the_memory_limit(memory_limit: int) -> None:
    sizes = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(400, 50), nn.Tanh(), nn.Linear(50, 3)).double()
    model.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    x, y = torch.randn(300, 400), torch.arange(300) % 3
    found = gradient_statistics(model, (x, y), memory_limit=memory_limit)
    most = max(sizes)
    assert {1: most == 3, 10**5: 3 < most < 20, 10**9: most >= 150}[memory_limit]
    assert found.n == 300


class Fails(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return 9

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        if place > 6:
            raise FileNotFoundError("7.png")
        return X[place], Y[place]


class Dictionary(Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 9

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"pixels": X[place], "label": Y[place]}


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "nothing": (lambda: None, "data: this is None, from which no samples can be read"),
    "a path": (lambda: "train.npz", "data: this is a value of type str"),
    "inputs alone": (lambda: X, "data: this is a tensor"),
    "one sample": (lambda: (X[:1], Y[:1]), "data: there is one sample in it"),
    "none": (lambda: (X[:0], Y[:0]), "data: there are no samples in it"),
    "empty loader": (
        lambda: DataLoader(TensorDataset(X[:5], Y[:5]), 8, drop_last=True),
        "there are no samples in it.*drop_last=True",
    ),
    "empty list": (list, "there are no samples in it"),
    "unequal": (lambda: (X, Y[:7]), r"shape \(21, 4\) and targets the shape \(7,\)"),
    "dictionaries": (Dictionary, r"a batch is a dict with the keys \['label', 'pixels'\]"),
    "three parts": (lambda: TensorDataset(X, X, Y), "a batch is of 3 parts"),
    "inputs in a tuple": (
        lambda: [((X, X), Y)],
        "a batch is of a value of type tuple and a tensor",
    ),
    "numbers": (lambda: [1.0, 2.0], "a batch is a value of type float"),
    "single samples": (lambda: [(X[0], Y[0]), (X[1], Y[1])], r"targets the shape \(\)"),
    "fails": (Fails, r"its samples cannot be read \(FileNotFoundError: 7.png, test_data.py line"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_answered_in_a_paragraph(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(GsnrError, match=said) as error:
        of(make())
    assert "\n" not in str(error.value)


def test_numpys_integers_are_labels() -> None:
    found = of((X.double().numpy(), Y.numpy().astype(np.int64)))
    assert found.mean["0.weight"].dtype is torch.float64
