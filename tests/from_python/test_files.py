"""docs/files.md names every field that is written, of its type, and no other."""

import dataclasses
import json
import re
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

from gsnr_sweep.analysis.table import IDENTITY, SETTINGS
from gsnr_sweep.records.manifest import Manifest, SweepJob, SweepRun
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.state import Action, State
from tests.conftest import ROOT, read_csv

PAGE = ROOT / "docs" / "files.md"
OF_JSON = {
    **{str: "text", bool: "boolean", int: "integer", float: "number"},
    **{dict: "object", list: "list"},
}


def documented(title: str) -> dict[str, str]:
    """Names and types of the table below a heading, in their order."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.M | re.S)
    assert found, f"no section {title}"
    rows = re.findall(r"^\| `([^|]+)` \| (\w+) \|", found[1], re.M)
    assert rows
    return dict(rows)


def named(title: str) -> set[str]:
    """The files that the table below a heading names."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    assert found
    cells = re.findall(r"^\| (`[^|]+) \|", found[1], re.M)
    return {name.rstrip("/") for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def _if_there(kind: Any) -> Any:
    """The type of a field that may be null."""
    return get_args(kind)[0] if isinstance(kind, UnionType) else kind


def fields(kind: Any) -> dict[str, str]:
    """The fields of a dataclass with their types in JSON."""
    hints = get_type_hints(kind)
    types = {f.name: hints[f.name] for f in dataclasses.fields(kind)}
    return {
        name: "text" if kind in (State, Action) else OF_JSON[getattr(kind, "__origin__", kind)]
        for name, kind in ((name, _if_there(kind)) for name, kind in types.items())
        if kind is not Path
    }


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("record.json", RunRecord),
        ("A measurement", Measurement),
        ("A run of a sweep", SweepRun),
        ("A job of a sweep", SweepJob),
    ],
)
def test_every_field_of_a_dataclass(title: str, kind: Any) -> None:
    assert documented(title) == fields(kind)


def test_every_field_of_the_manifest(launched: tuple[Path, Path]) -> None:
    written = json.loads((launched[1] / "sweep.json").read_text())
    assert list(documented("sweep.json")) == list(written)
    of_class = documented("sweep.json").items() - {("schema", "integer"), ("place", "text")}
    assert dict(of_class) == fields(Manifest)


@pytest.mark.parametrize(("title", "key"), [("Summary", "summary"), ("Data", "data")])
def test_every_field_of_a_part_of_the_record(
    launched: tuple[Path, Path], title: str, key: str
) -> None:
    written = json.loads((launched[1] / "0" / "record.json").read_text())[key]
    assert documented(title) == {name: OF_JSON[type(value)] for name, value in written.items()}


def test_every_field_of_the_environment(launched: tuple[Path, Path]) -> None:
    written = json.loads((launched[1] / "0" / "record.json").read_text())["environment"]
    likewise = {f"version.{name}" for name in ("torchvision", "numpy", "hydra-core")}
    told = documented("Environment").keys() | likewise | {"version.mlflow-skinny"}
    assert written.keys() <= told
    assert told - written.keys() <= {"git.commit", "git.dirty"}


def test_every_column_of_the_statistics(launched: tuple[Path, Path]) -> None:
    columns = list(documented("statistics.csv"))
    assert columns == list(read_csv(launched[1] / "statistics.csv").columns)


def test_every_column_of_the_table(launched: tuple[Path, Path]) -> None:
    columns = list(documented("table.csv"))
    assert columns == [*IDENTITY, *SETTINGS, "epoch", "nonfinite"]
    written = list(read_csv(launched[1] / "table.csv").columns)
    record = json.loads((launched[1] / "0" / "record.json").read_text())
    metrics = list(record["measurements"][0]["metrics"])
    assert written == [*columns[:-1], *metrics, "nonfinite"]


def test_every_metric_is_explained(launched: tuple[Path, Path]) -> None:
    """What each is says docs/measuring.md; of one layer's, its name with LAYER."""
    page = (ROOT / "docs" / "measuring.md").read_text()
    explained = set(re.findall(r"`([\w/]+)`", page))
    record = json.loads((launched[1] / "0" / "record.json").read_text())
    (first, *_) = record["measurements"]
    for name in (*first["metrics"], *first["arrays"]):
        general = re.sub(r"/.*", "/LAYER", name)
        assert general in explained, name


def test_every_file(launched: tuple[Path, Path]) -> None:
    of_sweep = named("The folder of a sweep")
    assert {path.name for path in launched[1].iterdir()} <= of_sweep
    of_run = named("The folder of a run")
    assert {path.name for path in (launched[1] / "0").iterdir()} <= of_run
