import numpy as np
import pytest
from rich.console import Console

from benchmarks.sections.contest import Expected, Result, hold

FAILS = -1.0
RIGHT = np.array([[3.0, 4.0]])


class Contender:
    """Computes the right numbers, a little off."""

    def __init__(self, off: float) -> None:
        self.off = off

    def numbers(self) -> np.ndarray:
        if self.off == FAILS:
            raise RuntimeError("no such thing")
        return RIGHT * (1 + self.off)

    def tune(self) -> str:
        return "as it comes"

    def work(self) -> None:
        pass


def _held(timed: float, exact: float, lenient: bool = False) -> Result:
    names = frozenset({"one"} if lenient else ())
    expected = Expected(RIGHT, RIGHT, {"one": (Contender, exact)}, names)
    return hold({"one": (Contender, timed)}, expected, 2, Console(quiet=True))["one"]


def test_who_computes_the_same_is_timed():
    found = _held(1e-3, 1e-9)
    assert found.problem == ""
    assert len(found.times) == 2
    assert (found.apart, found.exactly_apart) == pytest.approx((1e-3, 1e-9), rel=1e-3)
    assert found.setting == "as it comes"


@pytest.mark.parametrize(("timed", "exact"), [(0.1, 1e-9), (1e-3, 1e-3), (float("nan"), 0.0)])
def test_who_computes_something_else_is_not(timed: float, exact: float):
    found = _held(timed, exact)
    assert found.problem.startswith("computes something else")
    assert found.times is None


def test_who_is_wrong_on_a_small_set_may_be_right_in_what_is_timed():
    found = _held(1e-3, 1.0, lenient=True)
    assert (found.problem, found.setting) == ("", "as it comes; wrong on a small set")
    assert found.exactly_apart == pytest.approx(1.0)
    assert _held(0.1, 1.0, lenient=True).problem.startswith("computes something else")
    assert _held(1e-3, 1e-9, lenient=True).setting == "as it comes"


def test_who_fails_in_float64_is_judged_as_it_is_timed_only_where_that_is_allowed():
    found = _held(1e-3, FAILS, lenient=True)
    assert (found.problem, found.setting) == ("", "as it comes; fails in float64")
    assert found.times is not None
    assert np.isnan(found.exactly_apart)
    assert _held(0.1, FAILS, lenient=True).problem.startswith("computes something else")
    assert "no such thing" in _held(1e-3, FAILS).problem
