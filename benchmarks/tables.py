"""Tables for the terminal and for Markdown, and what a part of the benchmarks hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable


@dataclass
class Table:
    """A table of texts.

    Attributes:
        title: What it is about.
        columns: Headings; the first column is aligned left.
        rows: Cells.
        notes: Sentences below it.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Append a row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))


@dataclass
class Section:
    """What one part of the benchmarks found.

    Attributes:
        name: As in ``--only``.
        tables: For people.
        facts: The same and more as numbers, for JSON.
    """

    name: str
    tables: list[Table]
    facts: dict[str, Any]


def markdown(table: Table) -> str:
    """Write a table in Markdown, with its title and notes."""
    lines = [f"**{table.title}**", "", _row(table.columns)]
    lines.append(_row(["---", *["---:"] * (len(table.columns) - 1)]))
    lines += [_row(row) for row in table.rows]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def show(table: Table, console: Console) -> None:
    """Print a table."""
    drawn = RichTable(title=table.title, title_justify="left", title_style="bold")
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if number else "left")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)
    for note in table.notes:
        console.print(note, style="dim", highlight=False)
