"""From OmegaConf to the typed config, and what is said of a key that does not fit."""

from __future__ import annotations

from functools import lru_cache

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from gsnr_sweep.config.schedule import epochs_of
from gsnr_sweep.config.schema import (
    SCHEMAS,
    Config,
    MeasuresConfig,
    OptimConfig,
    _field,
    choices_with,
    help_of,
    known_keys,
    section_names,
)
from gsnr_sweep.config.wording import not_allowed, suggest
from gsnr_sweep.data.settings import DataConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.losses.settings import LossConfig
from gsnr_sweep.wording import as_typed

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list[int]": "a list of whole numbers, such as [20,100],",
    "list[float]": "a list of numbers, such as [0.5,0.5],",
    "list[str]": "a list of names, such as [fc1],",
    "dict[str, Any]": "a mapping, such as {name: value},",
    "dict[str, str]": "a mapping, such as {name: text},",
}


# Mappings that a user may extend; Hydra wants a plus sign before a new key.
OPEN_MAPPINGS = (
    *("model.args", "data.args", "optim.args", "optim.schedule_args", "loss.args"),
    "measures.functions",
)


def from_omegaconf(cfg: DictConfig) -> Config:
    """Check names and types of a composed config and return it as dataclasses.

    Args:
        cfg: The composed config of one run, without its ``hydra`` part.

    Returns:
        The typed config, interpolations resolved.

    Raises:
        GsnrError: A key is unknown, missing, or of the wrong type.
    """
    try:
        return as_config(typed(cfg))
    except OmegaConfBaseException as error:
        raise GsnrError(describe_omegaconf_error(error)) from None
    except OverflowError:
        raise GsnrError("A number in the configs has over 308 digits; no key takes it.") from None


def typed(cfg: DictConfig) -> DictConfig:
    """Check names and types of a composed config; what it refers to is not looked up yet.

    Raises:
        GsnrError: There is no such data set.
        OmegaConfBaseException: A key is unknown or of the wrong type.
    """
    for section in section_names():
        if section in cfg and not OmegaConf.is_dict(cfg._get_node(section)):
            own = ", ".join(key for key in known_keys() if key.startswith(f"{section}."))
            raise GsnrError(
                f"{section}={as_typed(cfg[section])}: {section} holds keys of its own: {own}. Give "
                "one of them."
            )
    chosen = {group: OmegaConf.select(cfg, f"{group}.name") for group in SCHEMAS}
    for group, name in chosen.items():
        if isinstance(name, str) and name not in SCHEMAS[group]:
            raise GsnrError(not_allowed(f"{group}.name", name, tuple(SCHEMAS[group])))
    names = [name if isinstance(name, str) else "" for name in chosen.values()]
    merged = OmegaConf.merge(_schema(*names), cfg)
    assert isinstance(merged, DictConfig)
    OmegaConf.set_struct(merged, True)
    OmegaConf.copy_cache(from_config=cfg, to_config=merged)  # times that were resolved before
    return merged


def as_config(cfg: DictConfig) -> Config:
    """Return a config that was typed as dataclasses, interpolations resolved.

    Raises:
        OmegaConfBaseException: A key is missing, or refers to something of the wrong type.
    """
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    if config.random_labels and config.p_random == 0:
        config.p_random = 1.0
    if config.measure_at == "auto":  # told as what it is, and as runs of always have it
        config.measure_at = epochs_of("auto", config.epochs)
    return config


@lru_cache
def _schema(data: str, optim: str, loss: str, measures: str) -> DictConfig:
    """Return the schema as OmegaConf has it, which takes it some 10 ms to make."""
    schema: DictConfig = OmegaConf.structured(Config)
    schema.data = OmegaConf.structured(SCHEMAS["data"].get(data, DataConfig))
    schema.optim = OmegaConf.structured(SCHEMAS["optim"].get(optim, OptimConfig))
    schema.loss = OmegaConf.structured(SCHEMAS["loss"].get(loss, LossConfig))
    schema.measures = OmegaConf.structured(SCHEMAS["measures"].get(measures, MeasuresConfig))
    return schema


def describe_omegaconf_error(error: OmegaConfBaseException) -> str:
    """Say in one sentence what is wrong with which key."""
    key = str(error.full_key or error.key or "")
    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value and needs one: {help_of(key)}. Give it as {key}=VALUE."
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        known = known_keys()
        return f"{key}: {of_another_choice(key)}" if key in known else unknown_key(key, known)
    item = _field(key.partition("[")[0])
    about = f" ({item.metadata['help']})" if item and "help" in item.metadata else ""
    kind = _KINDS.get(str(item.type).removesuffix(" | None")) if item else None
    if isinstance(error, ValidationError) and kind:
        return f"{key}={as_typed(error.value)}: {kind} is needed{about}."
    first_line = str(error.msg or error).splitlines()[0].rstrip(".")
    return f"{key}: {first_line}{about}."


def open_mapping(key: str) -> str:
    """Return the mapping that a key is an entry of, empty if it is of none."""
    return next((name for name in OPEN_MAPPINGS if key.startswith(f"{name}.")), "")


def of_another_choice(key: str) -> str:
    """Say which choices of its group a key belongs to, as the one that is made does not."""
    group = key.partition(".")[0]
    its = [f"{group}={choice}" for choice in choices_with(key)]
    belongs = f" but to {', '.join(its)}" if its else ""
    return f"this key does not belong to the {group} chosen here{belongs}."


def unknown_key(key: str, known: list[str]) -> str:
    """Say that a key does not exist, and what may have been meant."""
    if mapping := open_mapping(key):
        return f"{mapping} has no {key.removeprefix(mapping + '.')!r} yet: add it by +{key}=VALUE."
    return f"There is no key {key!r}. {suggest(key, known)}"
