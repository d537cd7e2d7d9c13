"""Words that numbers are told in."""

import pytest

from gsnr_sweep.wording import describe_duration


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
