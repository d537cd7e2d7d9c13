"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gsnr_sweep.errors import GsnrError


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees either the old file or the whole new one.

    Raises:
        GsnrError: The file cannot be written, such as on a full disk. The old one is intact.
    """
    replace_file(path, lambda temporary: temporary.write_text(text))


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a file beside `path`, then put it into its place in one step.

    Raises:
        GsnrError: The file cannot be written. The old one is intact, no half of the new one stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        reason = error.strerror or str(error)
        raise GsnrError(
            f"{path} cannot be written ({reason}). What was there before is intact: free some "
            "space or make the folder writable, and start the same command again."
        ) from error
