"""How long a failure of the store is remembered."""

import pytest

from gsnr_sweep.tracking.circuit_breaker import SECONDS_OF_REST, Outage


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, to be set."""
    time = [50.0]
    monkeypatch.setattr("gsnr_sweep.tracking.circuit_breaker.time.monotonic", lambda: time[0])
    return time


def test_nothing_has_failed(now: list[float]) -> None:
    assert not Outage().lasts


def test_a_failure_is_remembered_for_a_while(now: list[float]) -> None:
    outage = Outage()
    outage.begin("no answer")
    assert (outage.lasts, outage.problem) == (True, "no answer")
    now[0] += SECONDS_OF_REST - 1
    assert outage.lasts
    now[0] += 2
    assert not outage.lasts  # time to ask again
    assert outage.problem == "no answer"
    outage.begin("still none")
    assert (outage.lasts, outage.problem) == (True, "still none")


def test_an_answer_ends_it(now: list[float]) -> None:
    outage = Outage()
    outage.begin("no answer")
    outage.end()
    assert (outage.lasts, outage.problem) == (False, "")
