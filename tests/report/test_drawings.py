"""What a sweep was launched as, and the figures that it therefore asks for."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gsnr_sweep.analysis.preset import LHS_RHS, Preset
from gsnr_sweep.analysis.table import SweepTable
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers import HOLDS
from gsnr_sweep.papers.figure_kind import FigureKind
from gsnr_sweep.papers.registry import FIGURES
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.report.drawings import draw_all
from gsnr_sweep.report.files import View
from gsnr_sweep.report.pipeline import aggregate_table
from gsnr_sweep.report.result import AggregateResult
from tests.tables import make_analysis, make_run, make_table

BOTH = {"osgr_lhs": 0.5, "osgr_rhs": 0.25, "osgr_diff": 0.25, "osgr_diff_se": 0.2}
GSNR = {"gsnr_mean": (0.01, 0.02, 0.05, 0.04, 0.03, 0.02, 0.01), "p_same_sign": 0.5}


# --- what a sweep was launched as


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, Preset("", "", (LHS_RHS,))),
        ({"name": None, "scale": "paper", "figures": []}, Preset()),
        ({"name": "fig4", "scale": "paper"}, Preset("fig4", "paper", (LHS_RHS,))),
        (
            {"name": "fig5", "scale": "smoke", "figures": ["gsnr_curves", "same_sign"]},
            Preset("fig5", "smoke", ("gsnr_curves", "same_sign")),
        ),
    ],
)
def test_reading_the_config_section(section: dict[str, Any], expected: Preset) -> None:
    assert Preset.of(section) == expected
    assert Preset.of_json(json.dumps(section)) == expected
    assert Preset.of_json(expected.as_json()) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', '{"figures": 3}'])
def test_a_tag_that_cannot_be_read_stands_for_no_experiment(text: str) -> None:
    assert Preset.of_json(text) == Preset()


# --- drawing


def test_figures_are_drawn_in_the_order_asked_for_but_not_both_sides_of_eq_19() -> None:
    analysis = make_analysis(make_run(GSNR))
    drawn = draw_all(analysis, ["same_sign", LHS_RHS, "gsnr_curves"])
    assert list(drawn.figures) == ["same_sign", "gsnr_curves"]
    assert drawn.problems == {}


def test_one_that_cannot_be_drawn_keeps_no_other_from_it() -> None:
    drawn = draw_all(make_analysis(make_run(GSNR)), ["frozen", "nonsense", "gsnr_curves"])
    assert list(drawn.figures) == ["gsnr_curves"]
    assert drawn.problems["frozen"].startswith("The figure frozen needs gsnr_followed_mean")
    assert drawn.problems["nonsense"].startswith("There is no figure 'nonsense'. Allowed: lhs_rhs")


@pytest.mark.parametrize("error", [KeyError("init"), ValueError("log scale"), IndexError("0")])
def test_a_figure_that_fails_is_not_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(analysis: object) -> None:
        raise error

    monkeypatch.setattr("tests.tables.fail", fail, raising=False)
    monkeypatch.setitem(FIGURES, "broken", FigureKind("tests.tables.fail", ""))
    drawn = draw_all(make_analysis(make_run(GSNR)), ["broken", "gsnr_curves"])
    assert list(drawn.figures) == ["gsnr_curves"]
    assert "There is no figure" not in drawn.problems["broken"]
    assert str(error.args[0]) in drawn.problems["broken"]


@pytest.mark.parametrize("name", [name for name in FIGURES if name != LHS_RHS])
def test_every_figure_of_the_catalog_can_be_imported_and_has_a_caption(name: str) -> None:
    kind = FIGURES[name]
    assert kind.caption.endswith(".")
    analysis = make_analysis(make_run({"other": 1.0}))
    with pytest.raises(GsnrError, match=f"The figure {name} needs"):
        kind.draw(analysis)


# --- in an aggregated sweep


def aggregated(
    folder: Path, table: SweepTable, view: View | None = None
) -> tuple[AggregateResult, str]:
    console = Console(file=io.StringIO(), width=200)
    result = aggregate_table(table, None, folder, view, console=console)
    return result, console.file.getvalue()  # type: ignore[attr-defined]


def named(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def seeds(curves: dict[str, Any], count: int = 2, **settings: Any) -> list[RunRecord]:
    return [make_run(curves, seed=seed, **settings) for seed in range(count)]


def test_a_sweep_draws_the_figures_of_its_experiment(tmp_path: Path) -> None:
    result, out = aggregated(
        tmp_path, make_table(*seeds(GSNR, 3), figures=["gsnr_curves", "same_sign"])
    )
    drawn = {f"{n}.{kind}" for n in ("gsnr_curves", "same_sign") for kind in ("png", "pdf")}
    assert named(tmp_path) == {*drawn, "table.csv", "table.parquet", "left_out.csv"}
    assert {path.name for path in result.files} == named(tmp_path)
    assert result.statistics == {}
    assert result.problems == ()
    assert "What the paper says, in these runs:" in out
    assert f"{result.claims[0].verdict} " in out
    assert result.claims[0].verdict == HOLDS
    assert result.claims[0].evidence[:40] in out
    assert not result.logged


def test_a_sweep_of_no_experiment_compares_both_sides_and_claims_nothing(tmp_path: Path) -> None:
    result, out = aggregated(tmp_path, make_table(*seeds(BOTH | GSNR), experiment=""))
    assert {"lhs_rhs.png", "statistics.csv"} <= named(tmp_path)
    assert "gsnr_curves.png" not in named(tmp_path)
    assert result.claims == ()
    assert "What the paper says" not in out


def test_what_cannot_be_drawn_is_said_and_the_rest_is_written(tmp_path: Path) -> None:
    table = make_table(*seeds(BOTH | GSNR), figures=["lhs_rhs", "loss_shares", "gsnr_curves"])
    result, out = aggregated(tmp_path, table)
    (problem,) = result.problems
    assert problem.startswith("Figure loss_shares not drawn: The figure loss_shares needs")
    assert problem in out.replace("\n", " ")
    assert {"lhs_rhs.png", "gsnr_curves.png", "statistics.csv"} <= named(tmp_path)


def test_features_are_a_file_of_their_own(tmp_path: Path) -> None:
    arrays: Any = {n: lambda e: [0.5, 0.6] for n in ("gsnr/w", "feature_target/w")}
    curves = {"gsnr_followed_mean": 1.0, "train_loss": 1.0}
    aggregated(tmp_path, make_table(make_run(curves, arrays=arrays), figures=["frozen"]))
    lines = (tmp_path / "features.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("run_id,name,init,seed")


def test_another_pair_of_metrics_draws_only_that_pair(tmp_path: Path) -> None:
    table = make_table(*seeds(BOTH | GSNR), figures=["gsnr_curves"])
    aggregated(tmp_path, table, View(x="gsnr_mean", y="osgr_lhs"))
    assert "gsnr_curves.png" not in named(tmp_path)
    assert "osgr_lhs_against_gsnr_mean.png" in named(tmp_path)


def test_figures_that_do_not_compare_both_sides_need_none_of_their_metrics(tmp_path: Path) -> None:
    aggregated(tmp_path, make_table(*seeds(GSNR), figures=["gsnr_curves"]))
    with pytest.raises(GsnrError, match="no metric 'osgr_rhs'"):
        aggregated(tmp_path, make_table(*seeds(GSNR), figures=["lhs_rhs"]))


@pytest.mark.parametrize("figures", [["gsnr_curves"], ["same_sign"], ["frozen"], ["first_term"]])
def test_an_experiment_whose_measures_were_replaced_still_has_a_table(
    tmp_path: Path, figures: list[str]
) -> None:
    """Neither its figures nor its claims can be made of these runs; the table can."""
    result, _ = aggregated(tmp_path, make_table(*seeds({"other": 1.0}), figures=figures))
    assert "table.csv" in named(tmp_path)
    assert len(result.problems) == 1
