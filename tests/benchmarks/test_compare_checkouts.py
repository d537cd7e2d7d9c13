"""What counts as a difference between two checkouts' tables, and what a command line asks for."""

from pathlib import Path

import pytest

from benchmarks import compare_checkouts
from benchmarks.compare_checkouts import compare

HEAD = "run_id,name,state,config_hash,n,epoch,osgr_lhs,nonfinite\n"
ONE = "aa,n=1,finished,f1,1,0,0.25,\n"
TWO = "bb,n=2,finished,f2,2,0,1e-05,osgr_rhs\n"


def _write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def test_order_of_rows_ids_and_spelling_of_numbers_do_not_matter(tmp_path: Path) -> None:
    before = _write(tmp_path / "before.csv", HEAD, ONE, TWO)
    other = (TWO.replace("bb", "cc").replace("1e-05", "0.00001"), ONE)
    found = compare(before, _write(tmp_path / "after.csv", HEAD, *other))
    assert (found.rows, found.equal, found.differing) == (2, 14, [])
    assert "run_id" not in found.columns


def test_a_digit_is_a_difference(tmp_path: Path) -> None:
    before = _write(tmp_path / "before.csv", HEAD, ONE, TWO)
    after = _write(tmp_path / "after.csv", HEAD, ONE.replace("0.25", "0.2500000000000001"), TWO)
    found = compare(before, after)
    assert found.equal == 13
    assert found.differing == ["osgr_lhs: 0.25 → 0.2500000000000001  (n=1, epoch=0)"]


def test_a_value_that_is_missing_is_a_difference(tmp_path: Path) -> None:
    before = _write(tmp_path / "before.csv", HEAD, ONE)
    after = _write(tmp_path / "after.csv", HEAD, ONE.replace("0.25", ""))
    assert compare(before, after).differing == ["osgr_lhs: 0.25 → empty  (n=1, epoch=0)"]


def test_rows_and_columns_that_are_missing_are_told(tmp_path: Path) -> None:
    before = _write(tmp_path / "before.csv", HEAD, ONE, TWO)
    after = _write(tmp_path / "after.csv", HEAD.replace("osgr_lhs", "osgr_rhs"), ONE)
    assert compare(before, after).differing == [
        "columns only before: osgr_lhs",
        "columns only after: osgr_rhs",
        "2 rows before, 1 after",
    ]


def test_the_exit_code_and_a_line_for_each_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept tables stand for the runs before; the overrides reach the command they are meant for."""
    for name in ("fig_a", "fig_b", "fig_c"):
        _write(tmp_path / "after" / "conf" / "experiment" / f"{name}.yaml", "")
        _write(tmp_path / "kept" / name / "table.csv", HEAD, ONE)
    asked = {}

    def run(checkout: Path, overrides: list[str], kept: Path) -> compare_checkouts.Outcome:
        asked[kept.name] = overrides
        if kept.name == "fig_c":
            return compare_checkouts.Outcome(None, 1.0, "no data here", skipped=True)
        line = ONE if kept.name == "fig_a" else ONE.replace("0.25", "0.5")
        return compare_checkouts.Outcome(_write(kept / "table.csv", HEAD, line), 1.0)

    monkeypatch.setattr(compare_checkouts, "run", run)
    command = ["compare", str(tmp_path / "before"), str(tmp_path / "after")]
    command += ["--before-results", str(tmp_path / "kept")]
    command += ["--override", "fig_b:data=npz", "data.path=/a:b.npz"]
    monkeypatch.setattr("sys.argv", command)
    assert compare_checkouts.main() == 1
    out = capsys.readouterr().out
    assert "fig_a: same: 1 rows, 7 columns compared, 7 of 7 cells equal" in out
    assert "fig_b: DIFFERENT: 1 rows, 7 columns compared, 6 of 7 cells equal" in out
    assert "osgr_lhs: 0.25 → 0.5" in out
    assert "fig_c: skipped after: no data here" in out
    assert asked["fig_a"] == ["experiment=fig_a", "scale=smoke"]
    assert asked["fig_b"][2:] == ["data=npz", "data.path=/a:b.npz"]
    monkeypatch.setattr("sys.argv", [*command, "--only", "fig_a", "fig_c"])
    assert compare_checkouts.main() == 0
