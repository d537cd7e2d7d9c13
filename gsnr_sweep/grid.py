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
        arguments: What Hydra is to be called with: options first, overrides after them.
        overrides: Hydra overrides, sweeps included.
        search: Hydra override for a further folder of configs (``--config-dir``), if there is one.
        multirun: Whether ``-m`` was given.
        informative: Whether Hydra is only asked to print something (help, config, version).
        prints_config: Whether that is a config.
        config_dir: Folder of the configs.
        config_name: Primary config.
    """

    arguments: tuple[str, ...]
    overrides: tuple[str, ...]
    search: tuple[str, ...]
    multirun: bool
    informative: bool
    prints_config: bool
    config_dir: Path
    config_name: str

    @classmethod
    def parse(cls, arguments: Sequence[str], config_dir: Path) -> CommandLine:
        """Read the command line as Hydra does, overrides before options included.

        Raises:
            GsnrError: An option does not exist, or does not go with another.
        """
        args, strays = get_args_parser().parse_known_args(list(arguments))
        for stray in strays:
            if stray.startswith("-"):
                raise GsnrError(f"There is no option {stray}. See `python launch.py --help`.")
        asked = (args.help, args.hydra_help, args.cfg, args.info, args.shell_completion)
        if args.multirun and args.cfg:
            raise GsnrError("--cfg prints the config of a single run: leave -m out.")
        if args.config_dir and not Path(args.config_dir).is_dir():
            raise GsnrError(f"--config-dir {args.config_dir}: there is no such folder.")
        overrides = [*args.overrides, *strays]
        folder = f"file://{Path(args.config_dir or '').absolute()}"
        return cls(
            arguments=(*(a for a in arguments if a not in overrides), *overrides),
            overrides=tuple(overrides),
            search=(f"hydra.searchpath=[{folder}]",) if args.config_dir else (),
            multirun=bool(args.multirun),
            informative=any(asked) or bool(args.experimental_rerun),
            prints_config=bool(args.cfg),
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
        launcher: Settings of Hydra's launcher; None for a single run.
    """

    points: tuple[GridPoint, ...]
    axes: dict[str, list[str]]
    launcher: DictConfig | None = None


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
        self._options: dict[str, list[str]] = {}

    def grid(self) -> Grid:
        parsed = self._parse(self._command.overrides)
        if not self._command.multirun:
            return Grid((self._point([], parsed),), {})
        base = self._compose(tuple(_first_value(override) for override in parsed))
        sweeper, launcher = base.hydra.sweeper, base.hydra.launcher
        if not str(sweeper._target_).endswith("BasicSweeper"):
            point = self._point([], self._parse(base.hydra.overrides.task))
            return Grid((point,), {}, launcher)  # such a sweeper chooses points as it goes
        params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        parsed = self._parse((*params, *self._command.overrides))
        (batch,) = BasicSweeper.split_arguments(parsed, None)
        axes = _axes(parsed)
        points = (self._point([*axes], self._parse(overrides)) for overrides in batch)
        return Grid(tuple(points), axes, launcher)

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
        return bool(self._group_options(override.key_or_group))

    def _group_options(self, group: str) -> list[str]:
        if group not in self._options:
            self._options[group] = self._loader.get_group_options(
                group, config_name=self._command.config_name, overrides=list(self._command.search)
            )
        return self._options[group]

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        if overrides not in self._composed:
            parsed = self._parse(overrides)
            for override in parsed:
                if self._is_group(override) and (reason := self._fault(override)):
                    raise GsnrError(reason)  # of an optional group, Hydra would say nothing
            try:
                cfg = compose(
                    self._command.config_name,
                    [*self._command.search, *overrides],
                    return_hydra_config=True,
                )
            except (HydraException, OmegaConfBaseException) as error:
                raise GsnrError(self._explain(error, parsed, "")) from None
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
        options = self._group_options(key)
        if options:
            chosen = override.value()
            wanted = chosen if isinstance(chosen, list) else [chosen]
            missing = [
                "null" if name is None else str(name) for name in wanted if name not in options
            ]
            if missing and not override.is_delete():
                return (
                    f"{override.input_line}: there is no option {missing[0]!r}. "
                    f"Allowed: {', '.join(options)}."
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
            return unknown_key(key, known + groups)
        return ""


_NOTHING: Any = object()


def _first_value(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    values = override.sweep_string_iterator() if override.is_discrete_sweep() else iter(())
    first = next(values, None)
    if first is None:
        raise GsnrError(
            f"{override.input_line}: a grid needs single values. List them (n=1000,2000) or give "
            "their range: 'n=range(1000,5000,1000)'."
        )
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
