"""From a point's overrides to its typed config, fast enough for grids of thousands of points.

Hydra composes a config in some 40 ms. Here it composes each combination of config groups once; its
config is typed once, and a point is a copy of that with the point's own values set.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep.config.hydra_internals import apply_overrides, override_dirname
from gsnr_sweep.config.parse import (
    as_config,
    describe_omegaconf_error,
    from_omegaconf,
    of_another_choice,
    open_mapping,
    typed,
    unknown_key,
)
from gsnr_sweep.config.program import launch_program
from gsnr_sweep.config.schema import SCHEMAS, Config, known_keys, value_at
from gsnr_sweep.config.unreadable import too_many_digits, unreadable
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.wording import as_typed

_LONGEST_KEY = 200  # longer ones would not even be names of files that may hold such a group


@dataclass(frozen=True)
class GridPoint:
    """One run of the grid. Points share nothing that can be changed, not even lists.

    Attributes:
        label: The overrides that set it apart, such as ``n=1000 ch=6``.
        overrides: All its overrides but those of Hydra itself, as Hydra gives them to a launcher.
        cfg: The typed config; None if names or types in it are wrong.
        problem: What is wrong then, else empty.
    """

    label: str
    overrides: tuple[str, ...]
    cfg: Config | None
    problem: str = ""

    @classmethod
    def of(cls, cfg: DictConfig, label: str = "", overrides: Sequence[str] = ()) -> GridPoint:
        """Type a config that is composed already, without its ``hydra`` part."""
        try:
            return cls(label, tuple(overrides), from_omegaconf(cfg))
        except GsnrError as error:
            return cls(label, tuple(overrides), None, str(error))

    def with_values_told(self) -> GridPoint:
        """Name the point by the values that its overrides refer to, where they refer to any."""
        if self.cfg is None or "${" not in self.label:
            return self
        told = []
        for override in self.label.split(" "):
            key, _, value = override.partition("=")
            value = as_typed(value_at(self.cfg, key)) if "${" in value else value
            told.append(f"{key}={value}")
        return dataclasses.replace(self, label=" ".join(told))


@dataclass(frozen=True)
class _Combination:
    """One combination of config groups and of values of Hydra's own.

    Attributes:
        cfg: What Hydra composed for it, ``hydra`` part included.
        typed: The same without that part, typed and pickled, which is the fastest way to copy it;
            None if it cannot be typed before the values are set.
    """

    cfg: DictConfig
    typed: bytes | None


class Composer:
    """Composes grid points, and remembers what they have in common."""

    def __init__(
        self,
        loader: ConfigLoader,
        config_name: str | None,
        fixed: Sequence[str] = (),
        sweep: DictConfig | None = None,
    ) -> None:
        """Compose with a loader of Hydra's.

        Args:
            loader: Knows where configs lie.
            config_name: Primary config.
            fixed: Overrides of Hydra itself that hold for every point.
            sweep: A composed config whose resolved interpolations (such as times) are taken over.
        """
        self._loader = loader
        self._config_name = config_name
        self._fixed = tuple(fixed)
        self._sweep = sweep
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._options: dict[str, list[str]] = {}
        self._combinations: dict[tuple[str, ...], _Combination] = {}

    @classmethod
    def of_sweep(cls, loader: ConfigLoader, sweep: DictConfig) -> Composer:
        """Compose as `ConfigLoader.load_sweep_config` does: with the sweep's own Hydra choices.

        Args:
            loader: The launcher's, from its `HydraContext`.
            sweep: The sweep's config, ``hydra`` part included.
        """
        return cls(loader, sweep.hydra.job.config_name, own_overrides(sweep, "hydra"), sweep)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Parse overrides, each distinct one once.

        Raises:
            GsnrError: One is no override.
        """
        return [self._parse_one(override) for override in overrides]

    def _parse_one(self, override: str) -> Override:
        if override not in self._parsed:
            try:
                (parsed,) = self._parser.parse_overrides([override])
            except (HydraException, ValueError, RecursionError):
                raise GsnrError(unreadable(override)) from None
            if not 0 < len(parsed.key_or_group) <= _LONGEST_KEY or too_many_digits(override):
                raise GsnrError(unreadable(override))
            self._parsed[override] = parsed
        return self._parsed[override]

    def point(self, overrides: Sequence[str], axes: Collection[str] = ()) -> GridPoint:
        """Compose and type one point.

        Args:
            overrides: Its overrides; none may be a sweep.
            axes: Keys whose overrides make its label.

        Returns:
            The point; if a value is of a wrong type, with a problem instead of a config.

        Raises:
            GsnrError: An override cannot be read, or names a group, option or key that does not
                exist.
        """
        parsed = self.parse(overrides)
        _refuse_sweeps(parsed)
        _refuse_names(parsed)
        label = " ".join(str(o.input_line) for o in parsed if o.get_key_element() in axes)
        task = tuple(str(o.input_line) for o in parsed if not o.is_hydra_override())
        combination, values = self._split(parsed)
        if combination.typed is not None and all(
            _can_be_set_on_a_typed_config(value, combination.cfg) for value in values
        ):
            try:
                cfg: DictConfig = pickle.loads(combination.typed)
                apply_overrides(values, cfg)
                return GridPoint(label, task, as_config(cfg)).with_values_told()
            except (HydraException, OmegaConfBaseException):
                pass  # the long way says what is wrong
        cfg = _without_hydra(self._with_overrides(combination, values, label))
        return GridPoint.of(cfg, label, task).with_values_told()

    def full(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the whole config of one point, as `ConfigLoader.load_sweep_config` does.

        Each combination of config groups is composed by Hydra once; values are set on a copy of it.

        Args:
            overrides: The point's overrides.

        Raises:
            GsnrError: As `point`.
        """
        parsed = self.parse(overrides)
        cfg = self._with_overrides(*self._split(parsed), "")
        own = [override for override in parsed if not override.is_hydra_override()]
        about = cfg.hydra.job.config.override_dirname
        with open_dict(cfg.hydra):
            cfg.hydra.overrides.task = [str(override.input_line) for override in own]
            cfg.hydra.job.override_dirname = override_dirname(
                overrides=own,
                kv_sep=about.kv_sep,
                item_sep=about.item_sep,
                exclude_keys=about.exclude_keys,
            )
        return cfg

    def _split(self, parsed: list[Override]) -> tuple[_Combination, list[Override]]:
        """Return what Hydra composes for a point, and the values that are set on a copy of it."""
        own = [o for o in parsed if o.input_line not in self._fixed]
        values = [o for o in own if not self._is_group(o) and not o.is_hydra_override()]
        composed = (str(o.input_line) for o in own if o not in values)
        return self._combination(tuple(composed)), values

    def _with_overrides(
        self, combination: _Combination, values: list[Override], label: str
    ) -> DictConfig:
        """Set values as Hydra does, on a copy of what it composed."""
        cfg = copy.deepcopy(combination.cfg)
        try:
            apply_overrides(values, cfg)
        except (HydraException, OmegaConfBaseException) as error:
            told = self._explain(error, values, label, combination.cfg)
            raise GsnrError(told) from None
        return cfg

    def _is_group(self, override: Override) -> bool:
        return bool(self._group_options(override.key_or_group))

    def _group_options(self, group: str) -> list[str]:
        if group not in self._options:
            self._options[group] = self._loader.get_group_options(
                group, config_name=self._config_name, overrides=list(self._fixed)
            )
        return self._options[group]

    def _combination(self, overrides: tuple[str, ...]) -> _Combination:
        if overrides not in self._combinations:
            cfg = self._compose(overrides)
            self._combinations[overrides] = _Combination(cfg, _typed_copy(cfg))
        return self._combinations[overrides]

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        """Let Hydra compose a config, ``hydra`` part included."""
        parsed = self.parse(overrides)
        for override in parsed:
            if self._is_group(override) and (reason := self._fault(override)):
                raise GsnrError(reason)  # of an optional group, Hydra would say nothing
        try:
            cfg = self._loader.load_configuration(
                self._config_name, [*self._fixed, *overrides], RunMode.RUN, from_shell=False
            )
        except (HydraException, OmegaConfBaseException) as error:
            raise GsnrError(self._explain(error, parsed, "")) from None
        except RecursionError:
            raise GsnrError(
                f"The config {self._config_name} with {' '.join(overrides) or 'its defaults'} goes "
                "round in a circle: a config is among its own defaults. Leave it out there."
            ) from None
        self._refuse_missing_scale(cfg)
        OmegaConf.set_struct(cfg, True)
        if self._sweep is not None:
            OmegaConf.copy_cache(from_config=self._sweep, to_config=cfg)
        return cfg

    def _refuse_missing_scale(self, cfg: DictConfig) -> None:
        """Refuse a scale that an experiment with scales lacks: Hydra would say nothing."""
        chosen = cfg.hydra.runtime.choices
        experiment, scale = chosen.get("experiment"), chosen.get("scale")
        scales = self._group_options(f"scales/{experiment}") if experiment else []
        if scales and scale not in (None, "paper", *scales):
            raise GsnrError(
                f"scale={scale}: experiment {experiment} has no such scale. It has "
                f"{', '.join(scales)}. Another one is a config scales/{experiment}/{scale}.yaml."
            )

    def _explain(
        self,
        error: Exception,
        overrides: list[Override],
        label: str,
        chosen: DictConfig | None = None,
    ) -> str:
        """Find the override that is to blame and say what there is instead.

        Args:
            error: What Hydra or OmegaConf said.
            overrides: Those in question.
            label: Of the grid point, empty for none.
            chosen: What they were to change; None for what the defaults choose.
        """
        where = f" (grid point {label})" if label else ""
        for override in overrides:
            reason = self._fault(override, chosen)
            if reason:
                return reason + where
        cause = error.__cause__
        if isinstance(cause, OmegaConfBaseException):
            return describe_omegaconf_error(cause) + where
        return " ".join(str(error).split()) + where

    def _fault(self, override: Override, chosen: DictConfig | None = None) -> str:
        key = override.key_or_group
        options = self._group_options(key)
        if options:
            return _group_fault(override, options)
        if key.partition(".")[0] == "hydra" or override.is_add() or override.is_delete():
            return ""
        cfg = self._combination(()).cfg if chosen is None else chosen
        if _lacks(cfg, key):
            groups = [g for g in self._loader.list_groups("") if g != "hydra"]
            known = known_keys()
            whole = open_mapping(key) or key
            if whole in known and _lacks(cfg, whole):
                return f"{override.input_line}: {of_another_choice(whole)}"
            return unknown_key(key, known + groups)
        return ""


_NOTHING: Any = object()


def _lacks(cfg: DictConfig, key: str) -> bool:
    """Tell whether a config has no such key; one whose value is yet to be given is there."""
    if OmegaConf.select(cfg, key, default=_NOTHING) is not _NOTHING:
        return False
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return not isinstance(node, DictConfig) or name not in list(node)


def own_overrides(cfg: DictConfig, kind: str) -> list[str]:
    """Return the overrides that made a config, as given: what they refer to is not looked up.

    Args:
        cfg: A config that Hydra composed.
        kind: ``task``, or ``hydra`` for those of Hydra itself.
    """
    overrides = OmegaConf.to_container(cfg.hydra.overrides[kind])
    assert isinstance(overrides, list)
    return [str(override) for override in overrides]


def _refuse_sweeps(overrides: list[Override]) -> None:
    swept = [o for o in overrides if o.is_sweep_override()]
    if swept:
        names = ", ".join(str(o.input_line) for o in swept)
        raise GsnrError(
            f"{names}: several values make a sweep; add -m ({launch_program()} -m …; in "
            "Python call gsnr_sweep.sweep), or write a list as key=[value,value]."
        )


def _refuse_names(overrides: list[Override]) -> None:
    """Refuse a choice by its name alone: it would be told as what it is not."""
    for override in overrides:
        group, _, key = override.key_or_group.partition(".")
        if group in SCHEMAS and key == "name" and not override.is_delete():
            wanted = as_typed(override.value())
            raise GsnrError(
                f"{override.input_line}: the name alone chooses nothing. Give {group}={wanted}, "
                "which brings all its settings."
            )


def _group_fault(override: Override, options: list[str]) -> str:
    chosen = override.value()
    wanted = chosen if isinstance(chosen, list) else [chosen]
    missing = [as_typed(name) for name in wanted if name not in options]
    if missing and not override.is_delete():
        return (
            f"{override.input_line}: there is no option {missing[0]!r}. "
            f"Allowed: {', '.join(options)}."
        )
    return ""


def _without_hydra(cfg: DictConfig) -> DictConfig:
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _typed_copy(cfg: DictConfig) -> bytes | None:
    """Type a composed config; the types of its groups' settings must not depend on other values."""
    try:
        for group in SCHEMAS:
            if OmegaConf.is_interpolation(cfg, group):
                return None
            if OmegaConf.is_interpolation(cfg[group], "name"):
                return None
        return pickle.dumps(typed(_without_hydra(copy.deepcopy(cfg))))
    except (GsnrError, OmegaConfBaseException):
        return None


def _can_be_set_on_a_typed_config(override: Override, cfg: DictConfig) -> bool:
    """Tell whether an override means the same before and after typing.

    That is so for values of keys that are there; keys come and go in the mappings that users may
    extend.
    """
    if override.type is OverrideType.CHANGE:
        return True
    mapping = open_mapping(override.key_or_group)
    return bool(mapping) and not _lacks(cfg, mapping)
