"""How long a failure of the store is remembered."""

import pytest

from gsnr_sweep.tracking.circuit_breaker import SECONDS_OF_REST, CircuitBreaker


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, to be set."""
    time = [50.0]
    monkeypatch.setattr("gsnr_sweep.tracking.circuit_breaker.time.monotonic", lambda: time[0])
    return time


def test_nothing_has_failed(now: list[float]) -> None:
    assert not CircuitBreaker().lasts


def test_a_failure_is_remembered_for_a_while(now: list[float]) -> None:
    breaker = CircuitBreaker()
    breaker.begin("no answer")
    assert (breaker.lasts, breaker.problem) == (True, "no answer")
    now[0] += SECONDS_OF_REST - 1
    assert breaker.lasts
    now[0] += 2
    assert not breaker.lasts  # time to ask again
    assert breaker.problem == "no answer"
    breaker.begin("still none")
    assert (breaker.lasts, breaker.problem) == (True, "still none")


def test_an_answer_ends_it(now: list[float]) -> None:
    breaker = CircuitBreaker()
    breaker.begin("no answer")
    breaker.end()
    assert (breaker.lasts, breaker.problem) == (False, "")
