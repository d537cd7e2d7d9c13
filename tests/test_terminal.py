"""What is printed: texts of others stay texts, and their control characters stay away."""

import io

import pytest
from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.terminal import TextConsole
from gsnr_sweep.wording import printable

HOSTILE = (
    "[/x]",
    "out[/b]",
    "[bold]",
    "[], {}",
    ":smile:",
    "[link=http://a]",
    "a\\",
    "\\[b]",
)
ESCAPES = ("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\r", "\x08", "\x7f", "\u202e", "\u2066")


def _console() -> TextConsole:
    return TextConsole(file=io.StringIO(), width=60, force_terminal=True, color_system=None)


def _printed(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_no_markup_wherever_they_stand(text: str) -> None:
    console = _console()
    console.print(text)
    console.print(text, style="yellow")
    console.print(Panel(text, title=Text(text)))
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.print(table)
    assert _printed(console).count(text) == 7


@pytest.mark.parametrize("escape", ESCAPES)
def test_control_characters_do_not_reach_the_terminal(escape: str) -> None:
    console = _console()
    text = f"before{escape}after"
    table = Table(title=text)
    table.add_row(text, Text(text))
    for what in (text, Text(text), Panel(text), table):
        console.print(what)
    out = _printed(console)
    assert printable(out) == out
    assert out.count("before") == out.count("after") == 6


def test_a_bar_is_still_drawn_and_its_text_is_clean() -> None:
    console = _console()
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task("[/x]\x1b]0;title\x07")
    assert "[/x]" in _printed(console)
    assert "\x1b]0" not in _printed(console)


def test_a_console_of_texts_prints_where_another_does() -> None:
    other = Console(file=io.StringIO(), width=33)
    console = TextConsole.like(other)
    console.print("[/x]")
    assert _printed(other) == "[/x]\n"
    assert console.width == 33
    assert TextConsole.like(console) is console


def test_lines_and_tabs_stay() -> None:
    assert printable("a\tb\nc é – 你 \x1b") == "a\tb\nc é – 你 "


@pytest.mark.parametrize("escape", ESCAPES)
def test_errors_hold_no_control_characters(escape: str) -> None:
    assert str(GsnrError(f"a{escape}b\nc")) == f"a{printable(escape)}b\nc"
    assert len(printable(escape)) < len(escape)
    assert printable(told := describe_exception(ValueError(f"a{escape}b"))) == told
