"""The page: well formed, nothing to load, nothing that a run's name could do to it."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs
from rich.console import Console

from gsnr_sweep.analysis.table import LeftOut, SweepTable
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, Claim
from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.report.content import Picture, Section, Table, section_of
from gsnr_sweep.report.page import render
from gsnr_sweep.report.pipeline import aggregate_table
from gsnr_sweep.report.publish import write_page
from tests.report.reading import Page
from tests.tables import make_run, make_table

NASTY = "<script>alert('x')</script> \"quoted\" & <b>bold</b> {{ 7 * 7 }} {% raw %} ö ∈"
GSNR = (0.01, 0.02, 0.05, 0.04, 0.03, 0.02, 0.01)


def run(**settings: Any) -> RunRecord:
    record = make_run({"gsnr_mean": GSNR, "p_same_sign": 0.5, "train_loss": 2.0}, **settings)
    record.environment = {"device": "cpu", "host": "h", "git.commit": "c" * 40, "python": "3.11"}
    record.environment |= {"code": "0.1.0+abc", "version.torch": "2.11", "git.dirty": "true"}
    record.summary = {"wall_time_s": 100.0}
    record.started = "2026-11-21T08:00:00+00:00"
    record.data = {"name": "digits", "source": "scikit-learn", "test_digest": "d" * 64}
    return record


def page(*sections: Section) -> Page:
    found = Page(render(sections))
    assert found.problems == []
    assert found.loads == []
    assert all(src.startswith("data:image/png;base64,") for src, _ in found.pictures)
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert len(set(found.ids)) == len(found.ids)
    return found


def aggregated(table: SweepTable, folder: Path, command: str = "") -> Section:
    result = aggregate_table(table, None, folder, console=Console(file=StringIO()))
    return section_of(table, result, command)


@pytest.fixture
def section(tmp_path: Path) -> Section:
    """A sweep of four runs with two figures and two claims, one of which cannot be drawn."""
    runs = [run(p_random=p, seed=s) for p in (0.0, 1.0) for s in (0, 1)]
    figures = ["same_sign", "loss_shares", "gsnr_curves"]
    table = make_table(*runs, figures=figures, parent_id="f" * 32, experiment="fig5_gsnr_curves")
    return aggregated(table, tmp_path / "sweep", "python launch.py -m experiment=fig5_gsnr_curves")


def test_a_page_on_a_sweep(section: Section) -> None:
    found = page(section)
    assert found.tags["h1"] == 1
    assert "fig5_gsnr_curves, smoke scale, initial weights 'he'" in found.text
    assert "4 of 4 runs, 7 min of computing" in found.text
    assert "p_random ∈ {0.0, 1.0} × seed ∈ {0, 1}" in found.text
    for fact in ("f" * 32, "digits: scikit-learn", "d" * 64, "device cpu, host h", "torch 2.11"):
        assert fact in found.text
    assert f"commit {'c' * 12} with changes" in found.text
    assert "All 4 runs" in found.text
    assert "Run it again git checkout" in found.text
    assert "python launch.py -m experiment=fig5_gsnr_curves" in found.text


def test_the_figures_are_inside_in_the_order_of_the_experiment(
    section: Section, tmp_path: Path
) -> None:
    found = page(section)
    assert [path.name for path in (p.path for p in section.pictures)] == [
        *("same_sign.png", "gsnr_curves.png")
    ]
    for (source, alt), name in zip(found.pictures, ("same_sign", "gsnr_curves"), strict=True):
        inside = base64.b64decode(source.partition(",")[2])
        assert inside == (tmp_path / "sweep" / f"{name}.png").read_bytes()
        assert alt.startswith("Mean GSNR of all") or alt.startswith("Share of samples")


def test_what_could_not_be_drawn_is_said(section: Section) -> None:
    assert (
        "Figure loss_shares not drawn: The figure loss_shares needs loss_share/"
        in page(section).text
    )


def test_claims_and_how_many_hold(section: Section) -> None:
    section.claims = [
        Claim(f"Claim {k}.", "Fig. 1", v, f"evidence {k}")
        for k, v in enumerate((HOLDS, HOLDS, FAILS))
    ]
    text = page(section).text
    assert "holds: 2 , does not hold: 1" in text.replace("2,", "2 ,")
    assert UNCLEAR not in text
    assert all(f"Claim {k}. (Fig. 1) evidence {k}" in text for k in range(3))
    html = render([section])
    assert html.count('<li class="holds">') == 2
    assert html.count('<li class="does-not-hold">') == 1


def test_nothing_of_a_run_is_taken_for_html(tmp_path: Path) -> None:
    one = run(model=NASTY, init=NASTY, note=NASTY)
    one.name = NASTY
    one.environment["host"] = NASTY
    one.data["source"] = NASTY
    table = make_table(
        one,
        figures=["gsnr_curves"],
        experiment=NASTY,
        name=NASTY,
        left_out=[LeftOut("a" * 32, NASTY, NASTY)],
    )
    section = aggregated(table, tmp_path, NASTY)
    section.problems.append(NASTY)
    section.claims = [Claim(NASTY, NASTY, HOLDS, NASTY)]
    section.pictures = [Picture(picture.path, NASTY) for picture in section.pictures]
    section.tables.append(Table(NASTY, [NASTY], [[NASTY, NASTY]], NASTY))
    found = page(section)
    assert found.tags["script"] == 4  # ours, and the points
    assert "49" not in re.sub(r"\d{3,}", "", found.text.split("Page made")[0])
    assert found.text.count(" ".join(NASTY.split())) >= 12
    assert found.pictures[0][1] == NASTY


def test_runs_left_out_are_named_with_their_reason(tmp_path: Path) -> None:
    missing = [
        LeftOut("a" * 32, "n=1", "failed after 1 measured epoch"),
        LeftOut("", "n=2", "not started yet"),
    ]
    table = make_table(run(), figures=["gsnr_curves"], left_out=missing)
    text = page(aggregated(table, tmp_path)).text
    assert "2 runs did not finish and are not in the figures" in text
    assert "n=1 (aaaaaaaa): failed after 1 measured epoch" in text
    assert "n=2: not started yet" in text
    assert "1 of 3 runs" in text
    one = make_table(run(), figures=["gsnr_curves"], left_out=missing[:1])
    assert "1 run did not finish and is not in the figures" in page(aggregated(one, tmp_path)).text


def test_a_sweep_without_any_finished_run() -> None:
    table = make_table(figures=["gsnr_curves"], left_out=[LeftOut("", "n=2", "not started yet")])
    text = page(section_of(table, None, "python launch.py", "None of the 1 runs has finished")).text
    assert "None of 1 runs has finished." in text
    assert "n=2: not started yet" in text
    assert "python launch.py" in text


def test_a_sweep_of_no_experiment_is_called_by_its_name(tmp_path: Path) -> None:
    table = make_table(run(), figures=["gsnr_curves"], experiment="", name="digits sweep 1")
    section = aggregated(table, tmp_path)
    assert section.title == "digits sweep 1"
    assert section.claims == ()
    text = page(section).text
    assert "What the paper says" not in text
    assert "Run it again" not in text  # the command is not known


def test_several_sweeps_are_listed_first(section: Section, tmp_path: Path) -> None:
    other = Section("another", runs=Table("Runs", ["run"], [["one"]]))
    found = page(section, other, section)
    assert found.links == ["#s1", "#s2", "#s3"]
    assert "gsnr-sweep: 3 sweeps" in found.text
    assert page(section).links == []


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (["gsnr_curves"], "Experiments of Liu et al. 2020, Understanding Why Neural"),
        (["norms"], "Experiments of Neyshabur et al. 2017, Exploring Generalization in Deep Lea"),
        (["norms", "gsnr_curves"], "; Neyshabur et al. 2017, Exploring"),
        ([], ""),
    ],
)
def test_the_papers_are_those_of_the_figures(
    figures: list[str], words: str, tmp_path: Path
) -> None:
    table = make_table(run(), figures=figures, experiment="one")
    said = page(aggregated(table, tmp_path / "sweep")).text
    assert words in said
    assert ("Experiments of" in said) == bool(words)


def test_numbers_that_are_unknown_are_dashes(tmp_path: Path) -> None:
    section = aggregated(make_table(run(), figures=["gsnr_curves"]), tmp_path)
    assert section.runs is not None
    assert section.runs.rows[0][1:] == ["100", "–", "–", "2.000", "–", "2 min"]


def test_runs_that_record_no_environment(tmp_path: Path) -> None:
    """Such as those of tests, or of another version."""
    table = make_table(make_run({"gsnr_mean": GSNR}), figures=["gsnr_curves"])
    text = page(aggregated(table, tmp_path, "python launch.py")).text
    assert "1 of 1 runs, 0 s of computing" in text
    assert "git checkout" not in text


def test_statistics_of_both_sides(tmp_path: Path) -> None:
    runs = [
        make_run(
            {"osgr_lhs": 0.1 * k, "osgr_rhs": 0.1 * k + 0.01, "osgr_diff": -0.01}
            | {"osgr_diff_se": 0.01},
            seed=k,
            n_sets=10,
        )
        for k in range(6)
    ]
    section = aggregated(make_table(*runs, experiment="fig4_mnist"), tmp_path)
    (table,) = section.tables
    assert table.title == "LHS against RHS by epoch"
    assert [row[0] for row in table.rows] == ["0", "1", "10", "25", "50", "75", "100"]
    assert table.rows[0][1:3] == ["6", "1.000 [1.000, 1.000]"]
    assert table.rows[0][5:] == ["–", "-0.010", "6 of 6"]
    assert "over 6 seeds" in table.note
    assert "lhs_rhs.png" in [picture.path.name for picture in section.pictures]
    page(section)


def test_table_1_shows_the_features_of_largest_gsnr_of_the_first_trained_seed(
    tmp_path: Path,
) -> None:
    def features(seed: int, frozen: tuple[str, ...] = ()) -> RunRecord:
        return make_run(
            {"gsnr_followed_mean": GSNR, "train_loss": 1.0},
            arrays={
                "gsnr/fc2.weight": lambda e: [seed + k + (e == 25) for k in range(7)],
                "feature_target/fc2.weight": lambda e: [(e == 25) - 0.01 * k for k in range(7)],
            },
            seed=seed,
            frozen=frozen,
        )

    runs = [features(3), features(0, ("fc1",)), features(2)]
    section = aggregated(make_table(*runs, figures=["frozen"]), tmp_path)
    (table,) = section.tables
    assert table.title.startswith("Table 1")
    assert [row[0] for row in table.rows] == ["6", "5", "4", "3", "2"]
    assert table.rows[0][1:] == ["8.0000", "9.0000", "25", "-0.06", "+0.94"]


def test_the_page_is_about_as_large_as_its_pictures_and_the_plotting_library(
    section: Section,
) -> None:
    pictures = sum(picture.path.stat().st_size for picture in section.pictures) * 4 / 3
    assert pictures < len(render([section])) - len(get_plotlyjs()) < pictures + 60_000
    section.explorer = None
    assert pictures < len(render([section])) < pictures + 30_000


def test_the_plotting_library_is_there_once(section: Section) -> None:
    html = render([section, section, Section("another")])
    assert html.count(get_plotlyjs()) == 1
    assert html.count('<script type="application/json">') == 2


def test_browsers_are_told_to_run_these_scripts_alone_and_to_fetch_nothing(
    section: Section,
) -> None:
    html = render([section])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 3
    allowed = [base64.b64encode(hashlib.sha256(one.encode()).digest()) for one in scripts]
    assert rules["script-src"].split() == [f"'sha256-{one.decode()}'" for one in allowed]
    assert "unsafe" not in rules["script-src"]


def test_the_points_of_a_page_are_those_of_its_table(section: Section) -> None:
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', render([section]))
    read = json.loads(text)
    assert len(read["run"]) == 28
    assert read["names"][0] == "n=100 ch=6 p_random=0.0 seed=0"


def test_rows_that_are_left_out_are_told(section: Section) -> None:
    assert section.explorer is not None
    section.explorer = replace(section.explorer, left_out="These are 3 of 4 <epochs>.")
    assert "These are 3 of 4 <epochs>." in page(section).text


def test_control_characters_of_users_are_gone(section: Section) -> None:
    section.problems.append("a\x1b[31mred\u202edne")
    section.tables.append(Table("\x07t", ["h\x00"], [["\x9bc"]]))
    html = render([section]).partition("<script>")[0]
    assert "a[31mreddne" in html
    assert not set("\x1b\x07\x00\x9b\u202e") & set(html)


def test_two_hundred_runs_do_not_make_it_long_for_the_reader(section: Section) -> None:
    rows = [[f"run {k}", "1"] for k in range(280)]
    section.runs = Table("Runs", ["run", "last epoch"], rows)
    html = render([section])
    assert re.search(r"<details>\s*<summary>All 280 runs</summary>", html)
    section.explorer = None
    assert len(render([section])) < len(render([Section("")])) + 2_000_000


def test_writing_the_page(section: Section, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "page.html"
    write_page([section], path)
    first = path.read_text()
    assert first.startswith("<!doctype html>") or first.lstrip().startswith("<!doctype html>")
    write_page([section], path)
    assert re.sub("Page made [^.]*", "", path.read_text()) == re.sub("Page made [^.]*", "", first)
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("kind", ["folder", "below a file"])
def test_a_place_that_cannot_be_written_to(section: Section, tmp_path: Path, kind: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    path = {"folder": tmp_path / "there", "below a file": tmp_path / "file" / "page.html"}[kind]
    with pytest.raises(GsnrError, match=r"cannot be (written|made)"):
        write_page([section], path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "sweep") == ["file", "there"]
