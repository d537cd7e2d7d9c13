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


def test_the_summary_compares_with_the_fastest_peer(tmp_path):
    contenders = {
        "gsnr-sweep": {"seconds": [1.0, 2.0, 4.0]},
        "plain loop": {"seconds": [3.0, 6.0, 12.0]},
        "JAX": {"seconds": [2.0, 4.0, 8.0]},
        "none": {"seconds": []},
    }
    workload = {"model": "table2_cnn", "ch": 6, "n": 1000, "n_sets": 10, "flops_an_epoch": 100.0}
    facts = {
        "peak_flops": {"1": 50.0, "2": 100.0},
        "workloads": [{**workload, "contenders": contenders}],
    }
    write_section(tmp_path, Section("step", [], facts), MACHINE, quick=False)
    rows = [{"workload": "w", "memory_limit": "1GB", "ratio": 1.84, "statistics": 2.0}]
    write_section(tmp_path, Section("normalization", [], {"rows": rows}), MACHINE, quick=False)
    start = {
        "seconds": {"`import torch`": [2.0, 1.0], "`dry_run=true`, x": [3.0, 1.5], "y": [1.0, 1.0]}
    }
    write_section(tmp_path, Section("start", [], start), MACHINE, quick=False)
    lines = write_page(tmp_path).read_text().splitlines()
    assert (
        "| a training step, Table 2 CNN, ch=6; n=1,000, M=10 "
        "| 2.0 times as fast; 50% of the float32 peak | JAX; plain loop 3.0 |"
    ) in lines
    assert (
        "| batch normalization within 1GB, w | 1.8 times as long | one pass in unlimited memory |"
        in lines
    )
    assert "| `dry_run=true`, x | 1.5 times as long | `import torch` |" in lines
