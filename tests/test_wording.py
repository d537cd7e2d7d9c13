"""How messages write values and durations, and what they propose instead of a wrong name."""

import pytest

from gsnr_sweep.wording import as_typed, describe_duration, did_you_mean


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (40.2, "40 s"),
        (89.6, "90 s"),
        (12 * 60.0, "12 min"),
        (3.5 * 3600, "3.5 h"),
        (2.1 * 86400, "2.1 days"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert describe_duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "typed"),
    [(None, "null"), (True, "true"), (False, "false"), (1, "1"), (0.5, "0.5"), ("a b", "a b")],
)
def test_values_are_written_as_typed(value: object, typed: str) -> None:
    assert as_typed(value) == typed


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("statsu", "Did you mean status?"),
        ("syn", "Did you mean sync?"),
        ("swep 5", "Did you mean 'sweep 5'?"),
        ("xyz", ""),
    ],
)
def test_what_looks_like_a_wrong_name(name: str, told: str) -> None:
    assert did_you_mean(name, ["status", "sync", "sing", "sweep 5", "sing", ""]) == told


def test_what_is_proposed_may_be_named_otherwise() -> None:
    assert did_you_mean("scal", {"scale": "data.scale", "ch": "ch"}) == "Did you mean data.scale?"
    assert did_you_mean("scal", {}) == ""
