"""From a command line to the grid points it asks for, before Hydra writes anything.

Hydra itself checks a job only when it starts and creates folders before. Here the whole grid is
composed first; what is wrong is said in words of this project.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep.config import describe_omegaconf_error, known_keys, unknown_key
from gsnr_sweep.errors import GsnrError

VERSION_BASE = "1.3"


@dataclass(frozen=True)
class CommandLine:
    """What of the command line matters before launch.

    Attributes:
        overrides: Hydra overrides, sweeps included.
        multirun: Whether ``-m`` was given.
        informative: Whether Hydra is only asked to print something (help, config, version).
        config_dir: Folder of the configs.
        config_name: Primary config.
    """

    overrides: tuple[str, ...]
    multirun: bool
    informative: bool
    config_dir: Path
    config_name: str

    @classmethod
    def parse(cls, arguments: Sequence[str], config_dir: Path) -> CommandLine:
        """Read the command line as Hydra does."""
        args, strays = get_args_parser().parse_known_args(list(arguments))
        for stray in strays:
            if stray.startswith("-"):
                raise GsnrError(f"There is no option {stray}. See `python launch.py --help`.")
        asked = (args.help, args.hydra_help, args.cfg, args.info, args.shell_completion)
        overrides = list(args.overrides)
        if args.config_dir:
            overrides.append(f"hydra.searchpath=[file://{Path(args.config_dir).absolute()}]")
        return cls(
            overrides=tuple(overrides),
            multirun=bool(args.multirun),
            informative=any(asked) or bool(args.experimental_rerun),
            config_dir=Path(args.config_path).absolute() if args.config_path else config_dir,
            config_name=args.config_name or "config",
        )


@dataclass(frozen=True)
class GridPoint:
    """One run of the grid.

    Attributes:
        label: The overrides that set it apart, such as ``n=1000 ch=6``.
        cfg: The composed config, without its ``hydra`` part.
    """

    label: str
    cfg: DictConfig


@dataclass(frozen=True)
class Grid:
    """All runs that a command line asks for.

    Attributes:
        points: In Hydra's order.
        axes: Swept keys with their values.
        known_beforehand: False for sweepers that choose points as they go.
    """

    points: tuple[GridPoint, ...]
    axes: dict[str, list[str]]
    known_beforehand: bool = True


def expand(command: CommandLine) -> Grid:
    """Compose every grid point of a command line.

    Raises:
        GsnrError: An override cannot be read, or names a group, option or key that does not exist,
            or a value of the wrong type.
    """
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(command.config_dir), version_base=VERSION_BASE):
            return _Composer(command).grid()
    finally:
        GlobalHydra.instance().clear()


class _Composer:
    """Composes grid points, each combination of config groups once."""

    def __init__(self, command: CommandLine) -> None:
        self._command = command
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        self._loader = hydra.config_loader
        self._parser = OverridesParser.create(config_loader=self._loader)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def grid(self) -> Grid:
        parsed = self._parse(self._command.overrides)
        if not self._command.multirun:
            return Grid((self._point([], parsed),), {})
        base = self._compose(tuple(_first_value(override) for override in parsed))
        sweeper = base.hydra.sweeper
        if not str(sweeper._target_).endswith("BasicSweeper"):
            return Grid((self._point([], self._parse(base.hydra.overrides.task)),), {}, False)
        params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        parsed = self._parse((*params, *self._command.overrides))
        (batch,) = BasicSweeper.split_arguments(parsed, None)
        axes = _axes(parsed)
        points = (self._point([*axes], self._parse(overrides)) for overrides in batch)
        return Grid(tuple(points), axes)

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        try:
            return self._parser.parse_overrides(list(overrides))
        except OverrideParseException as error:
            raise GsnrError(
                f"{error.override!r} cannot be read as KEY=VALUE. Put values with blanks, commas "
                "or brackets into quotes: 'measure_at=[20,100]'."
            ) from None

    def _point(self, axes: list[str], overrides: list[Override]) -> GridPoint:
        """Compose the groups (remembered), then set the single values."""
        swept = [o for o in overrides if o.is_sweep_override()]
        if swept:
            names = ", ".join(str(o.input_line) for o in swept)
            raise GsnrError(
                f"{names}: several values make a sweep; add -m (python launch.py -m …), or write "
                "a list as key=[value,value]."
            )
        label = " ".join(str(o.input_line) for o in overrides if o.get_key_element() in axes)
        groups = [o for o in overrides if self._is_group(o)]
        values = [o for o in overrides if not self._is_group(o)]
        base = self._compose(tuple(str(o.input_line) for o in groups))
        cfg = copy.deepcopy(base)
        try:
            ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
            with open_dict(cfg):
                del cfg["hydra"]
        except (HydraException, OmegaConfBaseException) as error:
            raise GsnrError(self._explain(error, values, label)) from None
        return GridPoint(label, cfg)

    def _is_group(self, override: Override) -> bool:
        return bool(self._loader.get_group_options(override.key_or_group))

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        if overrides not in self._composed:
            try:
                cfg = compose(self._command.config_name, list(overrides), return_hydra_config=True)
            except (HydraException, OmegaConfBaseException) as error:
                raise GsnrError(self._explain(error, self._parse(overrides), "")) from None
            OmegaConf.set_struct(cfg, True)
            self._composed[overrides] = cfg
        return self._composed[overrides]

    def _explain(self, error: Exception, overrides: list[Override], label: str) -> str:
        """Find the override that is to blame and say what there is instead."""
        where = f" (grid point {label})" if label else ""
        for override in overrides:
            reason = self._fault(override)
            if reason:
                return reason + where
        cause = error.__cause__
        if isinstance(cause, OmegaConfBaseException):
            return describe_omegaconf_error(cause) + where
        return " ".join(str(error).split()) + where

    def _fault(self, override: Override) -> str:
        key = override.key_or_group
        options = self._loader.get_group_options(key)
        if options:
            chosen = override.value()
            wanted = chosen if isinstance(chosen, list) else [chosen]
            missing = [
                str(name) for name in wanted if name is not None and str(name) not in options
            ]
            if missing:
                return (
                    f"{key}={missing[0]}: there is no such option. Allowed: {', '.join(options)}."
                )
            return ""
        if key.partition(".")[0] == "hydra" or override.is_add() or override.is_delete():
            return ""
        if OmegaConf.select(self._compose(()), key, default=_NOTHING) is _NOTHING:
            groups = [g for g in self._loader.list_groups("") if g != "hydra"]
            known = known_keys()
            if key in known:
                return (
                    f"{override.input_line}: this key does not belong to the "
                    f"{key.partition('.')[0]} chosen here."
                )
            return f"There is no key {key!r}. {suggest(key, known + groups)}"
        return ""


_NOTHING: Any = object()


def _first_value(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    values = override.sweep_string_iterator() if override.is_discrete_sweep() else iter(())
    first = next(values, None)
    if first is None:
        return str(override.input_line)
    return f"{override.get_key_element()}={first}"


def _axes(overrides: list[Override]) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        axes.pop(key, None)
        if override.is_discrete_sweep():
            values = list(override.sweep_string_iterator())
            if len(values) > 1:
                axes[key] = values
    return axes
