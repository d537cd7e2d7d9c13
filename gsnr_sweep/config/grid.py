"""From a command line to the grid points it asks for, before Hydra writes anything.

Hydra itself checks a job only when it starts and creates folders before. Here the whole grid is
composed first; what is wrong is said in words of this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from omegaconf import DictConfig

from gsnr_sweep.config.compose import Composer, GridPoint, own_overrides
from gsnr_sweep.config.hydra_internals import ConfigLoaderImpl, argument_parser, basic_sweeper
from gsnr_sweep.config.program import launch_program
from gsnr_sweep.config.search_path import (
    VERSION_BASE,
    absolute,
    config_folders,
    config_loader,
    is_search_path,
)
from gsnr_sweep.errors import GsnrError

__all__ = [
    "VERSION_BASE",
    "CommandLine",
    "Composer",
    "Grid",
    "GridPoint",
    "composer_of",
    "expand",
    "points_of",
]

_GRIDS = ("experiment", "scale")
_GRID_SWEEPERS = ("BasicSweeper", "GridSweeper")


@dataclass(frozen=True)
class CommandLine:
    """What of the command line matters before launch.

    Attributes:
        arguments: What Hydra is to be called with: options first, overrides after them.
        overrides: Hydra overrides, sweeps included.
        search: Those of the overrides that name further folders of configs, which then hold for
            every point.
        multirun: Whether ``-m`` was given.
        informative: Whether Hydra is only asked to print something (help, config, version).
        prints_config: Whether that is a config.
        config_dir: Folder of the configs.
        own_dir: A user's own folder of configs (``--config-dir``).
        config_name: Primary config.
    """

    arguments: tuple[str, ...]
    overrides: tuple[str, ...]
    search: tuple[str, ...]
    multirun: bool
    informative: bool
    prints_config: bool
    config_dir: Path
    own_dir: Path | None
    config_name: str

    @classmethod
    def parse(cls, arguments: Sequence[str], config_dir: Path) -> CommandLine:
        """Read the command line as Hydra does, overrides before options included.

        Raises:
            GsnrError: An option does not exist, or does not go with another.
        """
        args, strays = argument_parser().parse_known_args(list(arguments))
        for stray in strays:
            if stray.startswith("-"):
                raise GsnrError(f"There is no option {stray}. See `{launch_program()} --help`.")
        asked = (args.help, args.hydra_help, args.cfg, args.info, args.shell_completion)
        if args.multirun and args.cfg:
            raise GsnrError("--cfg prints the config of a single run: leave -m out.")
        if args.config_dir and not Path(args.config_dir).is_dir():
            raise GsnrError(f"--config-dir {args.config_dir}: there is no such folder.")
        given = [*args.overrides, *strays]
        overrides = [absolute(o) if is_search_path(o) else o for o in given]
        return cls(
            arguments=(*(a for a in arguments if a not in given), *overrides),
            overrides=tuple(overrides),
            search=tuple(override for override in overrides if is_search_path(override)),
            multirun=bool(args.multirun),
            informative=any(asked) or bool(args.experimental_rerun),
            prints_config=bool(args.cfg),
            config_dir=Path(args.config_path).absolute() if args.config_path else config_dir,
            own_dir=Path(args.config_dir).absolute() if args.config_dir else None,
            config_name=args.config_name or "config",
        )

    def loader(self) -> AbstractContextManager[ConfigLoaderImpl]:
        """Hydra's loader for the folders of configs that the command line names."""
        return config_loader(self.config_dir, self.own_dir, self.config_name, self.search)

    def folders(self) -> list[Path]:
        """The folders in which configs are looked for, those of this project first.

        Raises:
            GsnrError: One of them or the primary config is missing.
        """
        return config_folders(self.config_dir, self.own_dir, self.config_name, self.search)


@dataclass(frozen=True)
class Grid:
    """All runs that a command line asks for.

    Attributes:
        points: In Hydra's order.
        axes: Swept keys with their values.
        launcher: Settings of Hydra's launcher; None for a single run.
        sweep_dir: Folder that the sweep would have if it were launched now; empty for a single run.
    """

    points: tuple[GridPoint, ...]
    axes: dict[str, list[str]]
    launcher: DictConfig | None = None
    sweep_dir: str = ""


def expand(command: CommandLine, composer: Composer | None = None) -> Grid:
    """Compose every grid point of a command line.

    Args:
        command: The command line.
        composer: One kept from earlier command lines with the same folders of configs.

    Raises:
        GsnrError: An override cannot be read, or names a group, option or key that does not exist,
            or a value of the wrong type; or a folder of configs is missing.
    """
    return _grid(composer or composer_of(command), command)


def composer_of(command: CommandLine) -> Composer:
    """Return a composer of a command line's configs. It can be kept: it needs no state of Hydra."""
    with command.loader() as loader:
        return Composer(loader, command.config_name, command.search)


def points_of(
    loader: ConfigLoader, sweep: DictConfig, overrides: Sequence[Sequence[str]]
) -> list[GridPoint]:
    """Compose the points that a sweeper hands to a launcher.

    Args:
        loader: The launcher's, from its `HydraContext`.
        sweep: The sweep's config, ``hydra`` part included.
        overrides: Those of each point, as the sweeper made them.

    Returns:
        The points in the same order, labelled by what differs between them.

    Raises:
        GsnrError: As `expand`.
    """
    composer = Composer.of_sweep(loader, sweep)
    values: dict[str, set[str]] = {}
    for point in overrides:
        for override in composer.parse(point):
            values.setdefault(override.get_key_element(), set()).add(str(override.input_line))
    axes = {key for key, lines in values.items() if len(lines) > 1}
    return [composer.point(point, axes) for point in overrides]


def _grid(composer: Composer, command: CommandLine) -> Grid:
    if not command.multirun:
        _refuse_several_grids(composer.parse(command.overrides))
        return Grid((composer.point(command.overrides),), {})
    parsed = composer.parse(command.overrides)
    _refuse_several_grids(parsed)
    base = composer.full([_first_value(override) for override in parsed])
    sweeper, launcher = base.hydra.sweeper, base.hydra.launcher
    if str(sweeper._target_).rpartition(".")[2] not in _GRID_SWEEPERS:
        point = composer.point(own_overrides(base, "task"))
        return Grid((point,), {}, launcher)  # such a sweeper chooses points as it goes
    params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parsed = composer.parse((*params, *command.overrides))
    (batch,) = basic_sweeper.BasicSweeper.split_arguments(parsed, None)
    axes = _axes(parsed)
    points = tuple(composer.point(overrides, axes) for overrides in batch)
    setup_globals()  # of Hydra: knows what now is
    return Grid(points, axes, launcher, str(base.hydra.sweep.dir))


def _refuse_several_grids(overrides: list[Override]) -> None:
    """Refuse several experiments or scales at once: each of them is a grid of its own."""
    for override in overrides:
        several = override.is_sweep_override() or isinstance(override.value(), list)
        if override.key_or_group in _GRIDS and several:
            raise GsnrError(
                f"{override.input_line}: each {override.key_or_group} is a grid of its own. Launch "
                "one at a time; python -m gsnr_sweep report takes several sweeps on one page."
            )


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
