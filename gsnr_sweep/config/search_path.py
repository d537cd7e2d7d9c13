"""Where configs are looked for: the tool's own folder, and those that a user names.

A user's folders are Hydra's: ``--config-dir``, and ``hydra.searchpath`` on the command line or in
the primary config. Hydra passes over a folder that is missing, so that what lies in it seems not to
exist; here that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigSource
from omegaconf import ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep.config.config_files import ConfigFiles
from gsnr_sweep.config.hydra_internals import (
    ConfigLoaderImpl,
    ConfigRepository,
    ConfigSearchPathImpl,
    Hydra,
    create_config_search_path,
)
from gsnr_sweep.errors import GsnrError

VERSION_BASE = "1.3"
KEY = "hydra.searchpath"
_NO_LIST = f"folders of configs are given as a list: {KEY}=[FOLDER]."


@contextmanager
def config_loader(
    config_dir: Path, own_dir: Path | None, config_name: str, search: Sequence[str]
) -> Iterator[ConfigLoaderImpl]:
    """Hydra's loader for these folders, as `hydra.main` makes it.

    Args:
        config_dir: Folder of the tool's configs.
        own_dir: A user's, ``--config-dir``.
        config_name: Primary config.
        search: Overrides of ``hydra.searchpath``.

    Raises:
        GsnrError: A folder or the primary config is missing.
    """
    GlobalHydra.instance().clear()
    version.setbase(VERSION_BASE)
    path = create_config_search_path(str(config_dir))
    if own_dir is not None:
        path.prepend("command-line", f"file://{own_dir}", SearchPathQuery(provider="schema"))
    try:
        hydra = Hydra.create_main_hydra2(task_name="app", config_search_path=path)
        loader = hydra.config_loader
        assert isinstance(loader, ConfigLoaderImpl)
        loader.repository = ConfigFiles(loader.config_search_path)
        _named_sources(loader, config_name, search)
        yield loader
    finally:
        GlobalHydra.instance().clear()


def config_folders(
    config_dir: Path, own_dir: Path | None, config_name: str, search: Sequence[str]
) -> list[Path]:
    """The folders in which configs are looked for, those of this project first.

    Raises:
        GsnrError: As `config_loader`.
    """
    with config_loader(config_dir, own_dir, config_name, search) as loader:
        named = _named_sources(loader, config_name, search)
        paths = [source.path for source in named if source.scheme() == "file"]
        return [config_dir, *([own_dir] if own_dir else []), *(Path(path) for path in paths)]


def absolute(override: str) -> str:
    """Write an override of ``hydra.searchpath`` so that it holds in any working folder.

    Raises:
        GsnrError: It is no list of folders.
    """
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except (HydraException, ValueError, RecursionError):
        return override  # the composition says what is wrong
    entries = None if parsed.is_sweep_override() else _entries(parsed.value())
    if entries is None:
        raise GsnrError(f"{override}: {_NO_LIST}")
    quoted = (_quoted(_absolute(entry)) for entry in entries)
    return f"{parsed.key_or_group}=[{','.join(quoted)}]"


def is_search_path(override: str) -> bool:
    """Whether an override names folders of configs."""
    return override.partition("=")[0].lstrip("+") == KEY


def _named_sources(
    loader: ConfigLoaderImpl, config_name: str, search: Sequence[str]
) -> list[ConfigSource]:
    """The sources that ``hydra.searchpath`` names on the command line, else in the primary config.

    Raises:
        GsnrError: One of them or the primary config is missing.
    """
    named = _of_command_line(search)
    where = "on the command line"
    if not named:
        named, where = _of_primary(loader, config_name), f"of {config_name}.yaml"
    path = ConfigSearchPathImpl()
    for entry in named:
        path.append(provider=where, path=entry)
    sources: list[ConfigSource] = ConfigRepository(config_search_path=path).get_sources()
    for source, entry in zip(sources, named, strict=True):
        if not source.available():
            kind = "folder" if source.scheme() == "file" else "package of configs"
            raise GsnrError(f"{KEY}=[{entry}] {where}: there is no such {kind}.")
    return sources


def _of_command_line(search: Sequence[str]) -> list[str]:
    try:
        parsed = OverridesParser.create().parse_overrides(list(search))
    except (HydraException, ValueError, RecursionError):
        return []  # the composition says what is wrong
    return [entry for override in parsed for entry in _entries(override.value()) or ()]


def _of_primary(loader: ConfigLoaderImpl, config_name: str) -> list[str]:
    try:
        loaded = loader.repository.load_config(config_path=config_name)
    except (HydraException, OmegaConfBaseException):
        return []  # the composition says what is wrong
    if loaded is None:
        folders = [s.path for s in loader.repository.get_sources() if s.scheme() == "file"]
        raise GsnrError(
            f"--config-name {config_name}: there is no config {config_name}.yaml in "
            f"{' or '.join(folders)}. Name a folder that has it: --config-dir FOLDER."
        )
    value = OmegaConf.select(loaded.config, KEY)
    entries = [] if value is None else _entries(value)
    if entries is None:
        raise GsnrError(f"{config_name}.yaml, {KEY}: {_NO_LIST}")
    return entries


def _entries(value: object) -> list[str] | None:
    if not isinstance(value, list | ListConfig):
        return None
    entries = [str(entry) for entry in value]
    return entries if all(isinstance(entry, str) for entry in value) else None


def _absolute(entry: str) -> str:
    scheme, _, path = entry.rpartition("://")
    if scheme not in ("", "file"):
        return entry
    return f"file://{Path(path).expanduser().absolute()}"


def _quoted(text: str) -> str:
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"
