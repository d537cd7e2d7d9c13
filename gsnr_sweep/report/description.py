"""A sweep in a few lines of Markdown: what MLflow shows as the description of its run."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from gsnr_sweep.report.content import Section, Table
from gsnr_sweep.wording import printable

_MARKS = re.compile(r"([\\\\`*_{}\[\]<>|#~&])")
_ROWS = 8


def description(section: Section, longest: int) -> str:
    """Write what was run, the coefficients, the verdicts, and how to run it again.

    Where all is too long, the evidence of the claims is left out, then the tables, then the claims.

    Args:
        section: What there is to say of the sweep.
        longest: Characters that the store takes.
    """
    lead = _text(section.lead)
    again = _code(section.again)
    tables = [_table(table) for table in section.tables]
    claims, verdicts = _claims(section, evidence=True), _claims(section, evidence=False)
    for middle in ([*tables, claims], [*tables, verdicts], [verdicts], []):
        text = "\n\n".join(filter(None, (lead, *middle, again)))
        if len(text) <= longest:
            return text
    return again if len(again) <= longest else lead[:longest].rstrip("\\")


def _claims(section: Section, evidence: bool) -> str:
    if not section.claims:
        return ""
    lines = [f"**{_text(section.claims_title)}**", ""]
    for claim in section.claims:
        lines.append(f"- **{claim.verdict}**: {_text(claim.text)} ({_text(claim.source)})")
        if evidence and claim.evidence:
            lines[-1] += f" – {_text(claim.evidence)}"
    return "\n".join(lines)


def _table(table: Table) -> str:
    step = math.ceil(len(table.rows) / _ROWS) or 1
    rows = table.rows[::-step][::-1]  # the last one, which says most, is always among them
    shown = f" ({len(rows)} of {len(table.rows)})" if len(rows) < len(table.rows) else ""
    lines = [_row(table.columns), _row(["---"] * len(table.columns)), *map(_row, _texts(rows))]
    note = [f"*{_text(table.note)}*"] if table.note else []
    return "\n\n".join([f"**{_text(table.title)}**{shown}", "\n".join(lines), *note])


def _texts(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[_text(cell) for cell in row] for row in rows]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(lines: Sequence[str]) -> str:
    """Write lines of code, indented: whatever stands in them is no mark."""
    told = [f"    {line}" for one in lines for line in printable(one).splitlines()]
    return "\n".join(["Run it again:", "", *told]) if told else ""


def _text(text: str) -> str:
    """Write a text, which may be anybody's, so that nothing in it is a mark."""
    return _MARKS.sub(r"\\\1", " ".join(printable(text).split()))
