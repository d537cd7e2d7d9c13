"""A sweep's description in MLflow: what it says, within its limit, whatever names hold."""

import itertools
import re
from dataclasses import replace

import pytest

from gsnr_sweep.papers import FAILS, HOLDS, Claim
from gsnr_sweep.report.content import Section, Table
from gsnr_sweep.report.description import description

NASTY = "<script>x</script> [a](http://e) ![b](http://e) **bold** `code` # | ~~s~~ &lt;\x1b[31m"
COMMAND = "python launch.py -m n=1,2 'x=`a` **b**'"


def section(rows: int = 3, claims: int = 2, evidence: str = "c = 0.9") -> Section:
    made = Section("title", lead="4 of 4 runs: n ∈ {1, 2}.")
    cells = [[str(epoch), "0.98 [0.9, 1.0]"] for epoch in range(rows)]
    made.tables = [Table("LHS against RHS by epoch", ["epoch", "Pearson c"], cells, "95 %.")]
    made.claims = [
        Claim(f"Claim {i}.", "Fig. 4", (HOLDS, FAILS)[i % 2], evidence) for i in range(claims)
    ]
    made.claims_title = "What the paper says"
    made.again = ["pip install -e .", COMMAND]
    return made


def test_grid_coefficients_verdicts_and_command() -> None:
    text = description(section(), 5000)
    lead, title, table, note, heading, claims, again, code = text.split("\n\n")
    assert lead == r"4 of 4 runs: n ∈ \{1, 2\}."
    assert title == "**LHS against RHS by epoch**"
    assert table.splitlines() == [
        "| epoch | Pearson c |",
        "| --- | --- |",
        *(rf"| {epoch} | 0.98 \[0.9, 1.0\] |" for epoch in range(3)),
    ]
    assert note == "*95 %.*"
    assert heading == "**What the paper says**"
    assert claims.splitlines() == [
        "- **holds**: Claim 0. (Fig. 4) – c = 0.9",
        "- **does not hold**: Claim 1. (Fig. 4) – c = 0.9",
    ]
    assert again == "Run it again:"
    assert code.splitlines() == ["    pip install -e .", f"    {COMMAND}"]


def test_of_many_epochs_some_are_shown_the_last_one_among_them() -> None:
    text = description(section(rows=101), 5000)
    epochs = [int(e) for e in re.findall(r"^\| (\d+) \|", text, re.M)]
    assert epochs[-1] == 100
    assert 5 <= len(epochs) <= 8
    assert len({b - a for a, b in itertools.pairwise(epochs)}) == 1
    assert f"({len(epochs)} of 101)" in text


def test_nothing_in_a_name_is_a_mark() -> None:
    claims = [Claim(NASTY, NASTY, HOLDS, NASTY)]
    table = Table(NASTY, ["epoch", "c"], [["0", NASTY]], NASTY)
    text = description(
        replace(section(), lead=NASTY, claims=claims, tables=[table], claims_title=NASTY), 5000
    )
    told = text.partition("Run it again")[0]
    plain = re.sub(r"\\[\\`*_{}\[\]<>|#~&]", "", told)  # what is escaped is no mark
    assert not re.search(r"[`<\[\]#~&\\{}_]", plain)
    assert "\x1b" not in text
    assert {line.count("|") for line in plain.splitlines() if line.startswith("|")} == {3}


def test_a_command_of_several_lines_stays_code() -> None:
    text = description(replace(section(), again=["python launch.py 'a=\n# heading'"]), 5000)
    assert text.endswith("    python launch.py 'a=\n    # heading'")


@pytest.mark.parametrize("longest", [5000, 800, 400, 200, 140, 90, 10])
def test_what_is_too_long_loses_its_details_first(longest: int) -> None:
    text = description(section(claims=6, evidence="e" * 90), longest)
    assert len(text) <= longest
    shown = ("eee" in text, "Pearson" in text, "Claim" in text, COMMAND in text)
    assert shown == tuple(sorted(shown))
    assert shown[3] == (longest >= 90)


def test_a_sweep_without_any_result() -> None:
    bare = Section("title", lead="None of 4 runs has finished.", again=[COMMAND])
    assert (
        description(bare, 5000) == f"None of 4 runs has finished.\n\nRun it again:\n\n    {COMMAND}"
    )
    assert description(Section("title", lead="x"), 5000) == "x"
