"""The whole config of one run: its keys, their types, and every check that needs no I/O.

Values live in ``conf/``; this module only says what they mean and what is allowed. A config is
built with `from_omegaconf`, which checks types and names, and judged with `problems`, which checks
ranges and combinations.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from gsnr_sweep.config.schedule import epochs_of
from gsnr_sweep.errors import GsnrError

DTYPES = ("float32", "float64")
INITS = ("torch", "he", "small")
LABEL_NOISES = ("uniform", "different")
VARIANCES = ("plugin", "unbiased")
SCALES = ("paper", "laptop", "smoke")
KERNELS = ("auto", "none", "avx512", "avx2", "baseline")
LAYOUTS = ("auto", "hwc", "chw")

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
_OPEN = ("model.args", "measures.functions")

_MEMORY_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _key(help_text: str) -> Any:
    """A config key without a default in code (``conf/`` holds it) and with its line of help."""
    return field(default=MISSING, metadata={"help": help_text})


def _names(help_text: str) -> Any:
    """A list of names that people's own config files may leave out."""
    return field(default_factory=list, metadata={"help": help_text})


def _off(help_text: str) -> Any:
    """A switch that people's own config files, and older records, may leave out."""
    return field(default=False, metadata={"help": help_text})


def _auto(help_text: str) -> Any:
    """A choice that people's own config files, and older records, may leave out."""
    return field(default="auto", metadata={"help": help_text})


@dataclass
class DataConfig:
    """What every data set's config has (group ``data``)."""

    name: str = _key("which distribution the training sets and the test set are drawn from")
    noisy_test: bool = _key("whether p_random applies to the test labels too")
    label_noise: str = _key(
        "a randomized label is drawn from all classes (uniform) or the others (different)"
    )


@dataclass
class DigitsConfig(DataConfig):
    """scikit-learn's handwritten digits, deformed afresh at every draw."""

    rotation: float = _key("largest rotation, degrees")
    scale: float = _key("largest relative change of size")
    shear: float = _key("largest shear")
    shift: float = _key("largest shift, pixels")
    elastic: float = _key("standard deviation of the elastic displacement, pixels")
    mean: list[float] = _key("mean of a channel's pixels (of 255), for standardization")
    std: list[float] = _key("standard deviation of a channel's pixels, for standardization")


@dataclass
class TorchvisionConfig(DataConfig):
    """A data set that torchvision downloads and reads."""

    dataset: str = _key("class in torchvision.datasets")
    root: str | None = _key("folder of the files; default GSNR_DATA_ROOT, else data_cache")
    shape: list[int] = _key("channels, height and width of an image")
    n_classes: int = _key("number of classes")
    train_pool: int = _key("number of training images to draw from")
    test_pool: int = _key("number of test images to draw from")
    mean: list[float] = _key("mean of a channel's pixels, for standardization")
    std: list[float] = _key("standard deviation of a channel's pixels, for standardization")


@dataclass
class NpzConfig(DataConfig):
    """A user's own arrays x_train, y_train, x_test and y_test in one .npz file."""

    path: str = _key("the .npz file")
    layout: str = _key("axes of 4-dimensional x: hwc, chw, or auto")
    standardize: bool = _key("whether to standardize by channel with x_train's mean and deviation")


@dataclass
class ToyConfig(DataConfig):
    """y = x0·x1 + ε with ε ~ U[−η, η] (Liu et al. 2020, A.3)."""

    eta: float = _key("half-width η of the target's uniform noise")


@dataclass
class ModelConfig:
    """A network (group ``model``)."""

    name: str = _key("the model's name")
    _target_: str = _key("the torch.nn.Module to build, as a dotted path")
    init: str = _key(
        "initial weights: torch (PyTorch's default), he (He-normal), small (N(0, 0.1²))"
    )
    args: dict[str, Any] = _key("further arguments of the module's constructor")
    frozen: list[str] = _names("layers or parameters that are not trained, such as [fc1]")


@dataclass
class OptimConfig:
    """How weights move (group ``optim``)."""

    name: str = _key("gd: full-batch gradient descent, the only optimizer eq. (19) speaks of")


@dataclass
class MeasuresConfig:
    """What is measured at a scheduled epoch (group ``measures``)."""

    variance: str = _key("variance of per-sample gradients: plugin (1/n) or unbiased (1/(n-1))")
    functions: dict[str, str] = _key("measures by name, each a dotted path to its function")
    parameters: list[str] = _names(
        "layers or parameters to follow one by one, such as [fc2.weight]"
    )


@dataclass
class PresetConfig:
    """Which experiment of the paper this is (groups ``experiment`` and ``scale``)."""

    name: str | None = _key("the experiment, as in experiment=fig4_mnist; null: none")
    scale: str = _key("paper, laptop or smoke")
    figures: list[str] = _key("figures to draw of the sweep")


@dataclass
class TrackingConfig:
    """Where results go besides the output folder (group ``tracking``)."""

    name: str = _key("mlflow, or none")
    uri: str | None = _key("tracking store; null: MLFLOW_TRACKING_URI, else sqlite in this folder")
    experiment: str = _key("MLflow experiment that collects the runs")
    parent_run_id: str | None = _key("MLflow run of the sweep that this run belongs to")
    run_name: str | None = _key("name of the run; null: from n, ch and p_random")


@dataclass
class Config:
    """One run, that is one grid point."""

    n: int = _key("size of each training set")
    p_random: float = _key("probability that a label is replaced by a random one")
    ch: int = _key("width of the model: channels p of Tables 2 and 3, hidden units of the MLP")
    n_sets: int = _key("number M of training sets, and so of replicas")
    n_test: int = _key("size of the test set")
    epochs: int = _key("gradient-descent steps to train for (full batch: one step an epoch)")
    measure_at: Any = _key("epochs to measure at: a list, every:10, or log:30 (30, log-spaced)")
    lr: float = _key("learning rate λ")
    seed: int = _key("decides the sets, the label noise and the initial weights")
    device: str = _key("auto, cpu, cuda or cuda:K")
    dtype: str = _key("float32 or float64, of weights and activations")
    tf32: bool = _off("TF32 tensor-core arithmetic on NVIDIA GPUs: faster, 10-bit mantissa")
    kernels: str = _auto(
        "compiled kernels on a CPU: auto, none (PyTorch alone), avx512, avx2, baseline"
    )
    memory_limit: str = _key("memory that a pass through the network may use, in each thread")
    chunk_size: int | None = _key("samples in one pass through the network; null: by memory_limit")
    threads: int | None = _key("replicas worked on side by side; null: all cores of this machine")
    checkpoint_minutes: float | None = _key("time between two checkpoints; 0: every epoch")
    dry_run: bool = _key("only show what would be run, and what it would cost")
    rerun: bool = _key("run again what is finished or half finished in this experiment")
    same_code: bool = _key("let only results of this very version of the code count as finished")
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    measures: MeasuresConfig = field(default_factory=MeasuresConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    preset: PresetConfig = field(default_factory=PresetConfig)


DATA_SCHEMAS: dict[str, type[DataConfig]] = {
    "digits": DigitsConfig,
    "mnist": TorchvisionConfig,
    "fashion_mnist": TorchvisionConfig,
    "cifar10": TorchvisionConfig,
    "npz": NpzConfig,
    "toy": ToyConfig,
}

# Keys that say where, how fast and for whom a run is made, but not what its numbers are.
LAUNCH_KEYS = ("dry_run", "rerun", "same_code")
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
        name = OmegaConf.select(cfg, "data.name")
        if isinstance(name, str) and name not in DATA_SCHEMAS:
            raise GsnrError(_not_allowed("data.name", name, tuple(DATA_SCHEMAS)))
        schema = OmegaConf.structured(Config)
        schema.data = OmegaConf.structured(DATA_SCHEMAS.get(name, DataConfig))
        merged = OmegaConf.merge(schema, cfg)
        OmegaConf.copy_cache(from_config=cfg, to_config=merged)  # times that were resolved before
        typed = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise GsnrError(describe_omegaconf_error(error)) from None
    assert isinstance(typed, Config)
    return typed


def describe_omegaconf_error(error: OmegaConfBaseException) -> str:
    """Say in one sentence what is wrong with which key."""
    key = str(error.full_key or error.key or "")
    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value and needs one: {help_of(key)}. Give it as {key}=VALUE."
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return unknown_key(key, known_keys())
    item = _field(key.partition("[")[0])
    about = f" ({item.metadata['help']})" if item and "help" in item.metadata else ""
    kind = _KINDS.get(str(item.type).removesuffix(" | None")) if item else None
    if isinstance(error, ValidationError) and kind:
        return f"{key}={_as_typed(error.value)}: {kind} is needed{about}."
    first_line = str(error.msg or error).splitlines()[0].rstrip(".")
    return f"{key}: {first_line}{about}."


def _as_typed(value: object) -> str:
    """Write a value as people type it on a command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown_key(key: str, known: list[str]) -> str:
    """Say that a key does not exist, and what may have been meant."""
    mapping = next((name for name in _OPEN if key.startswith(f"{name}.")), None)
    if mapping:
        return f"{mapping} has no {key.removeprefix(mapping + '.')!r} yet: add it by +{key}=VALUE."
    return f"There is no key {key!r}. {suggest(key, known)}"


def known_keys() -> list[str]:
    """Every dotted key of the config, whichever data set is chosen."""
    return sorted(
        {start + item.name for cls, start in _sections() for item in dataclasses.fields(cls)}
    )


def help_of(dotted: str) -> str:
    """Return the line of help of a dotted key, or an empty string."""
    item = _field(dotted)
    return str(item.metadata.get("help", "")) if item else ""


def _field(dotted: str) -> dataclasses.Field[Any] | None:
    for cls, prefix in _sections():
        for item in dataclasses.fields(cls):
            if prefix + item.name == dotted:
                return item
    return None


def describe_keys() -> list[tuple[str, str]]:
    """List the top-level keys of the command line with their help, in order."""
    return [
        (item.name, str(item.metadata["help"]))
        for item in dataclasses.fields(Config)
        if "help" in item.metadata
    ]


def suggest(name: str, known: list[str]) -> str:
    """Propose known names that look like `name`."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not close:
        short = {k.rpartition(".")[2]: k for k in known}
        close = [short[s] for s in difflib.get_close_matches(name, list(short), n=3, cutoff=0.6)]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return "See `python launch.py --help` for the keys."


def memory_bytes(text: str) -> int:
    """Convert a memory size such as ``1GB`` or ``512MiB`` to bytes.

    Raises:
        ValueError: The text is not a positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMG]i?B)\s*", text)
    if not match or float(match[1]) <= 0:
        raise ValueError(f"{text!r} is not a memory size")
    return int(float(match[1]) * _MEMORY_UNITS[match[2]])


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


def run_name(cfg: Config) -> str:
    """Name a grid point as people do, such as ``n=1000 ch=6 p=0.0``."""
    if cfg.tracking.run_name:
        return cfg.tracking.run_name
    name = f"n={cfg.n} ch={cfg.ch} p={cfg.p_random}"
    return f"{name} eta={cfg.data.eta:g}" if isinstance(cfg.data, ToyConfig) else name


def problems(cfg: Config) -> list[str]:
    """Judge ranges and combinations of a typed config.

    Returns:
        One sentence or two a problem: key, value, what is allowed. Empty if all is well.
    """
    return [
        *_size_problems(cfg),
        *_schedule_problems(cfg),
        *_number_problems(cfg),
        *_choice_problems(cfg),
        *_data_problems(cfg),
        *_preset_problems(cfg),
    ]


def _size_problems(cfg: Config) -> list[str]:
    found = []
    for key, least in (("n", 2), ("ch", 1), ("n_sets", 1), ("n_test", 2)):
        value = getattr(cfg, key)
        if value < least:
            found.append(f"{key}={value}: {help_of(key)} must be at least {least}.")
    return found


def _schedule_problems(cfg: Config) -> list[str]:
    found = []
    if cfg.epochs < 0:
        return [f"epochs={cfg.epochs}: {help_of('epochs')} must not be negative."]
    given = cfg.measure_at
    try:
        epochs = epochs_of(given, cfg.epochs)
    except ValueError as error:
        return [f"measure_at={_as_typed(given)}: {error}."]
    if not epochs:
        found.append("measure_at=[]: give at least one epoch, such as measure_at=[20,100].")
    beyond = [epoch for epoch in epochs if not 0 <= epoch <= cfg.epochs]
    if beyond:
        found.append(
            f"measure_at={given}: {beyond} is outside 0..epochs={cfg.epochs}. "
            "Raise epochs or leave these out."
        )
    if len(set(epochs)) < len(epochs):
        found.append(f"measure_at={given}: an epoch is listed twice.")
    return found


def _number_problems(cfg: Config) -> list[str]:
    found = []
    if not 0 <= cfg.p_random <= 1:
        found.append(f"p_random={cfg.p_random}: {help_of('p_random')} must lie in [0, 1].")
    if not (cfg.lr > 0 and math.isfinite(cfg.lr)):
        found.append(f"lr={cfg.lr}: the learning rate must be a positive, finite number.")
    if not 0 <= cfg.seed < 2**63:
        found.append(f"seed={cfg.seed}: the seed must be a whole number from 0 to 2**63 - 1.")
    for key in ("chunk_size", "threads"):
        value = getattr(cfg, key)
        if value is not None and value < 1:
            found.append(f"{key}={value}: give at least 1, or null for an automatic choice.")
    minutes = cfg.checkpoint_minutes
    if minutes is not None and not 0 <= minutes < math.inf:
        found.append(
            f"checkpoint_minutes={minutes}: give minutes, 0 for every epoch, or null for none but "
            "those at an interruption."
        )
    try:
        memory_bytes(cfg.memory_limit)
    except ValueError:
        units = ", ".join(_MEMORY_UNITS)
        found.append(
            f"memory_limit={cfg.memory_limit}: give a number and a unit ({units}), such as 1GB."
        )
    return found


def _choice_problems(cfg: Config) -> list[str]:
    found = []
    choices: list[tuple[str, Any, tuple[str, ...]]] = [
        ("dtype", cfg.dtype, DTYPES),
        ("kernels", cfg.kernels, KERNELS),
        ("model.init", cfg.model.init, INITS),
        ("measures.variance", cfg.measures.variance, VARIANCES),
        ("data.label_noise", cfg.data.label_noise, LABEL_NOISES),
        ("optim.name", cfg.optim.name, ("gd",)),
        ("tracking.name", cfg.tracking.name, ("mlflow", "none")),
    ]
    if isinstance(cfg.data, NpzConfig):
        choices.append(("data.layout", cfg.data.layout, LAYOUTS))
    for key, value, allowed in choices:
        if value not in allowed:
            found.append(_not_allowed(key, value, allowed))
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", cfg.device):
        found.append(f"device={cfg.device}: allowed are auto, cpu, cuda and cuda:K.")
    return found


def _preset_problems(cfg: Config) -> list[str]:
    if cfg.preset.name is None and cfg.preset.scale != SCALES[0]:
        return [
            f"scale={cfg.preset.scale}: a scale belongs to an experiment of the paper. Give one, "
            f"such as experiment=fig4_mnist scale={cfg.preset.scale}."
        ]
    return []


def _not_allowed(key: str, value: object, allowed: tuple[str, ...]) -> str:
    return f"{key}={value}: {help_of(key)}. Allowed: {', '.join(allowed)}."


def _data_problems(cfg: Config) -> list[str]:
    return [*_toy_problems(cfg), *_deformation_problems(cfg.data), *_pixel_problems(cfg.data)]


def _toy_problems(cfg: Config) -> list[str]:
    data = cfg.data
    found = []
    if isinstance(data, ToyConfig):
        if not data.eta >= 0:
            found.append(f"data.eta={data.eta}: the noise's half-width must not be negative.")
        if cfg.p_random > 0:
            found.append(
                f"p_random={cfg.p_random}: data=toy is a regression and has no labels to "
                "randomize; its noise is data.eta. Set p_random=0."
            )
    return found


def _deformation_problems(data: DataConfig) -> list[str]:
    found = []
    if isinstance(data, DigitsConfig):
        for key in ("rotation", "scale", "shear", "shift", "elastic"):
            if not getattr(data, key) >= 0:
                found.append(f"data.{key}={getattr(data, key)}: must not be negative.")
        if data.scale >= 1:
            found.append(f"data.scale={data.scale}: must be below 1.")
    return found


def _pixel_problems(data: DataConfig) -> list[str]:
    found = []
    if isinstance(data, DigitsConfig | TorchvisionConfig):
        if not all(value > 0 for value in data.std):
            found.append(f"data.std={data.std}: standard deviations must be positive.")
        channels = data.shape[0] if isinstance(data, TorchvisionConfig) else 1
        if not len(data.mean) == len(data.std) == channels:
            found.append(
                f"data.mean={data.mean} and data.std={data.std}: give one number a channel "
                f"({channels})."
            )
    return found


def _sections() -> list[tuple[type, str]]:
    sections: list[tuple[type, str]] = [
        (Config, ""),
        (ModelConfig, "model."),
        (OptimConfig, "optim."),
        (MeasuresConfig, "measures."),
        (TrackingConfig, "tracking."),
        (PresetConfig, "preset."),
        (DataConfig, "data."),
    ]
    return sections + [(schema, "data.") for schema in DATA_SCHEMAS.values()]
