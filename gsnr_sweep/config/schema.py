"""The whole config of one run: its keys, their types, and every check that needs no I/O.

Values live in ``conf/``; this module only says what they mean and what is allowed. A config is
built with `from_omegaconf`, which checks types and names, and judged with `problems`, which checks
ranges and combinations.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from gsnr_sweep.config.schedule import epochs_of, with_end
from gsnr_sweep.data.settings import (
    CustomDataConfig,
    DataConfig,
    DigitsConfig,
    NpzConfig,
    SamplingSettings,
    TorchvisionConfig,
    ToyConfig,
)
from gsnr_sweep.engine.settings import EngineSettings
from gsnr_sweep.losses.settings import (
    CrossEntropyConfig,
    CustomLossConfig,
    HingeConfig,
    LossConfig,
)
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.models.settings import ModelConfig
from gsnr_sweep.settings import auto, default, key, names, off, unset
from gsnr_sweep.training.settings import RuleSettings, StopConfig, TrainingSettings

_MEMORY_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass
class OptimConfig:
    """How weights move (group ``optim``)."""

    name: str = key(
        "gd: full-batch gradient descent, of which eq. (19) speaks; sgd, adam, adamw, rmsprop, or "
        "custom: mini-batches, with measured steps of gradient descent taken back"
    )


@dataclass
class RuleConfig(OptimConfig):
    """How weights move by an optimizer of PyTorch's on mini-batches."""

    _target_: str = key("class of the optimizer, as a dotted path")
    args: dict[str, Any] = key("arguments of the optimizer besides the learning rate, which is lr")
    batch_size: int = key("samples in a mini-batch; the last of an epoch may be smaller")
    schedule: str = key(
        "learning rate over the epochs: constant, cosine, step, or the dotted path of a class like "
        "those of torch.optim.lr_scheduler"
    )
    schedule_args: dict[str, Any] = key("arguments of the schedule, such as step_size of step")
    clip_norm: float | None = key("largest norm of a mini-batch's gradient; null: any")


@dataclass
class MeasuresConfig:
    """What is measured at a scheduled epoch (group ``measures``)."""

    name: str = default("paper", "a name for these measures")
    variance: str = key("variance of per-sample gradients: plugin (1/n) or unbiased (1/(n-1))")
    functions: dict[str, str] = key("measures by name, each a dotted path to its function")
    parameters: list[str] = names("layers or parameters to follow one by one, such as [fc2.weight]")
    own_steps: int = default(1, "steps of the training rule's own that osgr_own_lhs is taken over")
    batch_norm: str = default(
        "training_set",
        "statistics that batch normalization is measured with: training_set (the training set's at "
        "the present weights), or running (with mini-batches: the running ones of training)",
    )

    @property
    def of_networks(self) -> ComplexityConfig:
        """Settings of measures of trained networks."""
        return self if isinstance(self, ComplexityConfig) else ComplexityConfig()


@dataclass
class NetworkMeasuresConfig(MeasuresConfig, ComplexityConfig):
    """What is measured of steps and of trained networks."""


@dataclass
class PresetConfig:
    """Which experiment of a paper this is (groups ``experiment`` and ``scale``)."""

    name: str | None = key("the experiment, as in experiment=fig4_mnist; null: none")
    scale: str = key("paper, laptop or smoke; of fig4_mnist paper_start, too")
    figures: list[str] = key("figures to draw of the sweep: names, or dotted paths of functions")
    claims: list[str] = names("claims of your own to judge by the sweep: dotted paths of functions")
    paper_curves: bool = off("show the paper's own curves too, in figures for which they are known")


@dataclass
class TrackingConfig:
    """Where results go besides the output folder (group ``tracking``)."""

    name: str = key("mlflow, or none")
    uri: str | None = key("tracking store; null: MLFLOW_TRACKING_URI, else sqlite in this folder")
    experiment: str = key("MLflow experiment that collects the runs")
    parent_run_id: str | None = key("MLflow run of the sweep that this run belongs to")
    run_name: str | None = key("name of the run; null: from n, ch and p_random")
    sweep_name: str | None = unset(
        "name of the sweep; null: from data or experiment, time and axes"
    )


@dataclass
class Config:
    """One run, that is one grid point."""

    n: int = key("size of each training set")
    p_random: float = key("probability that a label is replaced by a random one")
    random_labels: bool = off("replace all labels by random ones: another way to write p_random=1")
    ch: int = key("width of the model: channels p of Tables 2 and 3, hidden units of the MLP")
    n_sets: int = key("number M of training sets, and so of replicas")
    n_test: int = key("size of the test set")
    epochs: int = key("passes over the training set to train for (optim=gd: one step each)")
    measure_at: Any = key(
        "epochs to measure at: a list (also end, step:9), every:9, log:30, or auto"
    )
    lr: float = key("learning rate λ")
    seed: int = key("decides the sets, the label noise, the initial weights and the batches")
    seed_weights: int | None = unset("decides the initial weights in the place of seed")
    seed_data: int | None = unset("decides the sets and their labels in the place of seed")
    device: str = key("auto, cpu, cuda or cuda:K")
    dtype: str = key("float32 or float64, of weights and activations")
    tf32: bool = off("TF32 tensor-core arithmetic on NVIDIA GPUs: faster, 10-bit mantissa")
    kernels: str = auto(
        "compiled kernels on a CPU: auto, none (PyTorch alone), avx512, avx2, baseline"
    )
    memory_limit: str = key("memory that a pass through the network may use, in each thread")
    chunk_size: int | None = key("samples in one pass through the network; null: by memory_limit")
    threads: int | None = key("replicas worked on side by side; null: all cores of this machine")
    checkpoint_minutes: float | None = key("time between two checkpoints; 0: every epoch")
    keep_weights: bool = off(
        "keep the final weights of all replicas, for measures that are thought of later"
    )
    dry_run: bool = key("only show what would be run, and what it would cost")
    rerun: bool = key("run again what is finished or half finished in this experiment")
    same_code: bool = key("let only results of this very version of the code count as finished")
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    measures: MeasuresConfig = field(default_factory=MeasuresConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    preset: PresetConfig = field(default_factory=PresetConfig)

    @property
    def weights_seed(self) -> int:
        """The seed of the initial weights."""
        return self.seed if self.seed_weights is None else self.seed_weights

    @property
    def sampling(self) -> SamplingSettings:
        """What is drawn from the data's distribution."""
        return SamplingSettings(
            n=self.n,
            n_sets=self.n_sets,
            n_test=self.n_test,
            seed=self.seed if self.seed_data is None else self.seed_data,
            p_random=self.p_random,
            label_noise=cast(Literal["uniform", "different"], self.data.label_noise),
            noisy_test=self.data.noisy_test,
            confusion=self.data.confusion,
        )

    @property
    def train_size(self) -> int:
        """Samples that each replica is trained on: n, and the K of a confusion set."""
        return self.n + self.data.confusion

    @property
    def engine(self) -> EngineSettings:
        """How passes through the network are computed."""
        return EngineSettings(
            self.train_size, self.kernels, memory_bytes(self.memory_limit), self.chunk_size
        )

    @property
    def training(self) -> TrainingSettings:
        """How the replicas are trained and when they are measured."""
        return TrainingSettings(
            n_sets=self.n_sets,
            epochs=self.epochs,
            measured_epochs=tuple(self.measured_epochs),
            lr=self.lr,
            engine=self.engine,
            dtype=cast(Literal["float32", "float64"], self.dtype),
            variance=cast(Literal["plugin", "unbiased"], self.measures.variance),
            followed=tuple(self.measures.parameters),
            threads=self.threads,
            rule=self.rule,
            loss=self.loss,
            stop=self.stop,
            own_steps=self.measures.own_steps,
            running_statistics=self.measures.batch_norm == "running",
        )

    @property
    def measured_epochs(self) -> list[float]:
        """Epochs to measure at, fractions for steps within one; the last of a training that stops.

        Raises:
            ValueError: ``measure_at`` names none.
        """
        rule = self.rule
        steps = rule.steps_an_epoch(self.train_size) if rule and rule.batch_size > 0 else 1
        named = list(dict.fromkeys(epochs_of(self.measure_at, self.epochs, max(1, steps))))
        return with_end(named, self.epochs) if self.stop.rules else named

    @property
    def rule(self) -> RuleSettings | None:
        """How weights move where that is not full-batch gradient descent."""
        optim = self.optim
        if not isinstance(optim, RuleConfig):
            return None
        whole = {"T_max": max(1, self.epochs)} if optim.schedule == "cosine" else {}
        return RuleSettings(
            name=optim.name,
            optimizer=optim._target_,
            args=optim.args,
            batch_size=optim.batch_size,
            schedule=optim.schedule,
            schedule_args=whole | optim.schedule_args,
            clip_norm=optim.clip_norm,
            lr=self.lr,
            seed=self.seed,
            epochs=self.epochs,
        )


DATA_SCHEMAS: dict[str, type[DataConfig]] = {
    "digits": DigitsConfig,
    "mnist": TorchvisionConfig,
    "fashion_mnist": TorchvisionConfig,
    "cifar10": TorchvisionConfig,
    "npz": NpzConfig,
    "custom": CustomDataConfig,
    "toy": ToyConfig,
}

OPTIM_SCHEMAS: dict[str, type[OptimConfig]] = {
    "gd": OptimConfig,
    **dict.fromkeys(("sgd", "adam", "adamw", "rmsprop", "custom"), RuleConfig),
}

LOSS_SCHEMAS: dict[str, type[LossConfig]] = {
    **dict.fromkeys(("auto", "mse"), LossConfig),
    "cross_entropy": CrossEntropyConfig,
    "hinge": HingeConfig,
    "custom": CustomLossConfig,
}

MEASURES_SCHEMAS: dict[str, type[MeasuresConfig]] = {
    **dict.fromkeys(("paper", "assumptions", "step_direction"), MeasuresConfig),
    **dict.fromkeys(
        ("neyshabur", "neyshabur_conditions", "which_measure", "which_measure_extra"),
        NetworkMeasuresConfig,
    ),
}

SCHEMAS: dict[str, dict[str, type[Any]]] = {
    "data": dict(DATA_SCHEMAS),
    "optim": dict(OPTIM_SCHEMAS),
    "loss": dict(LOSS_SCHEMAS),
    "measures": dict(MEASURES_SCHEMAS),
}
"""Groups whose keys depend on what is chosen by their ``name``, and the schema of each choice."""

LAUNCH_KEYS = ("dry_run", "rerun", "same_code")
"""Keys of a launch as a whole."""
NOT_SCIENCE = (
    *("preset", "tracking", "threads", "device", "kernels", "memory_limit", "chunk_size"),
    *("checkpoint_minutes", "keep_weights", *LAUNCH_KEYS),
)
"""Keys and groups that say where, how fast and for whom a run is made, not what its numbers are."""


SHORTHANDS = ("random_labels",)
"""Keys that are written out as others when a config is parsed; those alone count."""


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


def describe_group_keys() -> list[tuple[str, str]]:
    """List the keys within groups with their help, those of some choices with these."""
    told: dict[str, str] = {}
    for cls, start in _sections():
        for item in dataclasses.fields(cls):
            if not start or "help" not in item.metadata:
                continue
            choices = choices_with(start + item.name)
            some = len(choices) < len(SCHEMAS.get(start.rstrip("."), {}))
            of = f" [{', '.join(choices)}]" if some else ""
            told.setdefault(start + item.name, f"{item.metadata['help']}{of}")
    return list(told.items())


def choices_with(dotted: str) -> list[str]:
    """Return the choices of a group, such as data sets, that have this key."""
    group, _, name = dotted.partition(".")
    schemas = SCHEMAS.get(group, {})
    return [choice for choice, cls in schemas.items() if name in cls.__dataclass_fields__]


def value_at(cfg: Config, dotted: str) -> Any:
    """Look up a dotted key; None where there is none."""
    value: Any = cfg
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return value


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
    if cfg.data.confusion:
        name = f"{name} confusion={cfg.data.confusion}"
    return f"{name} eta={cfg.data.eta:g}" if isinstance(cfg.data, ToyConfig) else name


def section_names() -> list[str]:
    """Keys that hold keys."""
    return list(dict.fromkeys(start.rstrip(".") for _, start in _sections() if start))


def _sections() -> list[tuple[type, str]]:
    sections: list[tuple[type, str]] = [
        (Config, ""),
        (ModelConfig, "model."),
        (OptimConfig, "optim."),
        (LossConfig, "loss."),
        (StopConfig, "stop."),
        (MeasuresConfig, "measures."),
        (TrackingConfig, "tracking."),
        (PresetConfig, "preset."),
        (DataConfig, "data."),
    ]
    chosen = [(cls, f"{group}.") for group, own in SCHEMAS.items() for cls in own.values()]
    return sections + list(dict.fromkeys(chosen))
