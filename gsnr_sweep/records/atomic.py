"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gsnr_sweep.errors import GsnrError

PRIVATE = 0o600

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a link that leads nowhere but to itself"),
)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees either the old file or the whole new one.

    Raises:
        GsnrError: As `replace_file`.
    """
    replace_file(path, lambda temporary: temporary.write_text(text))


def replace_file(path: Path, write: Callable[[Path], Any], mode: int | None = None) -> None:
    """Let `write` make a file beside `path`, then put it into its place in one step.

    Of a link, the file that it leads to is replaced. The new file has the owner and the permissions
    of the old one. It is on the disk, not only in memory, before it takes the old one's place.

    Args:
        path: The file; it need not be there.
        write: Fills the file that it is given, which is there, is empty, and has the ending of
            `path`.
        mode: Permissions, whatever the old file's are; None for the old one's or, of a new file,
            what the umask leaves.

    Raises:
        GsnrError: The file cannot be written, or is no ordinary one: a folder, a device, a pipe, a
            socket. The old one is intact, no half of the new one stays.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".gsnr-{secrets.token_hex(8)}{path.suffix}")
    try:
        old = _ordinary(path)
        # nobody can have laid a link there: O_EXCL, and the name cannot be guessed
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or 0o666))
        write(temporary)
        _finish(temporary, old, mode)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise GsnrError(
            f"{path} cannot be written ({reason}). What was there before is intact: free some "
            "space or make the folder writable, and start the same command again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _ordinary(path: Path) -> os.stat_result | None:
    """Return what is known of an ordinary file, None if there is none.

    Raises:
        GsnrError: Something else is there, which a rename would put an end to.
    """
    try:
        old = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(old.st_mode):
        kind = next((kind for is_one, kind in _KINDS if is_one(old.st_mode)), "no ordinary file")
        raise GsnrError(
            f"{path} cannot be written: it is {kind}. Only an ordinary file is replaced; name "
            "another one, or move this out of the way."
        )
    return old


def _finish(temporary: Path, old: os.stat_result | None, mode: int | None) -> None:
    """Give the file its owner and permissions, and have it on the disk."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        if old is not None:
            new = os.fstat(descriptor)
            if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
                with contextlib.suppress(OSError):  # only root may give a file away
                    os.fchown(descriptor, old.st_uid, old.st_gid)
            mode = stat.S_IMODE(old.st_mode) if mode is None else mode
        if mode is not None:
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
