"""Reading of a user's .npz file: the one place where its bytes are trusted with nothing.

Whatever is wrong with a file or one of its members ends as one `GsnrError` that names both. An
array is read only after its size was compared with what the archive holds and with the machine's
memory.
"""

from __future__ import annotations

import math
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from gsnr_sweep.data.arrays import ARRAYS, Headers
from gsnr_sweep.errors import GsnrError, describe_exception
from gsnr_sweep.machine import memory_limit

_MOST_NAMED = 10
_LONGEST_NAME = 60
_WRITE = (
    "Write one with numpy.savez_compressed(path, x_train=…, y_train=…, x_test=…, y_test=…), arrays "
    "of numbers."
)


def check_file(path: Path) -> int:
    """Make sure that a path names an ordinary file that can be read.

    Returns:
        When it was last written, in ns.

    Raises:
        GsnrError: It does not.
    """
    where = f"data.path={path}"
    try:
        found = path.stat()
    except FileNotFoundError:
        raise GsnrError(
            f"{where}: there is no such file. Give an .npz file of the arrays {', '.join(ARRAYS)}."
        ) from None
    except (OSError, ValueError) as error:
        raise GsnrError(f"{where}: it cannot be read ({_reason(error)}).") from None
    if not stat.S_ISREG(found.st_mode):  # to open a pipe would wait for ever
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise GsnrError(f"{where}: this is {kind}; an .npz file is needed.")
    return found.st_mtime_ns


def read_headers(path: Path) -> Headers:
    """Read shape and type of each array without reading the arrays.

    Raises:
        GsnrError: The file cannot be read, is no .npz, or an array is missing or damaged.
    """
    with _opened(path) as archive:
        return {name: _read_header(path, archive, name) for name in ARRAYS}


def read_array(path: Path, name: str) -> NDArray[Any]:
    """Read one of `ARRAYS`.

    Raises:
        GsnrError: It is missing or damaged, or larger than the machine's memory.
    """
    with _opened(path) as archive:
        shape, dtype = _read_header(path, archive, name)
        _check_memory(path, name, math.prod(shape) * dtype.itemsize)
        with _member(path, archive, name) as (stream, _):
            array: NDArray[Any] = npy_format.read_array(stream, allow_pickle=False)
            return array


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    check_file(path)
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise GsnrError(f"data.path={path}: it cannot be read ({_reason(error)}).") from None
    except Exception as error:  # BadZipFile, and whatever a damaged directory leads to
        raise GsnrError(
            f"data.path={path}: this is not an .npz file ({describe_exception(error)}). {_WRITE}"
        ) from None
    with archive:
        _check_members(path, archive.namelist())
        yield archive


def _check_members(path: Path, members: list[str]) -> None:
    """Refuse an archive that lacks an array, or holds it twice."""
    counts = {name: sum(members.count(member) for member in _names_of(name)) for name in ARRAYS}
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise GsnrError(
            f"data.path={path}: the arrays {', '.join(missing)} are missing; found are "
            f"{_list_members(members)}. Needed are {', '.join(ARRAYS)}."
        )
    for name, count in counts.items():
        if count > 1:
            raise GsnrError(f"data.path={path}: {name} is in it {count} times; once is needed.")


def _names_of(name: str) -> tuple[str, str]:
    """Return what the member of an array may be called."""
    return f"{name}.npy", name


def _list_members(members: list[str]) -> str:
    """List members by names that are fit to be printed, whoever chose them."""
    names = sorted({name.removesuffix(".npy") for name in members})
    shown = [
        "".join(char if char.isprintable() else "?" for char in name)[:_LONGEST_NAME]
        for name in names[:_MOST_NAMED]
    ]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (", ".join(shown) or "none") + more


@contextmanager
def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Iterator[tuple[Any, int]]:
    """Open a member, its stream and size; what fails while it is read is said of it."""
    (member,) = (member for member in _names_of(name) if member in archive.namelist())
    try:
        info = archive.getinfo(member)
        if info.flag_bits & 1:
            raise ValueError("it is encrypted")
        with archive.open(info) as stream:
            yield stream, info.file_size
    except GsnrError:
        raise
    except Exception as error:
        raise GsnrError(
            f"data.path={path}: its member {member} is damaged or no array ({_reason(error)}). "
            f"{_WRITE}"
        ) from None


def _read_header(
    path: Path, archive: zipfile.ZipFile, name: str
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _member(path, archive, name) as (stream, size):
        version = npy_format.read_magic(stream)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"its format has the unknown version {version}")
        read: Callable[..., Any] = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        if any(isinstance(length, bool) or length < 0 for length in shape):
            raise ValueError(f"its header gives the shape {shape}")
        promised, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
        if not dtype.hasobject and promised != held:  # objects are refused by their type
            raise ValueError(f"its header promises {promised} bytes of numbers, {held} are there")
    return shape, dtype


def _check_memory(path: Path, name: str, n_bytes: int) -> None:
    if n_bytes > (memory := memory_limit()):
        raise GsnrError(
            f"data.path={path}: {name} takes {n_bytes / 1e9:,.0f} GB, and this process may have "
            f"{memory / 1e9:,.0f} GB. Give fewer samples or a smaller type, such as uint8."
        )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error) is ValueError:
        return " ".join(str(error).split())[:300].rstrip(".")
    return describe_exception(error).rstrip(".")
