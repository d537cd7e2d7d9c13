"""When two runs are the same run: what decides the numbers, and which code computed them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import gsnr_sweep
from gsnr_sweep.config.schedule import epochs_of
from gsnr_sweep.config.schema import LAUNCH_KEYS, Config
from gsnr_sweep.data.settings import NpzConfig

_DIGITS = 12
_ROOMS_OF_NUMBERS = ("data", "models", "gradients", "engine", "training", "measures")


def run_identity(cfg: Config) -> str:
    """Identify what a run computes by 16 hexadecimal digits.

    Two configs have the same identity if they must give the same numbers: their science part is the
    same, and so is the content of the file of a user's own data, wherever it lies.
    """
    if not isinstance(cfg.data, NpzConfig):
        return config_hash(cfg)
    content = science_part(cfg)
    content["data"]["path"] = file_digest(Path(cfg.data.path).expanduser())
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version(cfg: Config) -> str:
    """Identify the code that computes a run: the core, and the user's own models and measures.

    Returns:
        The package's version and 12 hexadecimal digits over the sources that can change numbers,
            such as ``0.1.0+a3…``.
    """
    own = Path(gsnr_sweep.__file__).parent
    targets = {cfg.model._target_, *cfg.measures.functions.values()}
    modules = {target.rpartition(".")[0] for target in targets}
    files = {path for name in modules if (path := _source(name)) and own not in path.parents}
    digest = hashlib.sha256(_package_digest(own).encode())
    for path in sorted(files):
        digest.update(file_digest(path).encode())
    return f"{gsnr_sweep.__version__}+{digest.hexdigest()[:_DIGITS]}"


def file_digest(path: Path) -> str:
    """Return a digest of a file's content; of a missing file, its name."""
    try:
        found = path.stat()
    except OSError:
        return str(path)
    return _file_digest(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_digest(path: Path, _size: int, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _package_digest(folder: Path) -> str:
    """Digest the sources that can change numbers: a figure edited leaves checkpoints valid."""
    digest = hashlib.sha256()
    rooms = (folder / room for room in _ROOMS_OF_NUMBERS)
    sources = (
        path for room in rooms for kind in ("*.py", "*.c", "*.h") for path in room.rglob(kind)
    )
    for path in sorted(sources):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _source(module: str) -> Path | None:
    """Find a module's source file without importing what is not imported yet."""
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(module) if module else None
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


_NOT_SCIENCE = (
    *(
        "preset",
        "tracking",
        "threads",
        "device",
        "kernels",
        "memory_limit",
        "chunk_size",
        "checkpoint_minutes",
    ),
    *LAUNCH_KEYS,
)

_NOT_SCIENCE_DATA = ("root",)


# Switches that came later. Off, they are left out, so that earlier runs keep their identity.
_LATER = ("tf32",)


def science_part(cfg: Config) -> dict[str, Any]:
    """Return the part of the config that decides the numbers, as plain containers."""
    content = dataclasses.asdict(cfg)
    content["measure_at"] = epochs_of(cfg.measure_at, cfg.epochs)
    for key in _NOT_SCIENCE:
        content.pop(key)
    for key in _NOT_SCIENCE_DATA:
        content["data"].pop(key, None)
    for key in _LATER:
        if not content[key]:
            content.pop(key)
    return content


def config_hash(cfg: Config) -> str:
    """Identify the science of a run by 16 hexadecimal digits."""
    text = json.dumps(science_part(cfg), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
