"""A user's own distribution, whose draws are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gsnr_sweep.data.arrays import describe_index, first_not_finite
from gsnr_sweep.data.base import DataSpec, Distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.settings import TOKENS
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.user_code import UserCodeError, call

_TASKS = ("classification", "regression")
_INPUTS = ("numbers", TOKENS)


class OwnDistribution:
    """A distribution of the user's whose draws are looked at."""

    def __init__(self, where: str, own: Distribution) -> None:
        """Take over a distribution.

        Args:
            where: Key and value that name it.
            own: The distribution.

        Raises:
            GsnrError: Its `spec` is none.
        """
        spec = attempt(where, "spec", lambda: own.spec)
        self.where, self.spec = where, _checked_spec(where, spec)
        self._own, self._prepared = own, False

    def prepare(self) -> None:
        """Let it fetch what it needs, once in a process.

        Raises:
            GsnrError: That fails.
        """
        if not self._prepared:
            attempt(self.where, "prepare", self._own.prepare)
            self._prepared = True

    def train_set(self, n: int, m: int, seed: int) -> Samples:
        """Draw training set number `m` of size `n`.

        Raises:
            GsnrError: That fails, or what is drawn does not fit the `spec`.
        """
        return self._judged("train_set", n, partial(self._own.train_set, n, m, seed))

    def test_set(self, n: int, seed: int) -> Samples:
        """Draw the test set of size `n`.

        Raises:
            GsnrError: That fails, or what is drawn does not fit the `spec`.
        """
        return self._judged("test_set", n, partial(self._own.test_set, n, seed))

    def _judged(self, method: str, n: int, draw: Callable[[], Any]) -> Samples:
        """Return what is drawn, its targets in the types that losses take."""
        drawn = attempt(self.where, method, draw)
        if not isinstance(drawn, Samples):
            raise GsnrError(f"{self.where}: {method} returned {kind(drawn)}; Samples are needed.")
        for name, values in (("x", drawn.x), ("y", drawn.y)):
            if not isinstance(values, Tensor):
                raise GsnrError(
                    f"{self.where}: {method} returned Samples whose {name} is {kind(values)}; a "
                    "tensor is needed."
                )
        samples = _with_usual_targets(drawn)
        for problem in _set_problems(self.spec, n, samples):
            raise GsnrError(f"{self.where}: {method} returned {problem}.")
        return samples


def _with_usual_targets(drawn: Samples) -> Samples:
    """Bring labels to int64, and targets to float64 with an axis of their own."""
    if not drawn.y.is_floating_point():
        return replace(drawn, y=drawn.y.long())
    y = drawn.y.double()
    return replace(drawn, y=y.unsqueeze(1) if y.dim() == 1 else y)


def _set_problems(spec: DataSpec, n: int, drawn: Samples) -> Iterator[str]:
    """Say what of a set of `n` samples does not fit a distribution's description."""
    yield from _input_problems(spec, n, drawn.x)
    targets = _target_problems if spec.task == "regression" else _label_problems
    yield from targets(spec, n, drawn.y)
    for name, values in (("x", drawn.x), ("y", drawn.y)):
        if found := first_not_finite(values.detach().cpu().numpy()):
            index, value = found
            yield f"{name}{describe_index(index)} = {value}; finite values are needed"


def _shape_problem(name: str, values: Tensor, needed: tuple[int, ...], said: str) -> Iterator[str]:
    if values.shape != needed:
        yield (
            f"{name} of shape {tuple(values.shape)}; {needed} is needed for n={needed[0]} and "
            f"spec.{said}"
        )


def _input_problems(spec: DataSpec, n: int, x: Tensor) -> Iterator[str]:
    if spec.inputs == TOKENS:
        if x.dtype != torch.int64 or bool((x < 0).any()):
            yield f"x of type {_dtype(x)}; tokens are int64 from 0 on, as spec.inputs says"
    elif x.dtype not in (torch.uint8, torch.float32, torch.float64):
        yield (
            f"x of type {_dtype(x)}; uint8, float32 or float64 is needed, or int64 with "
            "spec.inputs='tokens'"
        )
    yield from _shape_problem("x", x, (n, *spec.input_shape), f"input_shape={spec.input_shape}")


def _target_problems(spec: DataSpec, n: int, y: Tensor) -> Iterator[str]:
    if y.dtype != torch.float64:
        yield f"y of type {_dtype(y)}; floats are needed for a regression"
    yield from _shape_problem("y", y, (n, spec.n_outputs), f"n_outputs={spec.n_outputs}")


def _label_problems(spec: DataSpec, n: int, y: Tensor) -> Iterator[str]:
    if y.dtype != torch.int64:
        yield f"y of type {_dtype(y)}; whole numbers are needed for class labels"
    if y.shape != (n,):
        yield f"y of shape {tuple(y.shape)}; {(n,)} is needed: one label a sample"
    if bool((y < 0).any() or (y >= spec.n_outputs).any()):
        yield (
            f"labels from {int(y.min())} to {int(y.max())}; spec.n_outputs={spec.n_outputs} "
            f"allows 0 to {spec.n_outputs - 1}"
        )


def _checked_spec(where: str, spec: Any) -> DataSpec:
    if not isinstance(spec, DataSpec):
        raise GsnrError(f"{where}: its spec is {kind(spec)}; a DataSpec is needed.")
    sizes = (spec.n_train, spec.n_test)
    wrong = {
        "input_shape": not isinstance(spec.input_shape, tuple)
        or not all(_is_count(size) for size in spec.input_shape)
        or not spec.input_shape,
        "n_outputs": not _is_count(spec.n_outputs),
        "inputs": spec.inputs not in _INPUTS,
        "task": spec.task not in _TASKS,
        "n_train": sizes[0] is not None and not _is_count(sizes[0]),
        "n_test": sizes[1] is not None and not _is_count(sizes[1]),
    }
    needed = {
        "input_shape": "a tuple of positive whole numbers",
        "n_outputs": "a positive whole number",
        "inputs": f"one of {', '.join(_INPUTS)}",
        "task": f"one of {', '.join(_TASKS)}",
        "n_train": "a positive whole number, or None for any size,",
        "n_test": "a positive whole number, or None for any size,",
    }
    for name in (name for name, is_wrong in wrong.items() if is_wrong):
        value = getattr(spec, name)
        raise GsnrError(f"{where}: its spec has {name}={value!r}; {needed[name]} is needed.")
    return spec


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def attempt(where: str, name: str, work: Callable[[], Any]) -> Any:
    """Do some of the user's work and say in one line how it fails."""
    try:
        return call(where, work)
    except UserCodeError as error:
        if str(error).startswith(f"{where}: "):
            raise
        raise UserCodeError(f"{where}: its {name} fails ({error}).") from error.__cause__


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def kind(value: object) -> str:
    """Name the type of a value that was not expected."""
    return "None" if value is None else f"a value of type {type(value).__name__}"
