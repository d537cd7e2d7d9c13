"""The examples of ``docs/extending.md``, run as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, launch_here

TEXT = (ROOT / "docs" / "extending.md").read_text()
SMALL = ("n_sets=2", "n_test=50", "epochs=4", "measure_at=[0,4]", "tracking=none")
ONE = "hydra.launcher.workers=1"


def files() -> dict[str, str]:
    """The examples that say in their first line which file they are, by its name."""
    found: dict[str, str] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        if named := re.match(r"# (\w+\.py)\b", block):
            found[named[1]] = found.get(named[1], "") + block
    return found


def command(module: str) -> list[str]:
    """The arguments of the one launch that names something of a module."""
    lines = re.findall(r"^python launch\.py (.*)$", TEXT, re.MULTILINE)
    (line,) = [line for line in lines if f"{module}." in line]
    return shlex.split(line)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with the files of all examples."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_figure_of_the_users_is_drawn_and_shown(mine: Path) -> None:
    ended = launch_here(mine, *command("my_figures"), *SMALL, ONE)
    assert ended.code == 0, ended.out + ended.err
    (png,) = mine.glob("multirun/*/*/my_figures.spread.png")
    (page,) = mine.glob("multirun/*/*/report.html")
    assert png.stat().st_size > 5000
    assert png.with_suffix(".pdf").is_file()
    assert (png.parent / "lhs_rhs.png").is_file()
    assert 'alt="my_figures.spread"' in page.read_text()


def test_a_claim_of_the_users_is_judged_and_shown(mine: Path) -> None:
    ended = launch_here(mine, *command("my_claims"), *SMALL, ONE)
    assert ended.code == 0, ended.out + ended.err
    assert "The generalization gap rises in training. (my own)" in ended.out
    (page,) = mine.glob("multirun/*/*/report.html")
    assert "The generalization gap rises in training." in page.read_text()


def test_a_figure_that_is_none_is_refused_and_nothing_written(mine: Path) -> None:
    (mine / "my_figures.py").write_text("def spread(analysis):\n    return 3\n")
    ended = launch_here(mine, *command("my_figures"), *SMALL, ONE)
    assert ended.code == 1
    assert "preset.figures=[my_figures.spread]: it returned a value of type int" in ended.err
    assert {path.name for path in mine.iterdir()} == set(files())
