"""A short fault campaign; ``python -m tests.campaign --help`` tells of longer ones."""

from pathlib import Path

import pytest

from tests.campaign import Options, campaign


@pytest.mark.slow
def test_killed_workers_and_a_lost_server_change_nothing(tmp_path: Path) -> None:
    options = Options(
        *(tmp_path, 6, 4, 8.0, 1),
        epochs=2000,
        nap=0.4,
        pause=1.0,
        tracked_reference=False,
        seconds=240.0,
    )
    result = campaign(options)
    print(result.report())
    assert result.differences == []
    assert (len(result.kills), result.outage >= 8.0) == (4, True)
    assert sum(result.attempts) > 6
    assert result.values > 6 * 7 * 20  # runs, epochs, metrics
