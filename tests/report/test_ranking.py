"""A ranking as text: terminal, LaTeX, and the cells of the page."""

import io

import pytest
from rich.console import Console

from gsnr_sweep.analysis.ranking import rank_measures
from gsnr_sweep.report.ranking import (
    explained,
    latex_of,
    print_over_epochs,
    print_ranking,
    ranking_cells,
    write_ranking,
)
from tests.analysis.ranking.test_ranking import sweep
from tests.conftest import read_csv


def printed(most: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_ranking(console, rank_measures(sweep()), most)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_best_are_printed_first() -> None:
    lines = printed().splitlines()
    assert lines[0] == "Which measure predicts gen_gap at end: 36 networks, 6 seeds"
    first = next(line for line in lines if "gsnr_mean" in line)
    assert first.split()[:4] == ["−gsnr_mean", "1.00", "[1.00,", "1.00]"]
    assert "sign error" in lines[1]
    assert "In the same order: As gsnr_mean: norm, osgr_lhs." in printed()


def test_some_are_printed_after_a_sweep() -> None:
    text = printed(1)
    assert "more: ranking.csv" in text
    assert "−gsnr_mean" in text
    assert not [line for line in text.splitlines() if line.startswith("noise")]
    assert "random numbers" in text


def test_over_epochs() -> None:
    console = Console(file=io.StringIO(), width=120)
    ranking = rank_measures(sweep(), at=100)
    print_over_epochs(console, [ranking] * 10)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "6 of 10 epochs; all: ranking.csv" in text
    assert text.count("gsnr_mean") == 1


def test_cells_have_a_psi_for_each_axis() -> None:
    ranking = rank_measures(sweep())
    heads, rows = ranking_cells(ranking)
    assert heads[:5] == ["measure", "Kendall τ", "Ψ", "ψ n", "ψ ch"]
    assert all(len(row) == len(heads) for row in rows)
    assert rows[0][0] == "−gsnr_mean"
    assert "†" in explained(ranking)


@pytest.mark.parametrize("name", ["a_measure", "100%", "{x}$y", "a&b"])
def test_latex_takes_any_name(name: str) -> None:
    text = latex_of(rank_measures(sweep(**{name: [0.0, 1.0]})))
    rows = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    for row in filter(None, map(str.strip, rows.split(r"\\"))):
        assert row.replace(r"\&", "").count("&") == len(columns) - 1
    assert name.replace("_", "").replace("{", r"\{")[:1] in text


def test_files_and_cells_that_are_no_formula(tmp_path) -> None:
    ranking = rank_measures(sweep(**{"=cmd()": float}))
    files = write_ranking([ranking], tmp_path / "new", "ranking")
    assert [path.name for path in files] == [
        *("ranking.csv", "ranking.tex", "ranking.png", "ranking.pdf")
    ]
    names = list(read_csv(files[0])["measure"])
    assert "'=cmd()" in names
