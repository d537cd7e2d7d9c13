"""Whole numbers that a network looks up: from files and data sets to measured gradients."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import draw_sets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.preflight.check import check
from gsnr_sweep.runs.runner import build_ensemble
from tests.conftest import expanded, typed_config
from tests.gradients.oracles import per_sample_gradients

WORDS, LENGTH, CLASSES = 7, 5, 3
SIZES = ("n=12", "n_sets=2", "n_test=9", "epochs=2", "measure_at=[2]", "tracking=none", "ch=4")


class Reader(nn.Module):
    """Looks words up and reads them in order."""

    def __init__(self, ch: int, n_outputs: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, ch)
        self.recurrent = nn.GRU(ch, ch, batch_first=True)
        self.head = nn.Linear(ch, n_outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        assert tokens.dtype == torch.int64
        return self.head(self.recurrent(self.embed(tokens))[0][:, -1])


class Sentences:
    """A distribution of the user's own."""

    def __init__(self, dtype: str = "int64", lowest: int = 0, inputs: str = "tokens") -> None:
        self._dtype, self._lowest = getattr(torch, dtype), lowest
        kinds: Any = inputs
        self.spec = DataSpec(
            "sentences", (LENGTH,), CLASSES, "classification", None, None, "here", inputs=kinds
        )

    def prepare(self) -> None:
        """Nothing."""

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        """Draw one."""
        return self._draw(n, 100 * seed + m)

    def test_set(self, n: int, seed: int) -> Samples:
        """Draw it."""
        return self._draw(n, 100 * seed + 99)

    def _draw(self, n: int, seed: int) -> Samples:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randint(self._lowest, WORDS, (n, LENGTH), generator=generator)
        return Samples(x.to(self._dtype), x.abs().sum(1) % CLASSES)


def pair(dtype: str = "int64") -> tuple[Any, Any]:
    """A pair of map-style data sets."""
    sets = []
    for seed in (0, 1):
        x = np.random.default_rng(seed).integers(0, WORDS, (40, LENGTH)).astype(dtype)
        y = x.astype(int).sum(1) % CLASSES
        sets.append([(torch.from_numpy(row), int(label)) for row, label in zip(x, y, strict=True)])
    return tuple(sets)


def _file(folder: Path, dtype: str = "int64", lowest: int = 0) -> str:
    generator = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "test"):
        x = generator.integers(lowest, WORDS, (40, LENGTH))
        arrays |= {f"x_{split}": x.astype(dtype), f"y_{split}": np.abs(x).sum(1) % CLASSES}
    path = folder / "words.npz"
    np.savez(path, **arrays)
    return str(path)


def _config(*overrides: str) -> Config:
    reader = ("model=custom", f"model._target_={__name__}.Reader")
    return typed_config(*SIZES, *overrides, *reader)


def _sources(folder: Path) -> dict[str, tuple[str, ...]]:
    own = "data=custom", f"data._target_={__name__}.Sentences"
    pools = "data=custom", f"data._target_={__name__}.pair", "data.layout=tokens"
    return {
        "file": ("data=npz", f"data.path={_file(folder)}", "data.layout=tokens"),
        "pair": pools,
        "bytes": (*pools, "+data.args.dtype=uint8"),
        "distribution": own,
    }


@pytest.mark.parametrize("source", ["file", "pair", "bytes", "distribution"])
def test_tokens_stay_what_they_are(source: str, tmp_path: Path) -> None:
    cfg = _config(*_sources(tmp_path)[source])
    place = distribution(cfg.data)
    assert (place.spec.inputs, place.spec.input_shape) == ("tokens", (LENGTH,))
    sets = draw_sets(place, cfg.sampling)
    for samples in (*sets.train, sets.test):
        assert samples.x.dtype == torch.int64
        assert 0 <= int(samples.x.min()) <= int(samples.x.max()) == WORDS - 1
        x, _ = samples.batch(0, len(samples), torch.float32)
        assert x.dtype == torch.int64
        assert torch.equal(x, samples.x)
        assert torch.equal(samples.x.sum(1) % CLASSES, samples.y)


@pytest.mark.parametrize("rule", ["gd", "sgd"])
def test_their_gradients_are_those_of_each_sample(rule: str, tmp_path: Path) -> None:
    batches = ("optim=sgd", "optim.batch_size=5") if rule == "sgd" else ()
    cfg = _config(*_sources(tmp_path)["file"], "dtype=float64", *batches)
    sets = draw_sets(distribution(cfg.data), cfg.sampling)
    ensemble = build_ensemble(cfg, sets, torch.device("cpu"))
    for snapshot in ensemble.run():
        for m, replica in enumerate(ensemble.replicas):
            if rule == "gd":  # the measured step has been taken
                replica.step_along(-cfg.lr * snapshot.gradient[m])
            found = per_sample_gradients(
                replica.model,
                sets.train[m].x,
                sets.train[m].y,
                lambda o, y: nn.functional.cross_entropy(o, y, reduction="none"),
            )
            close = {"rtol": 1e-9, "atol": 1e-12}
            torch.testing.assert_close(snapshot.gradient_sum[m], found.sum(0), **close)
            squares = found.square().sum(0)
            torch.testing.assert_close(snapshot.gradient_square_sum[m], squares, **close)


def test_they_are_checked_as_any_data(tmp_path: Path) -> None:
    reader = ("model=custom", f"model._target_={__name__}.Reader")
    (point,) = check(expanded(*SIZES, *_sources(tmp_path)["file"], *reader).points)
    assert point.n_parameters == 4 * WORDS + 2 * (3 * 4 * 4 + 3 * 4) + 4 * CLASSES + CLASSES


# --- what is wrong


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"dtype": "float32"}, "x_train has type float32; with data.layout=tokens it holds whole"),
        ({"lowest": -2}, "data.layout=tokens: x holds -2; tokens are whole numbers from 0"),
    ],
)
def test_files_that_hold_no_tokens(made: dict[str, Any], words: str, tmp_path: Path) -> None:
    cfg = _config("data=npz", f"data.path={_file(tmp_path, **made)}", "data.layout=tokens")
    with pytest.raises(GsnrError, match=words):
        distribution(cfg.data).train_set(5, 0, 0)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("+data.args.dtype=float32", "x of type float32; tokens are int64 from 0 on"),
        ("+data.args.lowest=-1", "tokens are int64 from 0 on"),
        ("+data.args.inputs=words", "its spec has inputs='words'; one of numbers, tokens"),
        ("+data.args.inputs=numbers", "or int64 with spec.inputs='tokens'"),
    ],
)
def test_distributions_that_draw_no_tokens(args: str, words: str) -> None:
    cfg = _config("data=custom", f"data._target_={__name__}.Sentences", args)
    with pytest.raises(GsnrError, match=words):
        distribution(cfg.data).train_set(50, 0, 0)


def test_networks_of_the_package_take_numbers(tmp_path: Path) -> None:
    overrides = [*SIZES, *_sources(tmp_path)["file"], "model=mlp"]
    with pytest.raises(GsnrError, match="model=mlp: these data are tokens"):
        check(expanded(*overrides).points)


def test_an_embedding_of_numbers(tmp_path: Path) -> None:
    reader = ("model=custom", f"model._target_={__name__}.Embedded")
    overrides = [*SIZES, "data=npz", f"data.path={_file(tmp_path)}", *reader]
    with pytest.raises(GsnrError, match=r"looks tokens up needs data.layout=tokens"):
        check(expanded(*overrides).points)


class Embedded(nn.Module):
    """Looks up whatever it is given."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, n_outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embed(tokens).sum(1)
