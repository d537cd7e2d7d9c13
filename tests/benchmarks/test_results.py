import json

from benchmarks.results import SECTIONS, write_page, write_section
from benchmarks.tables import Section, Table, markdown

MACHINE = {"processor": "one", "cores": 2, "commit": "abc"}


def _section(name: str) -> Section:
    table = Table("Title", ["who", "s"], notes=["A note."])
    table.add("a|b", "1.0")
    return Section(name, [table], {"seconds": [1.0, float("nan")]})


def test_markdown_table():
    assert markdown(_section("step").tables[0]).splitlines() == [
        "**Title**",
        "",
        "| who | s |",
        "| --- | ---: |",
        "| a\\|b | 1.0 |",
        "",
        "A note.",
    ]


def test_page_holds_what_was_measured_and_says_what_was_not(tmp_path):
    write_section(tmp_path, _section("step"), MACHINE, quick=False)
    page = write_page(tmp_path).read_text()
    assert "| a\\|b | 1.0 |" in page
    assert page.count("*Not measured here.*") == len(SECTIONS) - 1
    assert "--quick`: sizes" not in page
    content = json.loads((tmp_path / "step.json").read_text())
    assert content["facts"]["seconds"] == [1.0, None]
    assert content["machine"] == MACHINE


def test_page_names_each_machine_with_its_sections(tmp_path):
    write_section(tmp_path, _section("step"), MACHINE, quick=False)
    write_section(tmp_path, _section("growth"), {**MACHINE, "commit": "def"}, quick=True)
    page = write_page(tmp_path).read_text()
    assert "Machine and versions of step" in page
    assert "Machine and versions of growth" in page
    assert "numbers mean nothing" in page
