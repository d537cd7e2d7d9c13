"""Tables on disk: what they hold is text and numbers, whatever opens them."""

import csv
import io

import pandas as pd
import pytest

from gsnr_sweep.report.files import safe_cells


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    text = safe_cells(frame).to_csv(index=False)
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://a")'],
)
def test_no_cell_begins_a_formula(text: str) -> None:
    frame = pd.DataFrame({"name": [text, "plain"], text: [1.5, 2.5], "mixed": [text, None]})
    for row in _cells(frame):
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r", "-2+")) for cell in row)
    guarded = "'" + text.replace("\r", "\n")
    assert _cells(frame)[1] == [guarded, "1.5", guarded]
    assert frame["name"][0] == text  # what is drawn and logged is as it was


def test_no_line_begins_within_a_cell() -> None:
    frame = pd.DataFrame({"name": ["a\r=1+1", "b\r\n=2", "c\n=3"]})
    assert _cells(frame) == [["name"], ["a\n=1+1"], ["b\n=2"], ["c\n=3"]]


def test_everything_else_is_written_as_it_was() -> None:
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "x": [-1.5, float("nan"), 1e-300],
            "text": ["-0.5", "+1e-3", "a=b"],
            "mixed": [1, None, "-7"],
            "flag": [True, None, False],
            "": ["", "'", "–"],
        }
    )
    assert safe_cells(frame).to_csv() == frame.to_csv()


def test_numbers_beside_a_formula_stay_what_they_are() -> None:
    frame = pd.DataFrame({"mixed": [1, None, "=x", -2, 0.1, True]})
    written = safe_cells(frame).to_csv()
    assert written == frame.to_csv().replace("=x", "'=x")
