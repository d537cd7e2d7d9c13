"""The plan that is shown before anything runs."""

import io

from rich.console import Console

from gsnr_sweep.grid import CommandLine, expand
from gsnr_sweep.plan import show_plan
from gsnr_sweep.preflight import check
from tests.conftest import CONF, TINY


def _shown(*arguments: str) -> str:
    grid = expand(CommandLine.parse([*TINY, *arguments], CONF))
    out = io.StringIO()
    plan = show_plan(check(grid.points), grid.axes, "3 processes", "the/folder", "the store")  # type: ignore[arg-type]
    Console(file=out, width=120).print(plan)
    return " ".join(out.getvalue().replace("│", " ").split())


def test_a_single_run() -> None:
    shown = _shown("p_random=0.3", "model.init=he")
    assert "plan: 1 run" in shown
    assert "grid n=30, ch=6, p_random=0.3" in shown
    assert "data digits, test labels randomized too" in shown
    assert "model table2_cnn, initial weights 'he', 40,081 parameters" in shown
    assert "2 replicas, 2 epochs of full-batch gradient descent, lr 0.001" in shown
    assert "at epochs 0, 2, test set of 50" in shown
    assert "workers 3 processes" in shown
    assert "records the/folder" in shown
    assert "tracking the store" in shown


def test_a_grid() -> None:
    shown = _shown(
        "-m", "n=10,20", "ch=6,7", "lr=0.1,0.001", "p_random=0.5", "data.noisy_test=false"
    )
    assert "plan: 8 runs" in shown
    assert "n ∈ {10, 20} × ch ∈ {6, 7} × lr ∈ {0.1, 0.001}; p_random=0.5" in shown
    assert "test labels clean" in shown
    assert "40,081 to 51,294 parameters" in shown
    assert "lr 0.001 to 0.1" in shown


def test_swept_groups_and_long_schedules() -> None:
    schedule = "measure_at=[" + ",".join(map(str, range(20))) + "]"
    shown = _shown("-m", "data=digits,toy", "model=mlp", "epochs=30", schedule)
    assert "data as swept" in shown
    assert "at epochs 0, 1, … 19 (20 in all)" in shown
