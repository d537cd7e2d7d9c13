"""From a command line to the grid points it asks for, before Hydra writes anything.

Hydra itself checks a job only when it starts and creates folders before. Here the whole grid is
composed first; what is wrong is said in words of this project.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.core.utils import setup_globals
from omegaconf import DictConfig

from gsnr_sweep.config.compose import Composer, GridPoint, own_overrides
from gsnr_sweep.config.hydra_internals import ConfigLoaderImpl, argument_parser, basic_sweeper
from gsnr_sweep.config.hydra_part import judge_hydra, output_folder
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

MOST_POINTS = 100_000
_SHELLS = ("bash", "zsh", "fish")
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
        multirun: Whether a sweep is asked for: by ``-m`` or ``hydra.mode=MULTIRUN``.
        informative: Whether Hydra is only asked to print something (help, config, version).
        prints_config: Whether a config is composed for that.
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
        args, strays = _options(arguments)
        given = [*args.overrides, *strays]
        overrides = [absolute(o) if is_search_path(o) else o for o in given]
        asked = (args.help, args.hydra_help, args.cfg, args.info, args.shell_completion)
        return cls(
            arguments=(*(a for a in arguments if a not in given), *overrides),
            overrides=tuple(overrides),
            search=tuple(override for override in overrides if is_search_path(override)),
            multirun=bool(args.multirun) or _mode(overrides) == "MULTIRUN",
            informative=any(asked),
            prints_config=any(asked) and bool(overrides or args.cfg) and not args.shell_completion,
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
        run_dir: The same of a single run.
    """

    points: tuple[GridPoint, ...]
    axes: dict[str, list[str]]
    launcher: DictConfig | None = None
    sweep_dir: str = ""
    run_dir: str = ""


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


def _options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Read Hydra's own options, and refuse what Hydra would answer with a traceback.

    Returns:
        The options, and overrides that stand before one of them.

    Raises:
        GsnrError: An option does not exist, lacks something or does not go with another.
    """
    parser = argument_parser()
    parser.error = _refuse_options  # type: ignore[method-assign]
    args, strays = parser.parse_known_args(list(arguments))
    for stray in strays:
        if stray.startswith("-"):
            raise GsnrError(f"There is no option {stray}. See `{launch_program()} --help`.")
    acts = {
        "--cfg": bool(args.cfg),
        "--info": bool(args.info),
        "--shell-completion": args.shell_completion,
        "-m": args.multirun,
        "--run": args.run,
    }
    several = [name for name, given in acts.items() if given]
    if args.multirun and args.cfg:
        raise GsnrError("--cfg prints the config of a single run: leave -m out.")
    if len(several) > 1:
        raise GsnrError(f"{' and '.join(several)}: give one of them at a time.")
    if args.resolve and not (args.cfg or args.help):
        raise GsnrError("--resolve goes with --cfg, which prints a config: --cfg job --resolve.")
    if args.package and not args.cfg:
        raise GsnrError(
            f"--package {args.package} goes with --cfg and names the part of a config to print: "
            "--cfg job --package data."
        )
    if args.experimental_rerun:
        raise GsnrError(
            f"--experimental-rerun {args.experimental_rerun}: runs are not kept in Hydra's form. "
            "Give the command again: finished runs are reused, interrupted ones go on, and "
            "rerun=true runs them anew."
        )
    if args.shell_completion:
        _judge_completion([*args.overrides, *strays])
    if args.config_dir is not None and not _is_folder(args.config_dir):
        raise GsnrError(f"--config-dir {args.config_dir}: there is no such folder.")
    return args, strays


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except (OSError, ValueError):  # longer than names can be, or with a null byte in it
        return False


def _refuse_options(message: str) -> NoReturn:
    raise GsnrError(f"{message}. See `{launch_program()} --hydra-help` for the options.")


def _judge_completion(overrides: Sequence[str]) -> None:
    allowed = [f"{act}={shell}" for act in ("install", "uninstall") for shell in _SHELLS]
    queries = [f"query={shell}" for shell in _SHELLS]
    asked = len(overrides) == 1 and overrides[0]
    if asked in allowed or (asked in queries and "COMP_LINE" in os.environ):
        return
    raise GsnrError(f"--shell-completion: say what to do, one of {', '.join(allowed)}.")


def _mode(overrides: Sequence[str]) -> str:
    modes = [o.partition("=")[2] for o in overrides if o.partition("=")[0] == "hydra.mode"]
    return modes[-1].strip("'\"").upper() if modes else ""


def _grid(composer: Composer, command: CommandLine) -> Grid:
    parsed = composer.parse(command.overrides)
    _refuse_several_grids(parsed)
    if not command.multirun:
        point = composer.point(command.overrides)  # says first what is wrong with keys
        full = composer.full(command.overrides)
        judge_hydra(full, multirun=False)
        return Grid((point,), {}, run_dir=str(output_folder(full, "hydra.run.dir")))
    _judge_size(parsed)
    base = composer.full([_first_value(override) for override in parsed])
    judge_hydra(base, multirun=True)
    sweeper, launcher = base.hydra.sweeper, base.hydra.launcher
    if str(sweeper._target_).rpartition(".")[2] not in _GRID_SWEEPERS:
        point = composer.point(own_overrides(base, "task"))
        return Grid((point,), {}, launcher)  # such a sweeper chooses points as it goes
    params = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
    parsed = composer.parse((*params, *command.overrides))
    _judge_size(parsed)
    (batch,) = basic_sweeper.BasicSweeper.split_arguments(parsed, None)
    axes = _axes(parsed)
    points = tuple(composer.point(overrides, axes) for overrides in batch)
    folder = output_folder(base, "hydra.sweep.dir")
    setup_globals()  # of Hydra: knows what now is
    return Grid(points, axes, launcher, str(folder))


def _judge_size(overrides: Sequence[Override]) -> None:
    """Count a grid's points before any is made.

    Raises:
        GsnrError: There are none, or more than one launch can look after.
    """
    counts = {str(o.input_line): _count(o) for o in overrides if o.is_discrete_sweep()}
    points = math.prod(counts.values())
    if points > MOST_POINTS:
        largest = max(counts, key=lambda line: counts[line])
        raise GsnrError(
            f"{largest}: this grid has {_shown(points)} points, {_shown(counts[largest])} of them "
            f"along this key; one launch takes at most {MOST_POINTS:,}. Give fewer values."
        )


def _shown(count: int) -> str:
    return f"{count:,}" if count < 10**15 else "more than 10¹⁵"


def _count(override: Override) -> int:
    """Count the values of a sweep without making them; at least one."""
    value = override.value()
    try:
        if isinstance(value, RangeSweep):
            count = _range_count(value)
        elif isinstance(value, ChoiceSweep):
            count = len(value.list)
        else:
            count = sum(1 for _ in override.sweep_string_iterator())
    except (ArithmeticError, ValueError) as error:
        raise GsnrError(
            f"{override.input_line}: the range has no such numbers ({error}). Give start, stop and "
            "a step other than 0: 'n=range(1000,5000,1000)'."
        ) from None
    if count < 1:
        raise GsnrError(
            f"{override.input_line}: no value is left. List them (n=1000,2000) or give their "
            "range, whose end is left out: 'n=range(1000,5000,1000)'."
        )
    return count


def _range_count(sweep: RangeSweep) -> int:
    start, stop, step = sweep.start, sweep.stop, sweep.step
    assert start is not None
    assert stop is not None
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        return max(0, -((start - stop) // step))
    count = (stop - start) / step
    if not math.isfinite(count) or not math.isfinite(start + stop + step):
        raise ValueError("a number is not finite")
    if start + step == start:
        raise ValueError("the step is too small to count")
    return max(0, math.ceil(count))


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
    first = next(values, None)  # _judge_size has seen that there is one
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
