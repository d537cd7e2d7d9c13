"""What reaches the terminal: text that it can show, to an output that may be gone."""

from __future__ import annotations

import os
import re
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from gsnr_sweep.wording import printable

_LONG = re.compile(r"\S{400,}")
_HEAD, _TAIL = 120, 40


def paragraph(text: str) -> str:
    """Write a message so that a terminal shows it and nothing else happens there.

    Control characters are left out, words of hundreds of letters shortened.
    """
    return _LONG.sub(lambda word: f"{word[0][:_HEAD]}…{word[0][-_TAIL:]}", printable(text))


def prepare_output() -> None:
    """Make both outputs take any text, and let work go on that nobody can be told of any more.

    A character that the terminal's encoding lacks is shown as a question mark. An output that is
    closed, or on a disk that is full, swallows what is written from then on.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started this
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
            setattr(sys, name, _Steady(stream))


class _Steady:
    """An output that gives up silently once it cannot be written to."""

    def __init__(self, stream: TextIOWrapper) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Turn the file itself away, so that other users of it are not troubled either."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
