"""From a point's overrides to its typed config, fast enough for grids of thousands of points.

Hydra composes a config in some 40 ms. Here it composes each combination of config groups once, and
of the points that differ in single values only one is composed and typed; the others are copies of
it with their own values set, each distinct value typed once.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, get_origin, get_type_hints

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gsnr_sweep.config.hydra_internals import apply_overrides, override_dirname
from gsnr_sweep.config.parse import describe_omegaconf_error, from_omegaconf, unknown_key
from gsnr_sweep.config.program import launch_program
from gsnr_sweep.config.schema import DATA_SCHEMAS, Config, known_keys
from gsnr_sweep.data.settings import DataConfig
from gsnr_sweep.errors import GsnrError


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


@dataclass
class _Combination:
    """One combination of config groups.

    Attributes:
        cfg: What Hydra composed for it, ``hydra`` part included.
        keys: The keys whose values can be set later, with their types.
        patterns: Typed points by what they do not share with all others: the overrides that cannot
            be set later, and the keys of those that can.
    """

    cfg: DictConfig
    keys: dict[str, Any]
    patterns: dict[tuple[str, ...], GridPoint] = field(default_factory=dict)


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
        self._values: dict[tuple[str, Any], Any] = {}

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
                (self._parsed[override],) = self._parser.parse_overrides([override])
            except OverrideParseException as error:
                raise GsnrError(
                    f"{error.override!r} cannot be read as KEY=VALUE. Put values with blanks, "
                    "commas or brackets into quotes: 'measure_at=[20,100]'."
                ) from None
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
        label = " ".join(str(o.input_line) for o in parsed if o.get_key_element() in axes)
        task = tuple(str(o.input_line) for o in parsed if not o.is_hydra_override())
        groups = tuple(str(o.input_line) for o in parsed if self._is_group(o))
        values = [o for o in parsed if not self._is_group(o)]
        found = self._typed_point(self._combination(groups), values, label)
        return replace(found, label=label, overrides=task)

    def full(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the whole config of one point, as `ConfigLoader.load_sweep_config` does.

        Each combination of config groups is composed by Hydra once; values are set on a copy of it.

        Args:
            overrides: The point's overrides.

        Raises:
            GsnrError: As `point`.
        """
        parsed = self.parse(overrides)
        groups = tuple(str(o.input_line) for o in parsed if self._is_group(o))
        values = [o for o in parsed if not self._is_group(o)]
        cfg = self._with_overrides(self._combination(groups), values, "")
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

    def _typed_point(
        self, combination: _Combination, values: list[Override], label: str
    ) -> GridPoint:
        """Return a point from the first one of its pattern, which goes the whole way."""
        typed = self._set_later(combination, values)
        pattern = tuple(
            str(o.input_line) if value is NOT_POSSIBLE else o.key_or_group
            for o, value in zip(values, typed, strict=True)
        )
        if pattern not in combination.patterns:
            composed = self._composed(combination, values, label)
            combination.patterns[pattern] = GridPoint.of(composed)
        first = combination.patterns[pattern]
        if first.cfg is None:
            return first
        return replace(first, cfg=_with_values(first.cfg, pattern, typed))

    def _set_later(self, combination: _Combination, overrides: list[Override]) -> list[Any]:
        """Return the typed values of the overrides that can be set on a typed config.

        It is NOT_POSSIBLE for those that add or delete, that set a mapping, refer to other keys or
        are of a wrong type. They go the whole way through Hydra and OmegaConf, with everything
        that concerns the same section.
        """
        typed = [self._typed(combination, override) for override in overrides]
        others = [o for o, value in zip(overrides, typed, strict=True) if value is NOT_POSSIBLE]
        sections = {_section(o) for o in others}
        refers = any("${" in str(o.input_line) and not o.is_hydra_override() for o in others)
        return [
            NOT_POSSIBLE if refers or _section(override) in sections else value
            for override, value in zip(overrides, typed, strict=True)
        ]

    def _typed(self, combination: _Combination, override: Override) -> Any:
        hint = combination.keys.get(override.key_or_group, NOT_POSSIBLE)
        if hint is NOT_POSSIBLE or override.package or override.type is not OverrideType.CHANGE:
            return NOT_POSSIBLE
        at = (str(override.input_line), hint)
        if at not in self._values:
            value = override.value()
            self._values[at] = converted(hint, value) if is_single_value(value) else NOT_POSSIBLE
        return self._values[at]

    def _composed(
        self, combination: _Combination, values: list[Override], label: str
    ) -> DictConfig:
        """Set values on what Hydra composed; leave the ``hydra`` part out."""
        return _without_hydra(self._with_overrides(combination, values, label))

    def _with_overrides(
        self, combination: _Combination, values: list[Override], label: str
    ) -> DictConfig:
        """Set values as Hydra does, on a copy of what it composed."""
        cfg = copy.deepcopy(combination.cfg)
        try:
            apply_overrides(values, cfg)
        except (HydraException, OmegaConfBaseException) as error:
            raise GsnrError(self._explain(error, values, label)) from None
        if self._sweep is not None:
            OmegaConf.copy_cache(from_config=self._sweep, to_config=cfg)
        return cfg

    def _is_group(self, override: Override) -> bool:
        return bool(self._group_options(override.key_or_group))

    def _group_options(self, group: str) -> list[str]:
        if group not in self._options:
            self._options[group] = self._loader.get_group_options(
                group, config_name=self._config_name, overrides=list(self._fixed)
            )
        return self._options[group]

    def _combination(self, groups: tuple[str, ...]) -> _Combination:
        if groups not in self._combinations:
            cfg = self.compose(groups)
            self._combinations[groups] = _Combination(cfg, _keys(cfg))
        return self._combinations[groups]

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Let Hydra compose a config, ``hydra`` part included.

        Raises:
            GsnrError: An override cannot be read, or names a group, option or key that does not
                exist.
        """
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
        self._refuse_missing_scale(cfg)
        OmegaConf.set_struct(cfg, True)
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
            return _group_fault(override, options)
        if key.partition(".")[0] == "hydra" or override.is_add() or override.is_delete():
            return ""
        if OmegaConf.select(self._combination(()).cfg, key, default=_NOTHING) is _NOTHING:
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
            f"{names}: several values make a sweep; add -m ({launch_program()} -m …), or write a "
            "list as key=[value,value]."
        )


def _group_fault(override: Override, options: list[str]) -> str:
    chosen = override.value()
    wanted = chosen if isinstance(chosen, list) else [chosen]
    missing = ["null" if name is None else str(name) for name in wanted if name not in options]
    if missing and not override.is_delete():
        return (
            f"{override.input_line}: there is no option {missing[0]!r}. "
            f"Allowed: {', '.join(options)}."
        )
    return ""


def _section(override: Override) -> str:
    """Return the first part of a key."""
    return re.split(r"[.\[]", override.key_or_group, maxsplit=1)[0]


def _without_hydra(cfg: DictConfig) -> DictConfig:
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _keys(cfg: DictConfig) -> dict[str, Any]:
    """Return the keys whose values can be set later: none where keys refer to each other."""
    content = OmegaConf.to_container(_without_hydra(copy.deepcopy(cfg)))
    if _refers(content):
        return {}
    name = OmegaConf.select(cfg, "data.name", throw_on_missing=False)
    schema = DATA_SCHEMAS.get(name, DataConfig) if isinstance(name, str) else DataConfig
    return single_value_keys(schema)


def _refers(content: object) -> bool:
    """Tell whether there is an interpolation somewhere."""
    if isinstance(content, dict):
        return any(_refers(value) for value in content.values())
    if isinstance(content, list):
        return any(_refers(value) for value in content)
    return isinstance(content, str) and "${" in content


def _with_values(pattern: Config, keys: Sequence[str], values: Sequence[Any]) -> Config:
    """Copy a typed config and set values that are typed already, if possible."""
    cfg = copy.deepcopy(pattern)
    for key, value in zip(keys, values, strict=True):
        if value is not NOT_POSSIBLE:
            section, _, name = key.rpartition(".")
            setattr(getattr(cfg, section) if section else cfg, name, copy.copy(value))
    return cfg


NOT_POSSIBLE: Any = object()


def single_value_keys(data: type[DataConfig]) -> dict[str, Any]:
    """Return the dotted keys that hold a single value or a list of them, with their types.

    Args:
        data: Dataclass of the config's ``data`` section. Its name is not among the keys, since that
            decides which other keys there are.
    """
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(Config).items():
        section = data if name == "data" else hint
        if dataclasses.is_dataclass(section):
            inner = get_type_hints(section).items()
            found |= {f"{name}.{key}": inner_hint for key, inner_hint in inner}
        else:
            found[name] = hint
    return {
        key: hint
        for key, hint in found.items()
        if key != "data.name" and not _may_hold_a_mapping(hint)
    }


def _may_hold_a_mapping(hint: Any) -> bool:
    return hint is Any or get_origin(hint) is dict or dataclasses.is_dataclass(hint)


def is_single_value(value: object) -> bool:
    """Tell whether a value can be typed by itself: it is there and refers to nothing else."""
    if isinstance(value, list):
        return all(is_single_value(item) and not isinstance(item, list) for item in value)
    if isinstance(value, str):
        return "${" not in value and value != MISSING
    return value is None or isinstance(value, bool | int | float)


def converted(hint: Any, value: object) -> Any:
    """Return the value as a typed config holds it, or NOT_POSSIBLE if it is of another type."""
    try:
        merged = OmegaConf.merge(_config_of_one(hint), {"value": value})
        return OmegaConf.to_container(merged)["value"]  # type: ignore[index, call-overload]
    except OmegaConfBaseException:
        return NOT_POSSIBLE


@lru_cache
def _config_of_one(hint: Any) -> DictConfig:
    field = ("value", hint, dataclasses.field(default=MISSING))
    schema = OmegaConf.structured(dataclasses.make_dataclass("One", [field]))
    assert isinstance(schema, DictConfig)
    return schema
