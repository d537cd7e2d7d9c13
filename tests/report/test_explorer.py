"""The points of a sweep on the page: what is laid out, rounded, left out, and shown first."""

import json
import math
from typing import Any

import pytest

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.ranking import rank_measures
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.report import explorer
from gsnr_sweep.report.explorer import Column, Explorer, explorer_of
from gsnr_sweep.report.run_links import RunLinks
from gsnr_sweep.wording import describe_epoch
from tests.tables import make_analysis, make_run, make_table

SIDES = {"osgr_lhs": 0.5, "osgr_rhs": 0.25}


def explored(*runs: RunRecord, **about: Any) -> Explorer:
    found = explorer_of(make_analysis(*runs, **about))
    assert found is not None
    return found


def column(of: Explorer, name: str) -> Column:
    (found,) = [one for one in of.columns if one.name == name]
    return found


def names(of: Explorer, places: list[int]) -> list[str]:
    return [of.columns[place].name for place in places]


def test_a_point_for_each_run_and_epoch() -> None:
    runs = [make_run(SIDES | {"loss": lambda e: e / 7}, epochs=(0, 7), n=n) for n in (100, 200)]
    found = explored(*runs)
    assert found.names == [run.name for run in runs]
    assert (found.run, found.epoch, found.epochs) == ([0, 0, 1, 1], [0, 1, 0, 1], ["0", "7"])
    assert column(found, "n") == Column("n", "settings", True, [100, 100, 200, 200])
    assert column(found, "loss") == Column("loss", "metrics", True, [0, 1, 0, 1])
    assert column(found, "epoch") == Column("epoch", "progress", True, [0, 7, 0, 7])
    assert found.left_out == ""


def test_settings_that_never_change_and_metrics_that_nobody_has_are_no_columns() -> None:
    found = explored(*(make_run(SIDES | {"empty": math.nan}, n=100, seed=seed) for seed in (0, 1)))
    assert {one.name for one in found.columns} == {"seed", "epoch", "osgr_lhs", "osgr_rhs"}


def test_the_axes_are_those_that_were_swept() -> None:
    found = explored(
        *(
            make_run(SIDES, n=n, model=model, threads=n)
            for n in (100, 200)
            for model in ("mlp", "cnn")
        )
    )
    assert names(found, list(found.axes)) == ["n", "model"]
    assert column(found, "model").number is False


def test_numbers_have_six_digits_and_whole_ones_all() -> None:
    values = {0: 1 / 3, 1: 12_345_678.0, 2: 123_456.789, 3: 1e-300}
    found = explored(make_run({"a": lambda e: values[e], "b": 1.0}, epochs=(0, 1, 2, 3)))
    assert column(found, "a").values == [0.333333, 12345678, 123457.0, 1e-300]


def test_what_is_not_finite_is_no_number() -> None:
    found = explored(make_run({"a": [1.0, math.nan, math.inf], "b": 1.0}, epochs=(0, 1, 2)))
    assert column(found, "a").values == [1, None, None]
    assert json.loads(found.json())["columns"]


def test_texts_and_yes_or_no_are_texts() -> None:
    runs = [make_run(SIDES, bias=bias, note=note) for bias, note in ((True, "a"), (False, None))]
    found = explored(*runs)
    assert column(found, "bias").values[0] == "True"
    assert column(found, "bias").number is False
    assert {column(found, "note").values[0], column(found, "note").values[-1]} == {"a", None}


def test_json_that_can_stand_in_a_page() -> None:
    hostile = "</script><img src=x onerror=alert(1)> & {{ 7 * 7 }} \u2028 \x1b[31m ö"
    run = make_run(SIDES | {hostile: 1.0}, model=hostile, **{hostile: 1})
    run.name = hostile
    text = explored(run, make_run(SIDES), name=hostile).json()
    assert not set("<>&") & set(text)
    assert text.isascii()
    read = json.loads(text)
    shown = hostile.replace("\u2028", "").replace("\x1b", "")
    assert read["names"][0] == shown
    assert shown in {one["name"] for one in read["columns"]}


def test_the_ends_of_trainings_are_one_epoch_with_places_of_their_own() -> None:
    runs = [make_run(SIDES, epochs=(0, last), seed=last) for last in (5, 6)]
    for run in runs:
        run.stopped_by = "stop.train_loss"
        run.measurements[-1].is_end = True
    found = explored(*runs)
    assert found.epochs == ["0", "end"]
    assert column(found, "epoch").values == [0, 5, 0, 6]
    assert column(found, "stopped_by").values == ["stop.train_loss"] * 4


def test_epochs_of_different_numbers_of_steps() -> None:
    runs = [make_run(SIDES, epochs=(0, 1, 2), seed=k) for k in (2, 4)]
    for k, run in zip((2, 4), runs, strict=True):
        for step, one in zip((0, 1, k), run.measurements, strict=True):
            one.epoch, one.step = step / k, step
    assert explored(*runs).epochs == ["0", "step 1", "1"]


def test_both_sides_of_eq_19_are_shown_first_colored_by_the_first_axis() -> None:
    found = explored(
        *(make_run(SIDES | {"a": 1.0}, ch=ch, seed=s) for ch in (2, 3) for s in (0, 1))
    )
    start = found.start
    assert start.color is not None
    assert names(found, [start.x, start.y, start.color]) == ["osgr_rhs", "osgr_lhs", "ch"]
    assert start.diagonal


def ranked(metrics: dict[str, Any]) -> Analysis:
    return make_analysis(
        *(
            make_run({name: of(n, s) for name, of in metrics.items()}, n=n, seed=s)
            for n in (100, 200, 300, 400)
            for s in (0, 1)
        )
    )


def test_else_the_best_measure_against_its_target() -> None:
    analysis = ranked(
        {
            "first": lambda n, s: n * (1 + s) % 7,
            "gen_gap": lambda n, s: 1 / n + s / 1e6,
            "norm": lambda n, s: 1 / n + s / 1e5,
        }
    )
    found = explorer_of(analysis, rank_measures(analysis))
    assert found is not None
    assert names(found, [found.start.x, found.start.y]) == ["norm", "gen_gap"]
    assert not found.start.diagonal


def test_else_the_first_two_metrics() -> None:
    found = explored(make_run({"a": 1.0, "b": 2.0}))
    assert names(found, [found.start.x, found.start.y]) == ["a", "b"]
    assert found.start.color is None
    alone = explored(make_run({"a": 1.0}))
    assert names(alone, [alone.start.x, alone.start.y]) == ["a", "epoch"]


def test_nothing_to_draw() -> None:
    assert explorer_of(make_analysis(make_run({}))) is None


@pytest.fixture
def many() -> list[RunRecord]:
    return [make_run(SIDES, epochs=range(11), seed=seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("most", "epochs"),
    [(33, range(11)), (32, (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)), (9, (0, 5, 10)), (5, (10,))],
)
def test_whole_epochs_are_left_out_of_a_large_table(
    many: list[RunRecord], most: int, epochs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "MOST_ROWS", most)
    found = explored(*many)
    assert found.epochs == [describe_epoch(epoch) for epoch in epochs]
    assert len(found.run) == 3 * len(epochs)
    assert len(found.names) == 3
    said = f"{len(epochs)} of 11 epochs, {3 * len(epochs)} of 33 rows"
    assert said in found.left_out if len(epochs) < 11 else found.left_out == ""


def test_runs_are_left_out_where_one_epoch_is_too_large(
    many: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "MOST_ROWS", 2)
    found = explored(*many)
    assert found.epochs == ["10"]
    assert found.names == [many[0].name, many[2].name]
    assert "2 of 3 runs at the last epoch, 2 of 33 rows" in found.left_out


def test_a_table_of_many_columns_has_fewer_rows(
    many: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "MOST_VALUES", 4 * 33)  # seed, epoch and both sides
    assert explored(*many).left_out == ""
    monkeypatch.setattr(explorer, "MOST_VALUES", 4 * 33 - 1)
    assert explored(*many).left_out


def test_a_run_that_was_sent_nowhere_has_no_id() -> None:
    links = RunLinks("http://host/#/experiments/1/runs/", "gsnr-sweep ui 3f9a")
    table = make_table(make_run(SIDES))
    sent = explorer_of(Analysis(table), links=links)
    assert sent is not None
    assert (sent.ids, sent.links) == (["0" * 32], links)
    table.frame["run_id"] = table.frame["config_hash"]
    unsent = explorer_of(Analysis(table), links=links)
    assert unsent is not None
    assert unsent.ids == [""]
