"""From what there is to say to one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from gsnr_sweep.papers.plotting.style import DPI
from gsnr_sweep.report.content import Section
from gsnr_sweep.wording import printable

TEMPLATE = "template.html"
TABLES_SCRIPT, EXPLORER_SCRIPT = "tables.js", "explorer.js"
CSS_PIXELS = 140
"""Pixels on the page for an inch of a figure, whose text is 7 to 8.5 points."""


def render(sections: Sequence[Section]) -> str:
    """Write the page.

    Whatever comes from users or runs is escaped, without its control characters; figures and
    scripts are inside the page, which loads nothing. The page itself tells browsers to run no
    script but these and to fetch nothing, so that a text that got past the escaping stays idle.

    Args:
        sections: One a sweep.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        """Take control characters out of all but what is the page's own."""
        return value if isinstance(value, Markup) else printable(str(value))

    environment = Environment(
        loader=PackageLoader("gsnr_sweep", "report"),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"embedded": embedded, "width": width}
    scripts = _scripts(explores=any(section.explorer for section in sections))
    page: str = environment.get_template(TEMPLATE).render(
        sections=sections,
        title=sections[0].title if len(sections) == 1 else f"{len(sections)} sweeps",
        papers=list(dict.fromkeys(paper for section in sections for paper in section.papers)),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        scripts=[Markup(script) for script in scripts],
        digests=[Markup(f"'sha256-{digest(script)}'") for script in scripts],
        data=lambda explorer: Markup(explorer.json()),
    )
    return page


def _scripts(explores: bool) -> list[str]:
    """Return the page's scripts; the plotting library, of some MB, only where it is needed."""
    own = files("gsnr_sweep.report")
    tables = own.joinpath(TABLES_SCRIPT).read_text(encoding="utf-8")
    if not explores:
        return [tables]
    from plotly.offline import get_plotlyjs

    return [tables, get_plotlyjs(), own.joinpath(EXPLORER_SCRIPT).read_text(encoding="utf-8")]


def digest(script: str) -> str:
    """Return what a browser knows a script by that a page allows."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def width(path: Path) -> int:
    """Return the width in CSS pixels at which a PNG file's text has the size of the page's."""
    header = path.read_bytes()[:24]
    return round(int.from_bytes(header[16:20]) / DPI * CSS_PIXELS)


def embedded(path: Path) -> str:
    """Return a PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
