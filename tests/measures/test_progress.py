import logging

import pytest

from gsnr_sweep.measures import progress
from gsnr_sweep.measures.progress import Progress


def test_it_says_now_and_then_how_far_a_measure_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    told = Progress("expected sharpness")
    with caplog.at_level(logging.INFO):
        for done in range(1, 11):
            clock[0] += 20.0
            told(done, 10)
    assert [record.getMessage() for record in caplog.records] == [
        "expected sharpness: 2 of 10, about 3 min to go",
        "expected sharpness: 4 of 10, about 2 min to go",
        "expected sharpness: 6 of 10, about 80 s to go",
        "expected sharpness: 8 of 10, about 40 s to go",
    ]
