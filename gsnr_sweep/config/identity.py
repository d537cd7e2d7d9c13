"""When two runs are the same run: what decides the numbers, and which code computed them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gsnr_sweep._version import __version__
from gsnr_sweep.config.built_ins import FIRST_PATHS, identified_path
from gsnr_sweep.config.own_code import is_own
from gsnr_sweep.config.schema import NOT_SCIENCE, SHORTHANDS, Config, RuleConfig
from gsnr_sweep.data.files import file_digest, own_path
from gsnr_sweep.data.settings import CustomDataConfig, DataConfig, NpzConfig, TorchvisionConfig
from gsnr_sweep.losses.settings import CustomLossConfig
from gsnr_sweep.measures.complexity.settings import ComplexityConfig

_DIGITS = 12
_OWN = Path(__file__).parents[1]
_TRAINING = ("data", "models", "losses", "gradients", "engine", "training")
_MEASURING = ("measures",)
# Digests of earlier sources that take, bit for bit, the steps that these do, and measure the same
# up to rounding: their checkpoints are gone on from. Empty this when a change of the core changes a
# step.
_EQUAL_SOURCES = ("34e8c0438a8d31f3a6ca2b3a68cb91920f13d79845cc8c25e38509afa1ab8e3b",)


def run_identity(cfg: Config) -> str:
    """Identify what a run computes by 16 hexadecimal digits.

    Two configs have the same identity if they must give the same numbers: their science part is the
    same, and so is the content of their data: of files wherever they lie, and of a user's pair of
    data sets. A built-in model or measure counts by its name, not by where its module lies.
    """
    return _hash(_content(cfg))


def _content(cfg: Config) -> dict[str, Any]:
    """Return what a run's identity is made of."""
    content = science_part(cfg)
    content["data"] |= _data_content(cfg.data)
    return content


def _data_content(cfg: DataConfig) -> dict[str, str]:
    """Return what of the data's content is not said by their config; imports where it is needed."""
    if isinstance(cfg, NpzConfig):
        return {"path": file_digest(own_path(cfg.path))}
    if isinstance(cfg, CustomDataConfig):
        from gsnr_sweep.data.custom import content_digest

        return {"content": content_digest(cfg)}
    if isinstance(cfg, TorchvisionConfig):
        from gsnr_sweep.data.torchvision_files import unpublished_content

        own = unpublished_content(cfg)
        return {"files": own} if own else {}
    return {}


def _hash(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version(cfg: Config) -> str:
    """Identify the code that computes a run: the core, and the user's models, data and measures.

    Returns:
        The package's version and 12 hexadecimal digits over the sources that can change numbers,
            such as ``0.1.0+a3…``.
    """
    return _version(_package_digest(_OWN, _TRAINING + _MEASURING), _targets(cfg))


def equal_codes(cfg: Config) -> tuple[str, ...]:
    """Return the versions of the code that take the same steps bit for bit, this one first.

    Of a user's own arrays earlier ones standardized in float32 and counted classes otherwise.
    """
    if isinstance(cfg.data, NpzConfig | CustomDataConfig):
        return (code_version(cfg),)
    earlier = (_version(digest, _targets(cfg)) for digest in _EQUAL_SOURCES)
    return (code_version(cfg), *earlier)


@dataclasses.dataclass(frozen=True)
class TrainingIdentity:
    """The part of a run's identity that decides its weights, whatever is measured on them.

    Attributes:
        hash: Of the settings that decide the weights after a number of steps; 16 hexadecimal
            digits.
        code: Version of the code that takes the steps.
        measured_from: First epoch that is measured: weights of a later one are of no use.
    """

    hash: str
    code: str
    measured_from: float


def training_identity(cfg: Config) -> TrainingIdentity:
    """Identify a run's training: kept weights of any run with the same one may be measured."""
    content = _content(cfg)
    schedule = content["measure_at"]
    for key in _MEASURED_ONLY:
        content.pop(key)
    content["data"].pop("noisy_test")
    if cfg.training.running_statistics:  # they are kept beside the weights
        content["batch_norm"] = cfg.measures.batch_norm
    if cfg.rule is not None:  # a schedule may depend on how long the training is meant to last
        content["optim"]["schedule_args"] = dict(cfg.rule.schedule_args)
    code = _version(_package_digest(_OWN, _TRAINING), _training_targets(cfg))
    return TrainingIdentity(_hash(content), code, min(schedule, default=cfg.epochs))


def _targets(cfg: Config) -> set[str]:
    return {*_training_targets(cfg), *cfg.measures.functions.values()}


def _training_targets(cfg: Config) -> set[str]:
    """Return the targets that decide the weights."""
    own = {cfg.data._target_} if isinstance(cfg.data, CustomDataConfig) else set()
    if isinstance(cfg.optim, RuleConfig):
        own |= {path for path in (cfg.optim._target_, cfg.optim.schedule) if is_own(path)}
    if isinstance(cfg.loss, CustomLossConfig) and is_own(cfg.loss._target_):
        own.add(cfg.loss._target_)
    return {cfg.model._target_, *own}


def _version(digest: str, targets: Iterable[str]) -> str:
    """Join the package's digest with those of the user's own modules."""
    modules = {target.rpartition(".")[0] for target in targets}
    files = {path for name in modules if (path := _source(name)) and _OWN not in path.parents}
    joined = hashlib.sha256(digest.encode())
    for path in sorted(files):
        joined.update(file_digest(path).encode())
    return f"{__version__}+{joined.hexdigest()[:_DIGITS]}"


@lru_cache(maxsize=4)
def _package_digest(folder: Path, rooms: tuple[str, ...]) -> str:
    """Digest the sources that can change numbers: a figure edited leaves checkpoints valid."""
    digest = hashlib.sha256()
    files = (path for room in rooms for path in (folder / room).rglob("*"))
    for path in sorted(path for path in files if path.suffix in (".py", ".c", ".h")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _source(module: str) -> Path | None:
    """Find a module's source file without importing what is not imported yet."""
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(module) if module else None
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


_NOT_SCIENCE_DATA = ("root",)
# Without an influence on the weights after so many steps.
_MEASURED_ONLY = ("measures", "measure_at", "epochs", "n_test")


# Keys that came later, by group. At these values they are left out, so that earlier runs keep their
# identity.
_LATER: dict[str, dict[str, Any]] = {
    "": {
        **{"tf32": False, "seed_weights": None, "seed_data": None},
        "loss": {"name": "auto"},
        "stop": {"train_loss": None, "train_error": None},
    },
    "measures": {
        **{"own_steps": 1, "batch_norm": "training_set"},
        **dataclasses.asdict(ComplexityConfig()),
    },
    "data": {"task": "auto", "confusion": 0, "resize": None},
}


_OF_OWN_STEPS = tuple(FIRST_PATHS[name] for name in ("osgr_own_lhs", "osgr_own_rhs"))


def science_part(cfg: Config) -> dict[str, Any]:
    """Return the part of the config that decides the numbers, as plain containers."""
    content = dataclasses.asdict(cfg)
    content["measure_at"] = cfg.measured_epochs
    for key in (*NOT_SCIENCE, *SHORTHANDS):
        content.pop(key)
    for key in _NOT_SCIENCE_DATA:
        content["data"].pop(key, None)
    for group, defaults in _LATER.items():
        part = content[group] if group else content
        for key in part.keys() & defaults.keys():
            if part[key] == defaults[key]:
                part.pop(key)
    content["model"]["_target_"] = identified_path(cfg.model._target_)
    content["measures"].pop("name")  # which may be another one for the same functions
    functions = {n: identified_path(path) for n, path in cfg.measures.functions.items()}
    if cfg.rule is None and cfg.measures.own_steps == 1:
        # Measures that came later, and that with gradient descent repeat others.
        functions = {n: path for n, path in functions.items() if path not in _OF_OWN_STEPS}
    content["measures"]["functions"] = functions
    return content


def config_hash(cfg: Config) -> str:
    """Identify the science of a run by 16 hexadecimal digits."""
    return _hash(science_part(cfg))
