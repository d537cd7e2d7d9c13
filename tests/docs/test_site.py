"""What a strict build of the site does not see; it checks links and nav, and runs the tutorial."""

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml

import gsnr_sweep
from gsnr_sweep.config.schema import known_keys, section_names
from tests.conftest import ROOT

DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "tutorial.ipynb"
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)\s]*\)")


def test_the_api_page_shows_every_export() -> None:
    shown = set(re.findall(r"^::: gsnr_sweep\.(\w+)$", (DOCS / "api.md").read_text(), re.M))
    assert shown == set(gsnr_sweep._EXPORTS)


def test_the_nav_has_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2].partition("theme:")[0]
    named = set(re.findall(r"[\w/]+\.md", nav))
    assert named == {path.name for path in DOCS.glob("*.md")} | {"tutorial.md"}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_links_work_where_the_files_are_read(page: Path) -> None:
    """On a page of a code host there are no other files than those of the repository."""
    for target in LINK.findall(page.read_text()):
        assert (DOCS / target).resolve().is_relative_to(DOCS), target
        assert (DOCS / target).is_file(), target


def test_the_notebook_holds_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]


def test_the_cite_page_says_what_the_citation_file_says() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (paper,) = cited["references"]
    page = (DOCS / "cite.md").read_text()
    authors = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    for text in (authors, paper["url"], str(paper["year"]), cited["version"], cited["license"]):
        assert text in page


def test_every_key_is_on_the_page_of_keys() -> None:
    pytest.importorskip("mkdocs", reason="needs pip install -e '.[docs]'")
    hooks = runpy.run_path(str(DOCS / "hooks.py"))
    page = hooks["on_page_markdown"]((DOCS / "configuration.md").read_text())
    assert "<!--" not in page
    keys = set(known_keys()) - {*section_names()}
    assert keys <= set(re.findall(r"^\| `([\w.]+)` \|", page, re.M))
