"""The terminal as everything is printed to it: texts that are not ours stay texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gsnr_sweep.wording import printable


class TextConsole(Console):
    """A console that takes no text for markup and passes no control character on.

    Names, paths, errors and logs come from users, files and libraries: ``[/b]`` in one is no end of
    bold type, and an escape sequence in one must not reach the terminal.
    """

    def __init__(self, **options: Any) -> None:
        """Prepare; `options` are those of Rich's console."""
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Draw, without the control characters of what is drawn; Rich's own come apart from it."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style, control)

    @classmethod
    def like(cls, console: Console) -> TextConsole:
        """Return one that prints to where another console prints."""
        if isinstance(console, cls):
            return console
        given = {"width": console.width, "force_terminal": console.is_terminal}
        return cls(file=console.file, **given)
