"""From what there is to say to one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gsnr_sweep.papers.plotting.style import DPI
from gsnr_sweep.report.content import Section
from gsnr_sweep.wording import printable

TEMPLATE = "template.html"
CSS_PIXELS = 140
"""Pixels on the page for an inch of a figure, whose text is 7 to 8.5 points."""


def render(sections: Sequence[Section]) -> str:
    """Write the page.

    Whatever comes from users or runs is escaped, without its control characters; figures are
    inside the page, which loads nothing.

    Args:
        sections: One a sweep.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gsnr_sweep", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"embedded": embedded, "width": width}
    page = environment.get_template(TEMPLATE).render(
        sections=sections,
        title=sections[0].title if len(sections) == 1 else f"{len(sections)} sweeps",
        papers=list(dict.fromkeys(paper for section in sections for paper in section.papers)),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return printable(page)


def width(path: Path) -> int:
    """Return the width in CSS pixels at which a PNG file's text has the size of the page's."""
    header = path.read_bytes()[:24]
    return round(int.from_bytes(header[16:20]) / DPI * CSS_PIXELS)


def embedded(path: Path) -> str:
    """Return a PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
