"""Data of the user's own by dotted path: pairs of data sets, distributions, and what is neither."""

import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset, random_split

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.custom import content_digest, try_draws
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import draw_sets
from gsnr_sweep.data.settings import CustomDataConfig, NpzConfig, SamplingSettings
from gsnr_sweep.errors import GsnrError

N_TRAIN, N_TEST = 60, 25


def config(target: str, *, standardize: bool = True, **args: Any) -> CustomDataConfig:
    path = target if "." in target else f"{__name__}.{target}"
    return CustomDataConfig("custom", True, "uniform", path, args, "auto", standardize)


def told(target: str, **args: Any) -> str:
    """What is said of data that cannot be used, in one paragraph that names them."""
    cfg = config(target, **args)
    with pytest.raises(GsnrError) as refusal:
        try_draws(cfg)
    said = str(refusal.value)
    assert said.startswith(f"data._target_={cfg._target_}: ")
    assert "\n" not in said
    return said


# --- pairs of data sets: the same as the same arrays in an .npz file


class Listed(Dataset[Any]):
    """Samples by number, each made by a function of it."""

    def __init__(self, n: int, sample: Callable[[int], Any]) -> None:
        self.n, self.sample = n, sample

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return self.sample(i)


Arrays = dict[str, NDArray[Any]]


def arrays(kind: str) -> Arrays:
    rng = np.random.default_rng(3)
    shape: tuple[int, ...] = {"grey": (6, 5), "colour": (8, 8, 3), "chw": (3, 8, 8)}.get(kind, (4,))
    found: Arrays = {}
    for split, n in (("train", N_TRAIN), ("test", N_TEST)):
        x = rng.normal(size=(n, *shape)) * 3 + 5
        if kind in ("grey", "colour"):
            x = rng.integers(0, 256, size=(n, *shape)).astype(np.uint8)
        elif kind != "double":
            x = x.astype(np.float32)
        found[f"x_{split}"] = x
        found[f"y_{split}"] = rng.normal(size=(n, 2)) if kind == "targets" else np.arange(n) % 3
    return found


def of_arrays(kind: str, give: str) -> tuple[Dataset[Any], Dataset[Any]]:
    found = arrays(kind)

    def dataset(split: str) -> Dataset[Any]:
        x, y = found[f"x_{split}"], found[f"y_{split}"]
        if give == "tensors":
            return TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
        if give == "images":
            return Listed(len(x), lambda i: (Image.fromarray(x[i]), int(y[i])))
        if give == "list":
            return list(zip(x, y, strict=True))  # type: ignore[return-value]
        return Listed(len(x), lambda i: [x[i], y[i].tolist()])

    return dataset("train"), dataset("test")


KINDS = [
    *[(kind, "tensors") for kind in ("features", "double", "targets", "grey", "colour", "chw")],
    *[("grey", "images"), ("colour", "images"), ("features", "list"), ("targets", "numbers")],
    ("colour", "numbers"),
]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("kind", "give"), KINDS)
def test_sets_are_bit_for_bit_those_of_an_npz_file_with_the_same_arrays(
    tmp_path: Path, kind: str, give: str, standardize: bool
) -> None:
    np.savez(tmp_path / "same.npz", **arrays(kind))
    path = str(tmp_path / "same.npz")
    theirs = distribution(NpzConfig("npz", True, "uniform", path, "auto", standardize))
    ours = distribution(config("of_arrays", standardize=standardize, kind=kind, give=give))
    for name in ("input_shape", "n_outputs", "task", "n_train", "n_test"):
        assert getattr(ours.spec, name) == getattr(theirs.spec, name)
    for m in range(3):
        assert_equal(ours.train_set(20, m, seed=7), theirs.train_set(20, m, seed=7))
    assert_equal(ours.test_set(15, seed=7), theirs.test_set(15, seed=7))


def assert_equal(one: Samples, other: Samples) -> None:
    assert (one.x.dtype, one.y.dtype) == (other.x.dtype, other.y.dtype)
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.y, other.y)
    assert one.standardization == other.standardization
    for mine, its in zip(
        one.batch(0, 9, torch.float32), other.batch(0, 9, torch.float32), strict=True
    ):
        assert torch.equal(mine, its)


# --- draws


def numbered() -> tuple[Dataset[Any], Dataset[Any]]:
    """Samples that can be told apart: 3, 4, … for training and −1, −2, … for tests."""
    train = Listed(N_TRAIN, lambda i: ([float(3 + i), 0.5], i % 2))
    return train, Listed(N_TEST, lambda i: ([float(-1 - i), 0.5], i % 2))


def test_a_set_has_different_rows_of_its_pool_with_their_labels() -> None:
    place = distribution(config("numbered", standardize=False))
    drawn = [place.train_set(20, m, 0) for m in range(3)]
    rows = [samples.x[:, 0].long().tolist() for samples in drawn]
    for samples, ids in zip(drawn, rows, strict=True):
        assert len(set(ids)) == 20
        assert set(ids) <= set(range(3, 3 + N_TRAIN))
        assert samples.y.tolist() == [(number - 3) % 2 for number in ids]
    assert len({tuple(ids) for ids in rows}) == 3
    assert sorted(place.train_set(N_TRAIN, 1, 0).x[:, 0].tolist()) == list(range(3, 3 + N_TRAIN))
    assert sorted(place.test_set(N_TEST, 0).x[:, 0].tolist()) == list(range(-N_TEST, 0))
    assert place.train_set(20, 0, 1).x[:, 0].long().tolist() != rows[0]


def scalars() -> tuple[list[Any], list[Any]]:
    return [(float(i), 2.0 * i) for i in range(9)], [(float(i), 2.0 * i) for i in range(5)]


def test_numbers_are_inputs_of_one_feature_and_targets_of_one_output() -> None:
    place = distribution(config("scalars", standardize=False))
    assert (place.spec.input_shape, place.spec.n_outputs) == ((1,), 1)
    samples = place.train_set(9, 0, 0)
    assert torch.equal(samples.y, 2 * samples.x)


def unseeded(source: str = "torch") -> Any:
    draw: dict[str, Callable[[], Any]] = {
        "torch": lambda: torch.rand(3),
        "numpy": lambda: np.random.rand(3),
        "python": lambda: np.array([random.random() for _ in range(3)]),
    }
    whole = Listed(40, lambda i: (draw[source](), i % 2))
    return random_split(whole, [30, 10])


@pytest.mark.parametrize("source", ["torch", "numpy", "python"])
def test_what_is_drawn_without_a_seed_is_the_same_in_every_process(
    source: str, fresh: None
) -> None:
    cfg = config("unseeded", source=source)
    first, before = distribution(cfg).train_set(20, 0, 0), content_digest(cfg)
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    forget()
    assert_equal(distribution(cfg).train_set(20, 0, 0), first)
    assert content_digest(cfg) == before
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


def forget() -> None:
    from gsnr_sweep.data import custom

    custom._source.cache_clear()
    custom._known.cache_clear()


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing is remembered, and the global generators go on where they were."""
    states = random.getstate(), np.random.get_state()
    forget()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])


opened: list[int] = []


def counted(k: int) -> Any:
    opened.append(k)
    return numbered()


def test_data_are_read_once(fresh: None) -> None:
    opened.clear()
    for _ in range(3):
        distribution(config("counted", k=1)).train_set(5, 0, 0)
        content_digest(config("counted", k=1))
    distribution(config("counted", k=2))
    assert opened == [1, 2]


def test_a_grid_over_many_arguments_reads_each_once(fresh: None) -> None:
    opened.clear()
    for _ in range(3):
        for k in range(5):
            cfg = config("counted", k=k)
            assert distribution(cfg).spec.n_train == N_TRAIN
            assert len(content_digest(cfg)) == 16
    assert opened == [0, 1, 2, 3, 4]


def test_content_is_told_apart_by_a_single_value() -> None:
    digests = {content_digest(config("of_one_value", value=value)) for value in (0, 1, 0)}
    assert len(digests) == 2
    assert all(len(digest) == 16 for digest in digests)
    assert content_digest(config("Spirals")) == ""
    assert content_digest(config("nowhere")) == ""


def test_content_is_that_of_the_samples_as_they_were_given() -> None:
    """Identities of earlier runs hold the digest of samples that were not yet standardized."""
    cfg = config("of_arrays", kind="features", give="tensors")
    found = arrays("features")
    given = [(found[f"x_{split}"], found[f"y_{split}"]) for split in ("train", "test")]
    digest = hashlib.sha256(b"".join(x.tobytes() + y.tobytes() for x, y in given))
    assert content_digest(cfg) == digest.hexdigest()[:16]
    assert content_digest(replace(cfg, standardize=False)) == content_digest(cfg)


def of_one_value(value: int) -> Any:
    x = torch.zeros(9, 2)
    x[4, 1] = value
    return TensorDataset(x, torch.arange(9) % 2), TensorDataset(x, torch.arange(9) % 2)


# --- the task


def floats(first: float = 0) -> Any:
    x = torch.arange(9.0)[:, None]
    return (TensorDataset(x, torch.arange(9) % 3 + first),) * 2


def test_floats_of_a_pair_are_classes_if_data_task_says_so() -> None:
    cfg = config("floats", first=1.0)
    assert distribution(cfg).spec.task == "regression"
    assert "whole numbers 1, 2, 3" in distribution(cfg).spec.doubts[0]
    said = distribution(replace(cfg, task="classification")).spec
    assert (said.task, said.classes, said.doubts) == ("classification", (1, 2, 3), ())
    assert distribution(replace(config("numbered"), task="regression")).spec.n_outputs == 1


def test_a_distribution_says_its_task_itself() -> None:
    cfg = replace(config("Spirals"), task="classification")
    assert distribution(cfg).spec.task == "classification"
    with pytest.raises(
        GsnrError, match=r"data\.task=regression: .*Spirals is a distribution whose"
    ):
        distribution(replace(cfg, task="regression"))


# --- label noise


@pytest.mark.parametrize("target", ["many", "ManyLabels"])
@pytest.mark.parametrize(("kind", "share"), [("uniform", 0.3 * (1 - 1 / 4)), ("different", 0.3)])
@pytest.mark.parametrize("noisy_test", [True, False])
def test_labels_are_randomized_at_the_rate_asked_for(
    target: str, kind: Any, share: float, noisy_test: bool
) -> None:
    n = 4000
    settings = SamplingSettings(n, 2, n, 0, 0.3, kind, noisy_test)
    sets = draw_sets(distribution(config(target, standardize=False)), settings)
    standard_error = (share * (1 - share) / n) ** 0.5
    for samples in sets.train:
        changed = float((samples.y != samples.x[:, 0].long()).double().mean())
        assert abs(changed - share) < 4 * standard_error
    changed = float((sets.test.y != sets.test.x[:, 0].long()).double().mean())
    assert abs(changed - (share if noisy_test else 0)) < 4 * standard_error * noisy_test + 1e-12


def many() -> Any:
    """The true label is the sample's first feature."""
    y = torch.arange(4000) % 4
    x = torch.stack([y, torch.arange(4000)], 1).float()
    return TensorDataset(x, y), TensorDataset(x, y)


# --- distributions


class Spirals:
    """A distribution that derives from nothing."""

    def __init__(self, turns: float = 2.0, **changes: Any) -> None:
        about = {"name": "spirals", "input_shape": (2,), "n_outputs": 2, "task": "classification"}
        about |= {"n_train": None, "n_test": None, "source": "made here"}
        self.turns, self.prepared = turns, 0
        self.spec = DataSpec(**{**about, **changes})  # type: ignore[arg-type]

    def prepare(self) -> None:
        self.prepared += 1

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        rng = np.random.default_rng([seed, m])
        x = torch.from_numpy(rng.normal(size=(n, 2)))
        return Samples(x, torch.from_numpy(rng.integers(2, size=n)))

    def test_set(self, n: int, seed: int) -> Samples:
        return self.train_set(n, 10**6, seed)


class ManyLabels(Spirals):
    def __init__(self) -> None:
        super().__init__(n_outputs=4)

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        y = torch.arange(n, dtype=torch.int32) % 4
        return Samples(torch.stack([y, y + m], 1).float(), y)


def test_a_distribution_is_drawn_from_as_it_is() -> None:
    cfg = config("Spirals", turns=3)
    try_draws(cfg)
    source, own = distribution(cfg), Spirals()
    assert (source.spec.name, source.spec.input_shape) == ("spirals", (2,))
    for m in range(2):
        assert_equal(source.train_set(11, m, 5), own.train_set(11, m, 5))
    assert_equal(source.test_set(11, 5), own.test_set(11, 5))


def test_it_is_prepared_once(fresh: None) -> None:
    made.clear()
    cfg = config("noted_spirals")
    for _ in range(2):
        try_draws(cfg)
        distribution(cfg).prepare()
    (own,) = made
    assert own.prepared == 1


made: list["Spirals"] = []


def noted_spirals() -> Spirals:
    made.append(Spirals())
    return made[-1]


class Regression(Spirals):
    def __init__(self) -> None:
        super().__init__(task="regression", n_outputs=1)

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        x = super().train_set(n, m, seed).x.float()
        return Samples(x, x[:, 0] * x[:, 1])


def test_targets_are_brought_to_the_type_that_losses_take() -> None:
    try_draws(config("Regression"))
    samples = distribution(config("Regression")).train_set(7, 0, 0)
    assert (samples.y.shape, samples.y.dtype) == ((7, 1), torch.float64)
    assert torch.equal(samples.y[:, 0], (samples.x[:, 0] * samples.x[:, 1]).double())
    labels = distribution(config("ManyLabels")).train_set(7, 0, 0).y
    assert labels.dtype == torch.int64


def test_a_small_pool_of_a_distribution_may_be_drawn_whole() -> None:
    try_draws(config("Whole"))


class Whole(Spirals):
    """Whoever draws all there is gets the same set each time."""

    def __init__(self) -> None:
        super().__init__(n_train=5, n_test=5)

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        return super().train_set(n, 0, 0)


# --- what is neither


number = 3


def nothing() -> None:
    pass


def three() -> Any:
    return (*numbered(), 1)


def iterable() -> Any:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            yield torch.zeros(2), 0

    return Stream(), Stream()


def raises(kind: str = "ValueError") -> Any:
    raise ValueError("no such file\nof mine") if kind == "ValueError" else GsnrError("no such file")


def test_only_half_a_distribution() -> None:
    said = told("half")
    assert "it returned a value of type Half without prepare, test_set; needed is" in said


def half() -> Any:
    class Half:
        spec, train_set = None, None

    return Half()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module.Spirals", "cannot be imported (ModuleNotFoundError: No module named"),
        ("missing", "cannot be imported (AttributeError: "),
        ("number", "it is a value of type int, which cannot be called; needed is a Distribution"),
        ("nothing", "it returned None; needed is a Distribution (spec, prepare, "),
        ("three", "it returned a value of type tuple; needed is a Distribution"),
        ("iterable", "its training set is a value of type Stream, which has no length"),
        ("raises", "it fails (ValueError: no such file of mine, test_custom.py line "),
    ],
)
def test_what_is_no_data(target: str, words: str) -> None:
    assert words in told(target)


def test_arguments_that_it_does_not_take() -> None:
    said = told("numbered", depth=3)
    assert "unexpected keyword argument 'depth'" in said
    assert "it was given depth=3. Its arguments are given as +data.args.NAME=VALUE." in said


def test_what_it_says_itself_to_people_is_passed_on() -> None:
    assert "it fails (no such file); it was given" in told("raises", kind="GsnrError")


SAMPLES: dict[str, Callable[[int], Any]] = {
    "empty": lambda i: ([0.0], 0),
    "unreadable": lambda i: ([0.0, 1.0], {}[i]),
    "no pair": lambda i: np.zeros(3),
    "one alone": lambda i: ([0.0, 1.0],),
    "text": lambda i: ("a", 0),
    "text label": lambda i: ([0.0, 1.0], "cat"),
    "shapes": lambda i: ([0.0] * (2 if i < 7 else 3), 0),
    "types": lambda i: (np.zeros(2, np.float32 if i < 7 else np.float64), 0),
    "labels": lambda i: ([0.0, 1.0], 0 if i < 7 else 1.0),
    "nan": lambda i: ([0.0, float("nan") if i == 7 else 1.0], 0),
    "infinite target": lambda i: ([0.0, 1.0], float("inf") if i == 7 else 1.0),
    "negative": lambda i: ([0.0, 1.0], i - 7),
    "two labels": lambda i: ([0.0, 1.0], [0, 1]),
    "leaves": lambda i: sys.exit(0),
    "interrupts": lambda i: _raise(KeyboardInterrupt()),
    "stops": lambda i: _raise(StopIteration()),
    "complex": lambda i: ([1j], 0),
    "no array": lambda i: (torch.zeros(2).to_sparse(), 0),
}


def _raise(error: BaseException) -> Any:
    raise error


LENGTHS: dict[str, Callable[[], Any]] = {
    "leaves": lambda: sys.exit(0),
    "negative": lambda: -1,
    "half": lambda: 0.5,
    "endless": lambda: 10**15,
}


class Long(Listed):
    """Says one length or another."""

    def __init__(self, kind: str) -> None:
        super().__init__(9, lambda i: ([0.0, 1.0], i % 2))
        self.kind = kind

    def __len__(self) -> int:
        return LENGTHS[self.kind]()  # type: ignore[no-any-return]


def long(kind: str) -> Any:
    return Long(kind), Long(kind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("leaves", "has no length (it asks to leave Python: SystemExit 0, test_custom.py line "),
        ("negative", "has no length (ValueError: __len__() should return >= 0)"),
        ("half", "has no length (TypeError: 'float' object cannot be interpreted as an integer)"),
        ("endless", "has 1000000000000000 samples by its length, for which there is no memory"),
    ],
)
def test_lengths_that_are_none(kind: str, words: str) -> None:
    assert f"the training set {words}" in told("long", kind=kind)


def wrong(kind: str) -> Any:
    dataset = Listed(0 if kind == "empty" else 9, SAMPLES[kind])
    return dataset, dataset


def unlike(what: str) -> Any:
    train = Listed(9, lambda i: ([0.0, 1.0], i % 2))
    other = {"shape": ([0.0] * 3, 1), "labels": ([0.0, 1.0], 0.5)}[what]
    return train, Listed(9, lambda i: other)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "the training set is empty"),
        (
            "unreadable",
            "sample 0 of the training set cannot be read (KeyError: 0, test_custom.py line ",
        ),
        ("no pair", "sample 0 of the training set is of type ndarray; a pair (x, y) is needed"),
        ("one alone", "sample 0 of the training set is of type tuple; a pair (x, y) is needed"),
        ("text", "sample 0 of the training set has x of type str; a tensor, an array, an image"),
        ("text label", "sample 0 of the training set has y of type str; a tensor, an array"),
        ("shapes", "sample 7 of the training set has x of shape (3,), but sample 0 has (2,)"),
        ("types", "sample 7 of the training set has x of type float64, but sample 0 has float32"),
        ("labels", "sample 7 of the training set has y of type float64, but sample 0 has int64"),
        ("nan", "sample 7 of the training set has x[1] = nan, not finite"),
        ("infinite target", "sample 7 of the training set has y = inf, not finite"),
        ("negative", "label -7 found; classes are numbered from 0"),
        ("two labels", "y_train (9, 2) is not one label a sample"),
        ("leaves", "cannot be read (it asks to leave Python: SystemExit 0, test_custom.py line "),
        ("interrupts", "cannot be read (KeyboardInterrupt, test_custom.py line "),
        ("stops", "cannot be read (StopIteration, test_custom.py line "),
        ("complex", "sample 0 of the training set has x of type list; a tensor, an array"),
        ("no array", "sample 0 of the training set has an x that is no array (TypeError: can't"),
    ],
)
def test_samples_that_do_not_fit_together(kind: str, words: str) -> None:
    assert words in told("wrong", kind=kind)


def test_pools_that_do_not_fit_together() -> None:
    assert "x_train (9, 2) and x_test (9, 3)" in told("unlike", what="shape")
    assert "must both be integers (classes) or both be floats" in told("unlike", what="labels")


def test_one_of_the_pair_is_a_list_of_numbers() -> None:
    assert "sample 0 of the test set is of type int; a pair (x, y) is needed" in told("half_list")


def half_list() -> Any:
    return Subset(numbered()[0], range(9)), [1, 2, 3]


WRONG_SPECS: list[tuple[dict[str, Any], str]] = [
    ({"input_shape": [2]}, "input_shape=[2]; a tuple of positive whole numbers is needed"),
    ({"input_shape": ()}, "input_shape=(); a tuple of positive whole numbers is needed"),
    ({"input_shape": (2.0,)}, "input_shape=(2.0,); a tuple of positive whole numbers"),
    ({"n_outputs": 0}, "n_outputs=0; a positive whole number is needed"),
    ({"task": "ranking"}, "task='ranking'; one of classification, regression is needed"),
    ({"n_train": -1}, "n_train=-1; a positive whole number, or None for any size, is needed"),
    ({"n_test": 1.5}, "n_test=1.5; a positive whole number, or None for any size, is needed"),
]


def described(case: int) -> Spirals:
    return Spirals(**WRONG_SPECS[case][0])


@pytest.mark.parametrize("case", range(len(WRONG_SPECS)))
def test_descriptions_that_are_wrong(case: int) -> None:
    assert f"its spec has {WRONG_SPECS[case][1]}" in told("described", case=case)


class NoSpec(Spirals):
    def __init__(self) -> None:
        super().__init__()
        self.spec = "two numbers"  # type: ignore[assignment]


class Draws(Spirals):
    """Draws what is wrong in one way or another."""

    def __init__(self, kind: str) -> None:
        super().__init__(task="regression" if kind == "labels for targets" else "classification")
        self.kind, self.calls = kind, 0

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        self.calls += 1
        return DRAWS[self.kind](self, super().train_set(n, m, seed))


DRAWS: dict[str, Callable[[Draws, Samples], Any]] = {
    "pair": lambda own, drawn: (drawn.x, drawn.y),
    "arrays": lambda own, drawn: Samples(drawn.x.numpy(), drawn.y),  # type: ignore[arg-type]
    "shape": lambda own, drawn: Samples(drawn.x[:, :1], drawn.y),
    "few": lambda own, drawn: Samples(drawn.x[1:], drawn.y[1:]),
    "type": lambda own, drawn: Samples(drawn.x.long(), drawn.y),
    "targets for labels": lambda own, drawn: Samples(drawn.x, drawn.x[:, 0]),
    "labels for targets": lambda own, drawn: drawn,
    "labels": lambda own, drawn: Samples(drawn.x, drawn.y + 1),
    "one-hot": lambda own, drawn: Samples(drawn.x, torch.eye(2).long()[drawn.y]),
    "nan": lambda own, drawn: Samples(drawn.x / 0, drawn.y),
    "fails": lambda own, drawn: drawn.nothing,  # type: ignore[attr-defined]
    "leaves": lambda own, drawn: sys.exit(0),
    "interrupts": lambda own, drawn: _raise(KeyboardInterrupt()),
    "unseeded": lambda own, drawn: Samples(drawn.x + own.calls, drawn.y),
    "no m": lambda own, drawn: Samples(torch.arange(128.0).reshape(64, 2), drawn.y * 0),
}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pair", "train_set returned a value of type tuple; Samples are needed"),
        ("arrays", "returned Samples whose x is a value of type ndarray; a tensor is needed"),
        ("shape", "returned x of shape (64, 1); (64, 2) is needed for n=64 and spec.input_shape="),
        ("few", "returned x of shape (63, 2); (64, 2) is needed for n=64"),
        ("type", "returned x of type int64; uint8, float32 or float64 is needed"),
        ("targets for labels", "returned y of type float64; whole numbers are needed for class"),
        ("labels for targets", "returned y of type int64; floats are needed for a regression"),
        ("labels", "returned labels from 1 to 2; spec.n_outputs=2 allows 0 to 1"),
        ("one-hot", "returned y of shape (64, 2); (64,) is needed: one label a sample"),
        ("nan", "returned x[0, 0] = "),
        ("fails", "its train_set fails (AttributeError: 'Samples' object has no attribute"),
        ("leaves", "its train_set fails (it asks to leave Python: SystemExit 0, test_custom.py"),
        ("interrupts", "its train_set fails (KeyboardInterrupt, test_custom.py line "),
        ("unseeded", "train_set(n=64, m=0, seed=0) gave other samples the second time. Take"),
        ("no m", "training sets 0 and 1 are equal. Let what train_set draws depend on m"),
    ],
)
def test_draws_that_do_not_fit(kind: str, words: str, fresh: None) -> None:
    assert words in told("Draws", kind=kind)


class NoSpecAtAll(Spirals):
    @property
    def spec(self) -> Any:
        sys.exit(0)

    @spec.setter
    def spec(self, value: Any) -> None:
        pass


def test_a_description_that_cannot_be_had() -> None:
    assert "its spec fails (it asks to leave Python: SystemExit 0" in told("NoSpecAtAll")


def test_a_description_that_is_none() -> None:
    assert "its spec is a value of type str; a DataSpec is needed" in told("NoSpec")


def test_draws_of_a_run_are_looked_at_too() -> None:
    source = distribution(config("Draws", kind="few"))
    with pytest.raises(GsnrError, match=r"train_set returned x of shape \(29, 2\); \(30, 2\)"):
        source.train_set(30, 0, 0)


class Offline(Spirals):
    def prepare(self) -> None:
        raise OSError("no network")


def test_what_cannot_be_fetched() -> None:
    assert "its prepare fails (OSError: no network, test_custom.py line " in told("Offline")
