"""Data of the user's own by dotted path: a distribution, or a pair of PyTorch data sets.

What ``data._target_`` names is called with ``data.args``, while PyTorch's, NumPy's and Python's
global random numbers stand at one same place: what it draws there is the same in every process.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from gsnr_sweep.data.arrays import (
    ARRAYS,
    as_samples,
    check,
    input_shape,
    scaling,
    standardization_by,
)
from gsnr_sweep.data.base import DataSpec, Distribution
from gsnr_sweep.data.fingerprint import samples_digest
from gsnr_sweep.data.map_style import is_map_style, read_pool
from gsnr_sweep.data.own_distribution import OwnDistribution, attempt, kind
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import global_generators_restored
from gsnr_sweep.data.settings import TOKENS, CustomDataConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.data.targets import AUTO, Targets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.user_code import UserCodeError, call, load

_METHODS = ("prepare", "train_set", "test_set")
_TRIED = 64  # samples of a set that is drawn to try a distribution
_NEEDED = (
    "needed is a Distribution (spec, prepare, train_set and test_set), or a pair (train, test) of "
    "map-style data sets of (x, y)"
)


def custom_distribution(cfg: CustomDataConfig) -> Distribution:
    """Call what a config names, and read its pools if it returns a pair of data sets.

    Raises:
        GsnrError: It cannot be imported or called, or what it returns cannot be drawn from.
    """
    asked = _Asked.of(cfg)
    return _Custom(asked, _known(asked).spec)


def content_digest(cfg: CustomDataConfig) -> str:
    """Identify the content of a pair of data sets by 16 hexadecimal digits.

    Returns:
        The digest; empty for a distribution, whose draws follow from its code and arguments, and
            for what cannot be opened.
    """
    try:
        return _known(_Asked.of(cfg)).content
    except GsnrError:  # said where the data are used
        return ""


def try_draws(cfg: CustomDataConfig) -> None:
    """Draw small sets of a user's distribution as runs will draw large ones.

    Raises:
        GsnrError: A draw fails, does not fit the distribution's `spec`, differs when it is made
            again, does not depend on the number of the training set, or, with a confusion set, on
            its size.
    """
    source = _source(_Asked.of(cfg))
    if not isinstance(source, OwnDistribution):
        return  # pools were looked through as they were read
    n, n_test = (min(_TRIED, most or _TRIED) for most in (source.spec.n_train, source.spec.n_test))
    source.prepare()
    first, again, other = (source.train_set(n, m, seed=0) for m in (0, 0, 1))
    source.test_set(n_test, seed=0)
    if not _equal(first, again):
        raise GsnrError(
            f"{source.where}: train_set(n={n}, m=0, seed=0) gave other samples the second time. "
            "Take random numbers from generators that follow from m and seed, as those of "
            "gsnr_sweep.data.seeding do."
        )
    few_are_possible = not first.x.is_floating_point() or bool((first.x == first.x[:1]).all())
    if _equal(first, other) and n != source.spec.n_train and not few_are_possible:
        raise GsnrError(
            f"{source.where}: training sets 0 and 1 are equal. Let what train_set draws depend on "
            "m, the number of the set, as generators of gsnr_sweep.data.seeding do."
        )
    if cfg.confusion:
        _check_beginning(source, first)


def _check_beginning(source: OwnDistribution, whole: Samples) -> None:
    """Refuse a distribution whose samples depend on how many are drawn.

    Raises:
        GsnrError: A smaller training set is not the beginning of a larger one.
    """
    n = len(whole)
    few = source.train_set(max(1, n // 2), 0, seed=0)
    if not _equal(few, next(whole.parts(len(few)))):
        raise GsnrError(
            f"{source.where}: train_set(n={len(few)}, m=0, seed=0) is not the beginning of "
            f"train_set(n={n}, m=0, seed=0). With data.confusion the n clean samples would depend "
            "on the size of the confusion set. Draw each array row by row from a generator of its "
            "own: generators(seed, stream, index, count) of gsnr_sweep.data.seeding gives `count`."
        )


def _equal(one: Samples, other: Samples) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


@dataclass(frozen=True)
class _Asked:
    """A call that a config asks for, and how pools are laid out; may be a key.

    Attributes:
        target: Dotted path of the class or function.
        args: Its arguments as JSON.
        layout: Axes of 4-dimensional x.
        standardize: Whether to standardize by channel.
        task: What the targets of a pair are.
        number: Of the function: one that was imported anew under its name is another one.
        function: The class or function.
    """

    target: str
    args: str
    layout: str
    standardize: bool
    task: str
    number: int
    function: Callable[..., Any] = field(compare=False)

    @classmethod
    def of(cls, cfg: CustomDataConfig) -> _Asked:
        """Import what a config names.

        Raises:
            GsnrError: It cannot be imported, or cannot be called.
        """
        function = _find(f"data._target_={cfg._target_}", cfg._target_)
        args = json.dumps(cfg.args, sort_keys=True, default=str)
        layout = (cfg.layout, cfg.standardize, cfg.task)
        return cls(cfg._target_, args, *layout, id(function), function)

    @property
    def where(self) -> str:
        """Key and value that name it."""
        return f"data._target_={self.target}"

    @property
    def given(self) -> str:
        """The arguments, as people read them."""
        return ", ".join(f"{name}={value}" for name, value in json.loads(self.args).items())

    def call(self) -> Any:
        """Call the class or function.

        Raises:
            GsnrError: It fails.
        """
        try:
            return call(self.where, self.function, **json.loads(self.args))
        except UserCodeError as error:
            raise UserCodeError(
                f"{self.where}: it fails ({error}); it was given {self.given or 'no arguments'}. "
                "Its arguments are given as +data.args.NAME=VALUE."
            ) from error.__cause__


class _Known(NamedTuple):
    """What is remembered of data whose samples are not at hand any more."""

    spec: DataSpec
    content: str


@lru_cache(maxsize=4096)  # a grid over many arguments is looked through several times
def _known(asked: _Asked) -> _Known:
    source = _source(asked)
    return _Known(source.spec, source.content if isinstance(source, _Pools) else "")


@dataclass(frozen=True)
class _Pools(PoolDistribution):
    """The pools of a pair of data sets.

    Attributes:
        content: Digest of their samples as they were given.
    """

    content: str


@lru_cache(maxsize=2)  # pools are large
def _source(asked: _Asked) -> OwnDistribution | _Pools:
    with _same_random_numbers():
        returned = asked.call()
        if isinstance(returned, tuple | list) and len(returned) == 2:
            return _of_pair(asked, returned)
    missing = attempt(asked.where, "spec", partial(_missing, returned))
    if missing:
        lacks = "" if len(missing) > len(_METHODS) else f" without {', '.join(missing)}"
        raise GsnrError(f"{asked.where}: it returned {kind(returned)}{lacks}; {_NEEDED}.")
    own = OwnDistribution(asked.where, returned)
    if asked.task not in (AUTO, own.spec.task):
        raise GsnrError(
            f"data.task={asked.task}: {asked.target} is a distribution whose spec says "
            f"task={own.spec.task!r}. Leave data.task out: it is about pairs of data sets."
        )
    return own


@dataclass(frozen=True)
class _Custom:
    """What a config's target returned, at hand only while it is drawn from."""

    asked: _Asked
    spec: DataSpec

    def prepare(self) -> None:
        """Fetch what draws need."""
        _source(self.asked).prepare()

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        """Draw training set number `m`."""
        return _source(self.asked).train_set(n, m, seed)

    def test_set(self, n: int, seed: int) -> Samples:
        """Draw the test set."""
        return _source(self.asked).test_set(n, seed)


def _missing(returned: object) -> list[str]:
    """List what an object lacks to be a distribution; a spec may be made when it is asked for."""
    return [name for name in ("spec", *_METHODS) if not hasattr(returned, name)]


def _of_pair(asked: _Asked, pair: tuple[Any, Any] | list[Any]) -> _Pools:
    """Read two data sets as an .npz file is read that holds them."""
    where, layout = asked.where, asked.layout
    names = ("training", "test")
    for name, dataset in zip(names, pair, strict=True):
        if not attempt(where, f"{name} set", partial(is_map_style, dataset)):
            raise GsnrError(
                f"{where}: its {name} set is {kind(dataset)}, which has no length or cannot be "
                f"indexed; {_NEEDED}."
            )
    pools = [read_pool(where, name, data) for name, data in zip(names, pair, strict=True)]
    (x_train, y_train), (x_test, y_test) = pools
    arrays = dict(zip(ARRAYS, (x_train, y_train, x_test, y_test), strict=True))
    headers = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    check(where, headers, asked.task, layout)
    targets = Targets.of(where, y_train, y_test, asked.task)
    rule = standardization_by(x_train, layout) if asked.standardize else scaling(x_train)
    encoded = [(x, targets.encode(y)) for x, y in pools]
    content = samples_digest(as_samples(x, y, layout, scaling(x)) for x, y in encoded)
    train, test = (as_samples(x, y, layout, rule) for x, y in encoded)
    spec = DataSpec(
        name=asked.target,
        input_shape=input_shape(x_train.shape, layout),
        n_outputs=targets.n_outputs,
        task=targets.task,
        n_train=len(train),
        n_test=len(test),
        source=f"{asked.target}({asked.given})",
        classes=targets.classes,
        doubts=targets.doubts,
        inputs="tokens" if layout == TOKENS else "numbers",
    )
    return _Pools(spec, lambda: train, lambda: test, lambda: None, content)


def _find(where: str, target: str) -> Callable[..., Any]:
    found = load(
        where,
        target,
        "Give the dotted path of a class or function, such as my_data.Spirals for a file "
        "my_data.py here.",
    )
    if not callable(found):
        raise GsnrError(f"{where}: it is {kind(found)}, which cannot be called; {_NEEDED}.")
    return cast(Callable[..., Any], found)


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Let all global generators of random numbers start at one place, and put them back after."""
    with global_generators_restored():
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        yield
