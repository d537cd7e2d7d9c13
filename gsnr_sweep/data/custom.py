"""Data of the user's own by dotted path: a distribution, or a pair of PyTorch data sets.

What ``data._target_`` names is called with ``data.args``, while PyTorch's, NumPy's and Python's
global random numbers stand at one same place: what it draws there is the same in every process.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any, cast

import numpy as np
import torch

from gsnr_sweep.data.arrays import (
    ARRAYS,
    as_samples,
    check,
    describe_targets,
    input_shape,
    scaling,
    standardization_by,
)
from gsnr_sweep.data.base import DataSpec, Distribution
from gsnr_sweep.data.fingerprint import samples_digest
from gsnr_sweep.data.map_style import is_map_style, read_pool
from gsnr_sweep.data.own_distribution import OwnDistribution, attempt, kind
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.settings import CustomDataConfig
from gsnr_sweep.data.sources import PoolDistribution
from gsnr_sweep.errors import GsnrError, describe_exception, resolve_name

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
    return _opened(cfg).distribution


def content_digest(cfg: CustomDataConfig) -> str:
    """Identify the content of a pair of data sets by 16 hexadecimal digits.

    Returns:
        The digest; empty for a distribution, whose draws follow from its code and arguments, and
            for what cannot be opened.
    """
    try:
        return _opened(cfg).content
    except GsnrError:  # said where the data are used
        return ""


def try_draws(cfg: CustomDataConfig) -> None:
    """Draw small sets of a user's distribution as runs will draw large ones.

    Raises:
        GsnrError: A draw fails, does not fit the distribution's `spec`, differs when it is made
            again, or does not depend on the number of the training set.
    """
    source = _opened(cfg).distribution
    if not isinstance(source, OwnDistribution):
        return  # pools were looked through as they were read
    n, n_test = (min(_TRIED, most or _TRIED) for most in (source.spec.n_train, source.spec.n_test))
    source.prepare()
    first, again, other = (
        attempt(source.where, "train_set", partial(source.train_set, n, m, seed=0))
        for m in (0, 0, 1)
    )
    attempt(source.where, "test_set", partial(source.test_set, n_test, seed=0))
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


def _equal(one: Samples, other: Samples) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


@dataclass(frozen=True)
class _Opened:
    """What a config's target returned, as it is drawn from, and a digest of its content."""

    distribution: Distribution
    content: str = ""


def _opened(cfg: CustomDataConfig) -> _Opened:
    settings = asdict(cfg)
    asked = {key: settings[key] for key in ("_target_", "args", "layout", "standardize")}
    where = f"data._target_={cfg._target_}"
    return _open(_find(where, cfg._target_), where, json.dumps(asked, sort_keys=True, default=str))


@lru_cache(maxsize=2)  # pools are large
def _open(function: Callable[..., Any], where: str, asked: str) -> _Opened:
    settings = json.loads(asked)
    arguments = settings["args"]
    given = ", ".join(f"{name}={value}" for name, value in arguments.items())
    with _same_random_numbers():
        try:
            returned = function(**arguments)
        except GsnrError:
            raise
        except Exception as error:
            raise GsnrError(
                f"{where}: it fails ({describe_exception(error)}); it was given "
                f"{given or 'no arguments'}. Its arguments are given as +data.args.NAME=VALUE."
            ) from None
        if isinstance(returned, tuple | list) and len(returned) == 2:
            source = f"{settings['_target_']}({given})"
            return _of_pair(where, source, returned, settings["layout"], settings["standardize"])
    missing = attempt(where, "spec", partial(_missing, returned))
    if missing:
        lacks = "" if len(missing) > len(_METHODS) else f" without {', '.join(missing)}"
        raise GsnrError(f"{where}: it returned {kind(returned)}{lacks}; {_NEEDED}.")
    return _Opened(OwnDistribution(where, returned))


def _missing(returned: object) -> list[str]:
    """List what an object lacks to be a distribution; a spec may be made when it is asked for."""
    return [name for name in ("spec", *_METHODS) if not hasattr(returned, name)]


def _of_pair(
    where: str, source: str, pair: tuple[Any, Any] | list[Any], layout: str, standardize: bool
) -> _Opened:
    """Read two data sets as an .npz file is read that holds them."""
    names = ("training", "test")
    for name, dataset in zip(names, pair, strict=True):
        if not is_map_style(dataset):
            raise GsnrError(
                f"{where}: its {name} set is {kind(dataset)}, which has no length or cannot be "
                f"indexed; {_NEEDED}."
            )
    pools = [read_pool(where, name, data) for name, data in zip(names, pair, strict=True)]
    (x_train, y_train), (x_test, y_test) = pools
    arrays = dict(zip(ARRAYS, (x_train, y_train, x_test, y_test), strict=True))
    check(where, {name: (array.shape, array.dtype) for name, array in arrays.items()})
    n_outputs, task = describe_targets(where, y_train, y_test)
    rule = standardization_by(x_train, layout) if standardize else scaling(x_train)
    train, test = (as_samples(x, y, layout, rule) for x, y in pools)
    spec = DataSpec(
        name=where.partition("=")[2],
        input_shape=input_shape(x_train.shape, layout),
        n_outputs=n_outputs,
        task=task,
        n_train=len(train),
        n_test=len(test),
        source=source,
    )
    pool = PoolDistribution(spec, lambda: train, lambda: test, fetch=lambda: None)
    return _Opened(pool, samples_digest([train, test]))


def _find(where: str, target: str) -> Callable[..., Any]:
    try:
        found = resolve_name(target)
    except Exception as error:
        raise GsnrError(
            f"{where}: it cannot be imported ({describe_exception(error)}). Give the dotted path "
            "of a class or function, such as my_data.Spirals for a file my_data.py here."
        ) from None
    if not callable(found):
        raise GsnrError(f"{where}: it is {kind(found)}, which cannot be called; {_NEEDED}.")
    return cast(Callable[..., Any], found)


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Let all global generators of random numbers start at one place, and put them back after."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
