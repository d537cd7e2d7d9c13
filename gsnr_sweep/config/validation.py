"""Ranges and combinations of a typed config's values; no I/O."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

from gsnr_sweep.config.complexity_validation import complexity_problems
from gsnr_sweep.config.schedule import MOST_EPOCHS
from gsnr_sweep.config.schema import _MEMORY_UNITS, Config, RuleConfig, help_of, memory_bytes
from gsnr_sweep.config.wording import not_allowed
from gsnr_sweep.data.settings import (
    TOKENS,
    CustomDataConfig,
    DataConfig,
    DigitsConfig,
    NpzConfig,
    TorchvisionConfig,
    ToyConfig,
)
from gsnr_sweep.losses.settings import CrossEntropyConfig, HingeConfig
from gsnr_sweep.wording import as_typed, printable

_LARGEST_SIZE = 2**63 - 1  # what an index holds
_LARGEST_SQUARED = 1e18  # whose square float32 still holds
_LARGEST_DEFORMATION = 1e6  # degrees or pixels; far more turns or shifts no image
_MOST_LISTED = 12
_MOST_OWN_STEPS = 1_000_000
_JUDGED_BELOW = ("lr", "p_random", "checkpoint_minutes")

DTYPES = ("float32", "float64")

INITS = ("torch", "he", "small")

LABEL_NOISES = ("uniform", "different")

VARIANCES = ("plugin", "unbiased")

STATISTICS = ("training_set", "running")

SCALES = ("paper", "paper_start", "laptop", "smoke")

KERNELS = ("auto", "none", "avx512", "avx2", "baseline")

TASKS = ("auto", "classification", "regression")

LAYOUTS = ("auto", "hwc", "chw", TOKENS)


def problems(cfg: Config) -> list[str]:
    """Judge ranges and combinations of a typed config.

    Returns:
        One sentence or two a problem: key, value, what is allowed. Empty if all is well.
    """
    if unbounded := _unbounded_problems(cfg):
        return unbounded
    return [
        *_text_problems(cfg),
        *_size_problems(cfg),
        *_schedule_problems(cfg),
        *_number_problems(cfg),
        *_choice_problems(cfg),
        *_rule_problems(cfg),
        *_loss_problems(cfg),
        *_stop_problems(cfg),
        *_own_problems(cfg),
        *complexity_problems(cfg.measures.of_networks),
        *_data_problems(cfg),
        *_preset_problems(cfg),
    ]


TRUE_LABELS = {False: "Set p_random=0.", True: "Leave random_labels out."}
"""What to do where labels cannot be random, by ``random_labels``."""


def randomized(cfg: Config) -> str:
    """Return the key and value that ask for random labels."""
    return "random_labels=true" if cfg.random_labels else f"p_random={cfg.p_random}"


def _unbounded_problems(cfg: Config) -> list[str]:
    """Name every number that is none, which would pass all comparisons with limits."""
    return [
        f"{key}={as_typed(value)}: only finite numbers are allowed."
        for key, value in _not_finite(dataclasses.asdict(cfg))
        if key not in _JUDGED_BELOW
    ]


def _text_problems(cfg: Config) -> list[str]:
    """Name every text with control characters: it would be printed, logged and sent."""
    return [
        f"{key}={value}: control characters, or those that turn the direction of writing, are in "
        "this text or its key. Leave them out."
        for key, value in _texts(dataclasses.asdict(cfg))
        if printable(key + value) != key + value
    ]


def _texts(part: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        for name, value in part.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _texts(value, key)
    else:
        yield key, part if isinstance(part, str) else ""


def _not_finite(part: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Find the keys whose values, or an entry of their lists, are NaN or infinite."""
    for name, value in part.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _not_finite(value, f"{key}.")
        elif not _is_finite(value):
            yield key, value


def _is_finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_finite(entry) for entry in value)
    if isinstance(value, dict):
        return all(_is_finite(entry) for entry in value.values())
    return not isinstance(value, float) or math.isfinite(value)


def _size_problems(cfg: Config) -> list[str]:
    found = []
    for key, least in (("n", 2), ("ch", 1), ("n_sets", 1), ("n_test", 2)):
        value = getattr(cfg, key)
        if value < least:
            found.append(f"{key}={value}: {help_of(key)} must be at least {least}.")
        elif value > _LARGEST_SIZE:
            found.append(f"{key}: {help_of(key)} must be at most {_LARGEST_SIZE}.")
    return found


def _schedule_problems(cfg: Config) -> list[str]:
    found = []
    if cfg.epochs < 0:
        return [f"epochs={cfg.epochs}: {help_of('epochs')} must not be negative."]
    if cfg.epochs > MOST_EPOCHS:
        return [f"epochs={cfg.epochs}: no run takes more than {MOST_EPOCHS:,} steps. Give fewer."]
    given = cfg.measure_at
    try:
        epochs = cfg.measured_epochs
    except ValueError as error:
        return [f"measure_at={_few(given)}: {error}."]
    if not epochs:
        found.append("measure_at=[]: give at least one epoch, such as measure_at=[20,100].")
    beyond = [epoch for epoch in epochs if not 0 <= epoch <= cfg.epochs]
    if beyond:
        found.append(
            f"measure_at={_few(given)}: {_few(beyond)} is outside 0..epochs={cfg.epochs}. "
            "Raise epochs or leave these out."
        )
    if isinstance(given, list) and len(set(map(str, given))) < len(given):
        found.append(f"measure_at={_few(given)}: an epoch is listed twice.")
    return found


def _few(listed: object) -> str:
    """Write a long list by its ends."""
    if isinstance(listed, list) and len(listed) > _MOST_LISTED:
        return f"[{', '.join(map(str, listed[:3]))}, …, {listed[-1]}]"
    return as_typed(listed)


def _number_problems(cfg: Config) -> list[str]:
    found = []
    if not 0 <= cfg.p_random <= 1:
        found.append(f"p_random={cfg.p_random}: {help_of('p_random')} must lie in [0, 1].")
    elif cfg.random_labels and cfg.p_random != 1:  # 0 is 1 by now
        found.append(
            f"random_labels=true with p_random={cfg.p_random}: the first replaces all labels, the "
            "second a share of them. Leave one of them out."
        )
    if not (cfg.lr > 0 and math.isfinite(cfg.lr)):
        found.append(f"lr={cfg.lr}: the learning rate must be a positive, finite number.")
    for key in ("seed", "seed_weights", "seed_data"):
        value = getattr(cfg, key)
        if value is not None and not 0 <= value < 2**63:
            found.append(f"{key}={value}: the seed must be a whole number from 0 to 2**63 - 1.")
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
        ("measures.batch_norm", cfg.measures.batch_norm, STATISTICS),
        ("data.label_noise", cfg.data.label_noise, LABEL_NOISES),
        ("tracking.name", cfg.tracking.name, ("mlflow", "none")),
    ]
    if isinstance(cfg.data, NpzConfig | CustomDataConfig):
        choices.append(("data.layout", cfg.data.layout, LAYOUTS))
        choices.append(("data.task", cfg.data.task, TASKS))
    if isinstance(cfg.loss, HingeConfig):
        choices.append(("loss.others", cfg.loss.others, ("max", "sum")))
    for key, value, allowed in choices:
        if value not in allowed:
            found.append(not_allowed(key, value, allowed))
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", cfg.device):
        found.append(f"device={cfg.device}: allowed are auto, cpu, cuda and cuda:K.")
    return found


def _rule_problems(cfg: Config) -> list[str]:
    optim = cfg.optim
    if not isinstance(optim, RuleConfig):
        return []
    found = []
    if not 1 <= optim.batch_size <= cfg.train_size:
        most = f"n={cfg.n}"
        if cfg.data.confusion:
            most = f"n + data.confusion = {cfg.train_size}"
        found.append(
            f"optim.batch_size={optim.batch_size}: a mini-batch has 1 to {most} samples of the "
            "training set."
        )
    if optim.clip_norm is not None and not optim.clip_norm > 0:
        found.append(f"optim.clip_norm={optim.clip_norm}: give a positive norm, or null for any.")
    if {"lr", "params"} & optim.args.keys():
        found.append(
            "optim.args: the learning rate is lr, outside of the group; leave it out here."
        )
    return found


def _loss_problems(cfg: Config) -> list[str]:
    if isinstance(cfg.loss, CrossEntropyConfig) and not 0 <= cfg.loss.label_smoothing <= 1:
        return [
            f"loss.label_smoothing={cfg.loss.label_smoothing}: {help_of('loss.label_smoothing')} "
            "must lie in [0, 1]."
        ]
    if isinstance(cfg.loss, HingeConfig) and not 0 < cfg.loss.margin < math.inf:
        return [f"loss.margin={cfg.loss.margin}: {help_of('loss.margin')} must be positive."]
    return []


def _stop_problems(cfg: Config) -> list[str]:
    found = []
    loss, error = cfg.stop.train_loss, cfg.stop.train_error
    if loss is not None and loss < 0:
        found.append(f"stop.train_loss={loss}: give a loss of at least 0, or null for none.")
    if error is not None and not 0 <= error < 1:
        found.append(
            f"stop.train_error={error}: give the share of misclassified training samples, at least "
            "0 and below 1, or null for none."
        )
    return found


def _own_problems(cfg: Config) -> list[str]:
    found = []
    if not 1 <= cfg.measures.own_steps <= _MOST_OWN_STEPS:
        found.append(
            f"measures.own_steps={cfg.measures.own_steps}: {help_of('measures.own_steps')}; from 1 "
            f"to {_MOST_OWN_STEPS:,}."
        )
    trains_by_descent = cfg.rule is None and cfg.epochs != 0
    if cfg.measures.batch_norm == "running" and trains_by_descent:
        found.append(
            "measures.batch_norm=running: with optim=gd each step normalizes by the whole training "
            "set, and there are no running statistics. Leave it out, or train on mini-batches "
            "(optim=sgd)."
        )
    return found


def _preset_problems(cfg: Config) -> list[str]:
    if cfg.preset.name is None and cfg.preset.scale != SCALES[0]:
        return [
            f"scale={cfg.preset.scale}: a scale belongs to an experiment. Give one, such as "
            f"experiment=fig4_mnist scale={cfg.preset.scale}; one of your own says its name as "
            "preset.name."
        ]
    return []


def _data_problems(cfg: Config) -> list[str]:
    return [
        *_toy_problems(cfg),
        *_confusion_problems(cfg.data),
        *_deformation_problems(cfg.data),
        *_pixel_problems(cfg.data),
    ]


def _toy_problems(cfg: Config) -> list[str]:
    data = cfg.data
    found = []
    if isinstance(data, ToyConfig):
        if not 0 <= data.eta <= _LARGEST_SQUARED:
            found.append(
                f"data.eta={data.eta}: the noise's half-width must be at least 0 and at most "
                f"{_LARGEST_SQUARED:g}, whose square is still a number in float32."
            )
        if 0 < cfg.p_random <= 1:
            found.append(
                f"{randomized(cfg)}: data=toy is a regression and has no labels to randomize; its "
                f"noise is data.eta. {TRUE_LABELS[cfg.random_labels]}"
            )
    return found


def _confusion_problems(data: DataConfig) -> list[str]:
    if data.confusion < 0:
        return [f"data.confusion={data.confusion}: give 0 samples or more."]
    if data.confusion > _LARGEST_SIZE:
        return [f"data.confusion: at most {_LARGEST_SIZE} samples are allowed."]
    return []


def _deformation_problems(data: DataConfig) -> list[str]:
    found = []
    if isinstance(data, DigitsConfig):
        for key in ("rotation", "scale", "shear", "shift", "elastic"):
            if not getattr(data, key) >= 0:
                found.append(f"data.{key}={getattr(data, key)}: must not be negative.")
            elif getattr(data, key) > _LARGEST_DEFORMATION and key != "scale":
                most = f"{_LARGEST_DEFORMATION:,.0f}"
                found.append(f"data.{key}={getattr(data, key)}: must be at most {most}.")
        if data.scale >= 1:
            found.append(f"data.scale={data.scale}: must be below 1.")
    return found


def _pixel_problems(data: DataConfig) -> list[str]:
    found = []
    if isinstance(data, TorchvisionConfig) and data.resize is not None and data.resize < 1:
        found.append(f"data.resize={data.resize}: give a side of at least 1 pixel, or null.")
    if isinstance(data, DigitsConfig | TorchvisionConfig):
        if not all(1 / _LARGEST_SQUARED <= value <= _LARGEST_SQUARED for value in data.std):
            found.append(
                f"data.std={data.std}: standard deviations must be positive, from "
                f"{1 / _LARGEST_SQUARED:g} to {_LARGEST_SQUARED:g}."
            )
        if any(abs(value) > _LARGEST_SQUARED for value in data.mean):
            found.append(f"data.mean={data.mean}: at most {_LARGEST_SQUARED:g} is allowed.")
        channels = data.shape[0] if isinstance(data, TorchvisionConfig) else 1
        if not len(data.mean) == len(data.std) == channels:
            found.append(
                f"data.mean={data.mean} and data.std={data.std}: give one number a channel "
                f"({channels})."
            )
    return found
