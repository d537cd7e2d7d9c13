"""What was measured, on disk: one JSON file a section, and one page made from all of them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.summary import summary
from benchmarks.tables import Section, Table, markdown

SECTIONS = (
    "step",
    "moments",
    "point",
    "sweep",
    "growth",
    "start",
    "api",
    "sgd",
    "normalization",
    "gpu",
)
PAGE = "performance.md"
_TEMPLATE = Path(__file__).with_name("performance.md.template")
_MISSING = "*Not measured here.*"
_QUICK = "**Made with `--quick`: sizes are tiny and the numbers mean nothing.**\n\n"
_LABELS = {
    "processor": "processor",
    "cores": "cores",
    "memory_gb": "memory [GB]",
    "python": "Python",
    "commit": "commit",
    "date": "date",
    "load_at_start": "load when started",
}


def write_section(folder: Path, section: Section, machine: dict[str, Any], quick: bool) -> None:
    """Write a section's JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "quick": quick, **dataclasses.asdict(section)}
    text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / f"{section.name}.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Replace what JSON does not know."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_page(folder: Path) -> Path:
    """Make the page from the sections that are in a folder."""
    found = {name: _read(folder / f"{name}.json") for name in SECTIONS}
    there = [content for content in found.values() if content]
    page = _TEMPLATE.read_text(encoding="utf-8")
    page = page.replace("{machine}", _machines(there))
    page = page.replace("{summary}", markdown(summary(found)).rstrip())
    for name, content in found.items():
        page = page.replace(f"{{{name}}}", _tables(content) if content else _MISSING)
    path = folder / PAGE
    path.write_text(page, encoding="utf-8")
    return path


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _tables(content: dict[str, Any]) -> str:
    return "\n".join(markdown(Table(**table)) for table in content["tables"]).rstrip()


def _machines(contents: list[dict[str, Any]]) -> str:
    """Describe each machine, commit and day once, with the sections that belong to it."""
    groups: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for content in contents:
        key = json.dumps(content["machine"], sort_keys=True)
        groups.setdefault(key, (content["machine"], []))[1].append(content["name"])
    several = len(groups) > 1
    texts = [
        markdown(_machine(machine, names if several else [])) for machine, names in groups.values()
    ]
    warning = _QUICK if any(content["quick"] for content in contents) else ""
    return (warning + "\n".join(texts)).rstrip()


def _machine(machine: dict[str, Any], names: list[str]) -> Table:
    title = f"Machine and versions of {', '.join(names)}" if names else "Machine and versions"
    table = Table(title, ["", "value"])
    for key, value in machine.items():
        if value is not None:
            table.add(_LABELS.get(key, key), str(value))
    return table
