"""The whole config of one run: its keys, their types, and every check that needs no I/O.

Values live in ``conf/``; this module only says what they mean and what is allowed. A config is
built with `from_omegaconf`, which checks types and names, and judged with `problems`, which checks
ranges and combinations.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

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


def memory_bytes(text: str) -> int:
    """Convert a memory size such as ``1GB`` or ``512MiB`` to bytes.

    Raises:
        ValueError: The text is not a positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMG]i?B)\s*", text)
    if not match or float(match[1]) <= 0:
        raise ValueError(f"{text!r} is not a memory size")
    return int(float(match[1]) * _MEMORY_UNITS[match[2]])


def run_name(cfg: Config) -> str:
    """Name a grid point as people do, such as ``n=1000 ch=6 p=0.0``."""
    if cfg.tracking.run_name:
        return cfg.tracking.run_name
    name = f"n={cfg.n} ch={cfg.ch} p={cfg.p_random}"
    return f"{name} eta={cfg.data.eta:g}" if isinstance(cfg.data, ToyConfig) else name


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
