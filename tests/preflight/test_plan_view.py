"""The plan that is shown before anything runs."""

import dataclasses
import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console, RenderableType

from gsnr_sweep.preflight.check import check
from gsnr_sweep.preflight.cost import Estimate
from gsnr_sweep.preflight.plan_view import PlanRow, show_plan, show_table, summarize
from tests.conftest import TINY, expanded


def _shown(*arguments: str, **extra: str) -> str:
    grid = expanded(*TINY, *arguments)
    points = check(grid.points)  # type: ignore[arg-type]
    plan = show_plan(points, grid.axes, "3 processes", "the/folder", "the store", **extra)  # type: ignore[arg-type]
    return " ".join(_drawn(plan, 120).replace("│", " ").split())


def _drawn(renderable: RenderableType, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


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


def test_random_labels_and_confusion_sets() -> None:
    shown = _shown("random_labels=true", "data.confusion=20")
    assert "grid n=30, ch=6, p_random=1.0" in shown
    assert "beside n a confusion set of 20 with random labels, test labels randomized" in shown
    assert "confusion" not in _shown("data.confusion=0")
    shown = _shown("-m", "random_labels=false,true", "data.confusion=0,20")
    assert "random_labels ∈ {False, True} × data.confusion ∈ {0, 20}; n=30, ch=6 " in shown
    assert "p_random" not in shown
    assert "beside n a confusion set of 0 to 20 with random labels" in shown


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


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((), "loss cross entropy "),
        (("loss=hinge",), "loss hinge, margin 1 "),
        (
            ("loss=hinge", "loss.others=sum", "loss.margin=0.5"),
            "loss hinge, summed over classes, margin 0.5 ",
        ),
        (("loss=mse",), "loss squared error to one-hot labels "),
    ],
)
def test_the_loss_is_named(overrides: Sequence[str], told: str) -> None:
    assert told in _shown("model=linear", *overrides)


def pair() -> object:
    samples = [([float(i)], i % 2) for i in range(60)]
    return samples, samples


def test_data_of_the_users_are_called_by_their_path() -> None:
    mine = ("data=custom", f"data._target_={__name__}.pair")
    said = "task classification, 2 classes (0, 1); 60 training and 60 test samples"
    assert f"data {__name__}.pair {said} model mlp" in _shown(*mine)
    assert f"data {__name__}.pair, test labels randomized too" in _shown(*mine, "p_random=0.1")
    assert "data as swept" in _shown("-m", *mine[:1], f"{mine[1]},tests.preflight.test_check.pools")


def odd() -> object:
    samples = [([float(i)], float(i % 2)) for i in range(60)]
    return samples, samples


def test_what_is_doubtful_of_the_users_data_is_said() -> None:
    mine = ("data=custom", f"data._target_={__name__}.odd")
    shown = _shown(*mine)
    assert "task regression, 1 target; 60 training and 60 test samples" in shown
    assert "doubtful y_train and y_test hold only the whole numbers 0, 1 and are taken" in shown
    assert "doubtful" not in _shown(*mine, "data.task=classification")
    assert "task" not in _shown("data=toy", "model=mlp")


def test_lines_that_are_shown_only_if_there_is_something_to_say() -> None:
    plain = _shown()
    assert "estimate" not in plain
    assert "earlier" not in plain
    shown = _shown(estimated="1 run in 1 job, about 40 s", reuse="2 of 3 runs [finished]")
    assert "estimate 1 run in 1 job, about 40 s" in shown
    assert "earlier 2 of 3 runs [finished]" in shown
    assert shown.index("earlier") < shown.index("workers")


# --- the table of a dry run


def _row(
    label: str,
    action: str = "run",
    job: int | None = 0,
    seconds: float | None = 60.0,
    memory: float = 0.5e9,
    flops: float = 2e12,
) -> PlanRow:
    basis = "unknown" if seconds is None else "timing"
    cost = None if job is None else Estimate(flops, int(memory), seconds, basis)
    return PlanRow(label, action, cost, job)


MIXED = (
    _row("n=1000 ch=6", job=0, seconds=600),
    _row("n=1000 ch=12", "resume from epoch 40 of 100", job=1, seconds=1200, memory=0.7e9),
    _row("n=2000 ch=6", "reused (finished 2026-11-20, other code version)", job=None),
    _row("n=2000 ch=12", "running elsewhere", job=None),
    _row("n=2000 ch=6 lr=0.001 data.noisy_test=false model.init=he", job=1, seconds=1800),
)


def _table(rows: Sequence[PlanRow], workers: int = 2, width: int = 80, full: bool = False) -> str:
    return _drawn(show_table(rows, workers, full=full), width)


def _column(table: str, start: str, stop: str) -> str:
    """What stands in one column, line breaks within cells taken away."""
    lines = table.split("\nto do", maxsplit=1)[0].splitlines()
    left, right = lines[0].index(start), lines[0].index(stop) - 2
    return " ".join(" ".join(line[left:right].split()) for line in lines[2:])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_point_is_shown_in_full(width: int) -> None:
    table = _table(MIXED, width=width)
    assert max(map(len, table.splitlines())) <= width
    assert "\x1b" not in table
    assert "…" not in table
    if width >= 80:  # below, words are cut
        labels = _column(table, "grid point", "what happens")
        actions = _column(table, "what happens", "FLOP")
        assert all(row.label in labels and row.action in actions for row in MIXED)


def test_costs_stand_in_their_line() -> None:
    (line,) = [line for line in _table(MIXED).splitlines() if line.startswith("n=1000 ch=6 ")]
    assert line.split() == ["n=1000", "ch=6", "run", "2.0", "T", "0.5", "GB", "10", "min", "0"]
    (line,) = [line for line in _table(MIXED).splitlines() if line.startswith("n=2000 ch=12 ")]
    assert line.split() == ["n=2000", "ch=12", "running", "elsewhere", "–", "–", "–", "–"]


def test_totals() -> None:
    shown = " ".join(_table(MIXED).split())
    assert "to do 3 of 5 grid points: 2 run, 1 resume" in shown
    assert "not run 2: 1 reused, 1 running elsewhere" in shown
    assert "about 6.0 TFLOP; about 60 min one run after the other" in shown
    assert "about 50 min with 2 workers, 2 jobs (by a short timing here)" in shown
    assert "at most 0.7 GB a worker, 1.2 GB all workers together" in shown


def test_where_a_stopping_rule_may_end_runs_early_times_are_bounds() -> None:
    bounded = PlanRow("stops", "run", Estimate(2e12, 10**8, 600.0, "timing", at_most=True), 0)
    shown = _table([bounded], 1)
    assert "≤ 2.0 T" in shown
    assert "≤ 10 min" in shown
    assert "at most about 2.0 TFLOP; at most about 10 min one run after the other" in shown
    assert "at most about 70 min with 1 worker" in summarize([bounded, MIXED[3], _last()], 1)
    assert "at most" not in summarize([_last()], 1).partition(", at most 0.5 GB")[0]


def _last() -> PlanRow:
    return _row("goes on", job=0, seconds=3600)


def test_summary() -> None:
    assert summarize(MIXED, 2) == (
        "3 runs in 2 jobs, about 50 min with 2 workers, at most 0.7 GB each"
    )
    assert summarize(MIXED, 1) == (
        "3 runs in 2 jobs, about 60 min with 1 worker, at most 0.7 GB each"
    )
    assert summarize(MIXED, 100).startswith("3 runs in 2 jobs, about 50 min with 2 workers")
    assert summarize([_row("n=1")], 2) == (
        "1 run in 1 job, about 60 s with 1 worker, at most 0.5 GB each"
    )


def test_jobs_go_to_the_worker_that_is_free() -> None:
    rows = [_row(f"n={k}", job=k, seconds=60.0 * s) for k, s in enumerate((2, 2, 3, 3, 4))]
    assert "about 8 min with 2 workers" in summarize(rows, 2)  # 4 + 2 + 2 and 3 + 3
    assert "about 4 min with 5 workers" in summarize(rows, 9)


def test_times_that_are_not_known() -> None:
    unknown = [_row("n=1", seconds=None), _row("n=2", job=1, seconds=None)]
    assert "an unknown time with 2 workers" in summarize(unknown, 2)
    assert " ? " in _table(unknown)
    assert "short timing" not in _table(unknown)
    some = [*unknown, _row("n=3", job=2, seconds=120.0)]
    assert "about 2 min and 2 runs of unknown time" in summarize(some, 2)


def test_times_by_finished_runs() -> None:
    row = _row("n=1")
    assert row.estimate is not None
    seen = dataclasses.replace(
        row, estimate=dataclasses.replace(row.estimate, basis="3 finished runs")
    )
    assert "(by finished runs)" in _table([seen])
    shown = " ".join(_table([row, seen]).split())
    assert "(by finished runs and a short timing here)" in shown


def test_nothing_to_run() -> None:
    done = [_row("n=1", "reused", job=None), _row("n=2", "reused", job=None)]
    assert summarize(done, 2) == "nothing to run"
    shown = " ".join(_table(done).split())
    assert "to do 0 of 2 grid points" in shown
    assert "not run 2: 2 reused" in shown
    assert "wall time" not in shown


def test_long_tables_show_their_ends() -> None:
    rows = [_row(f"n={k}", job=k) for k in range(100, 161)]
    table = _table(rows)
    lines = table.splitlines()
    assert "n=119" in table
    assert "n=120" not in table
    assert "n=140" not in table
    assert "n=141" in table
    assert lines[22].split() == ["…", "21", "more", "…"]
    assert "61 of 61 grid points" in table
    whole, shorter = _table(rows, full=True), _table(rows[:60])
    assert all(row.label in whole for row in rows)
    assert all(row.label in shorter for row in rows[:60])


def test_a_single_point_without_settings_of_its_own() -> None:
    assert _table([_row("")]).splitlines()[2].startswith("– ")


def test_a_short_time_is_at_least_a_second() -> None:
    estimate = Estimate(1e9, 10**8, 0.2, "timing")
    assert "about 1 s" in summarize([PlanRow("", "run", estimate, 1)], 1)


def test_one_of_a_kind_is_one() -> None:
    shown = _shown("n_sets=1", "epochs=1", "measure_at=[1]")
    assert "1 replica, 1 epoch of full-batch" in shown
    assert "1 to 2 replicas, 2 epochs" in _shown("-m", "n_sets=1,2")


def test_values_with_brackets_are_shown_as_they_are() -> None:
    shown = _shown("-m", "data=toy", "model=mlp", "model.frozen=[fc1],[fc2],[]")
    assert "model.frozen ∈ {[fc1], [fc2], []}" in shown


def test_values_are_told_that_a_grid_refers_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "77")
    assert "n ∈ {40, 77}" in _shown("-m", "n=40,'${oc.env:SIZE}'")
    labels = [point.label for point in expanded(*TINY, "-m", "n=40,'${oc.env:SIZE}'").points]
    assert labels == ["n=40", "n=77"]


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (None, ""),
        (2 * 10**9, ""),
        (1.5 * 10**9, "This machine has 1.5 GB: .*; hydra.launcher.workers=2 keeps within that"),
        (0.7 * 10**9, "hydra.launcher.workers=1 keeps within that"),
        (0.5 * 10**9, "a smaller memory_limit, fewer threads or smaller sets"),
    ],
)
def test_a_machine_too_small_is_said(there: float | None, told: str) -> None:
    rows = [_row(f"n={k}", job=k, memory=0.6e9) for k in range(5)]
    memory = None if there is None else int(there)
    for shown in (summarize(rows, 3, memory), _drawn(show_table(rows, 3, memory), 80)):
        plain = " ".join(shown.split())
        assert re.search(told, plain) if told else "This machine" not in plain
