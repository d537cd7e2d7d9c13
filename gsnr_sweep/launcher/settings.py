"""The settings of ``hydra/launcher``, and every check on them."""

from __future__ import annotations

import dataclasses
import difflib
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Place = Literal["local", "slurm"]
_SLURM_TARGET = "SlurmLauncher"


@dataclass(frozen=True)
class CommonSettings:
    """What both launchers have.

    Attributes:
        workers: Processes that work side by side: on this machine, or in one SLURM job.
        threads_per_worker: Threads of each.
        runs_per_job: Most runs that one process works through.
        max_retries: How often a run is tried again whose process died.
        detach: Whether to return as soon as everything is submitted.
    """

    workers: int | None = None
    threads_per_worker: int = 1
    runs_per_job: int | None = None
    max_retries: int = 2
    detach: bool = False


@dataclass(frozen=True)
class LocalSettings(CommonSettings):
    """Settings of ``hydra/launcher=local``.

    Attributes:
        gpus: GPUs to spread the workers over: how many, or a list of CUDA's numbers; None for all
            that are visible.
    """

    gpus: int | list[int] | None = None


@dataclass(frozen=True)
class SlurmSettings(CommonSettings):
    """Settings of ``hydra/launcher=slurm``; names are submitit's and sbatch's.

    Attributes:
        partition: Queue.
        account: Whom to charge.
        qos: Quality of service.
        timeout_min: Time limit of a job, minutes.
        gpus_per_node: GPUs of a job.
        cpus_per_task: Cores of each worker; None for ``threads_per_worker``.
        mem_gb: Memory of a job, GB.
        constraint: Features that a node must have.
        array_parallelism: Most jobs at a time.
        signal_delay_s: Seconds between the warning and the time limit, for a checkpoint.
        setup: Shell lines before a job's work, such as ``module load``.
        sbatch: Any further option of sbatch by its long name.
        poll_s: Seconds between two looks at the queue.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: int = 60
    gpus_per_node: int | None = None
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    constraint: str | None = None
    array_parallelism: int | None = None
    signal_delay_s: int = 90
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, Any] | None = None
    poll_s: float = 5.0


Settings = LocalSettings | SlurmSettings

# key: (least value, whether null is allowed); all are whole numbers
_WHOLE = {
    "workers": (1, True),
    "threads_per_worker": (1, False),
    "runs_per_job": (1, True),
    "max_retries": (0, False),
    "timeout_min": (1, False),
    "gpus_per_node": (0, True),
    "cpus_per_task": (1, True),
    "array_parallelism": (1, True),
    "signal_delay_s": (1, False),
}
_POSITIVE = {"mem_gb": True, "poll_s": False}
_TEXTS = ("partition", "account", "qos", "constraint")


def place_of(launcher: Mapping[str, Any]) -> Place:
    """Tell where a launcher's config runs things."""
    return "slurm" if str(launcher.get("_target_", "")).endswith(_SLURM_TARGET) else "local"


def settings_class(launcher: Mapping[str, Any]) -> type[LocalSettings] | type[SlurmSettings]:
    """Return the settings that go with a launcher's config."""
    return SlurmSettings if place_of(launcher) == "slurm" else LocalSettings


def is_ours(launcher: Mapping[str, Any]) -> bool:
    """Whether the launcher is one of this project's, not Hydra's or a plug-in's."""
    return "gsnr_launcher" in str(launcher.get("_target_", ""))


def read_settings(launcher: Mapping[str, Any]) -> Settings:
    """Return the typed settings of a config without problems."""
    return settings_class(launcher)(**{k: v for k, v in launcher.items() if k != "_target_"})


def launcher_problems(launcher: Mapping[str, Any]) -> list[str]:
    """Judge the settings of ``hydra/launcher``.

    Returns:
        One sentence or two a problem: key, value, what is allowed. Empty if all is well.
    """
    if not is_ours(launcher):
        return []
    known = [item.name for item in dataclasses.fields(settings_class(launcher))]
    given = {key: value for key, value in launcher.items() if key != "_target_"}
    found = [_unknown(key, known) for key in given if key not in known]
    for key, value in given.items():
        if key in known and (problem := _problem(key, value)):
            found.append(f"hydra.launcher.{key}={_typed(value)}: {problem}")
    if not found and place_of(launcher) == "slurm":
        found += _slurm_problems(given)
    return found


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else f" There is: {', '.join(known)}."
    return f"hydra.launcher.{key}: there is no such setting.{hint}"


def _problem(key: str, value: object) -> str:
    if key in _WHOLE:
        least, optional = _WHOLE[key]
        if value is None and optional:
            return ""
        if not _is_whole(value) or value < least:  # type: ignore[operator]
            return f"a whole number of at least {least}{' or null' if optional else ''} is needed."
    if key in _POSITIVE:
        if value is None and _POSITIVE[key]:
            return ""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:  # type: ignore[operator]
            return "a positive number is needed."
    return _other_problem(key, value)


def _other_problem(key: str, value: object) -> str:
    if key == "detach" and not isinstance(value, bool):
        return "true or false is needed."
    if key in _TEXTS and (isinstance(value, bool) or not isinstance(value, str | int | None)):
        return "a text is needed."
    if key == "setup" and not (_is_list(value) and all(isinstance(line, str) for line in value)):  # type: ignore[attr-defined]
        return "a list of shell lines is needed."
    if key == "sbatch" and not isinstance(value, Mapping | None):
        return "a mapping from sbatch's long options to values is needed, such as {nice: 100}."
    if key == "gpus":
        return _gpus_problem(value)
    return ""


def _gpus_problem(value: object) -> str:
    if value is None or (_is_whole(value) and value >= 0):  # type: ignore[operator]
        return ""
    if _is_list(value) and value and all(_is_whole(one) and one >= 0 for one in value):  # type: ignore[attr-defined]
        return ""
    return "a number of GPUs, a list of their numbers, or null for all is needed."


def _slurm_problems(given: Mapping[str, Any]) -> list[str]:
    missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
    if missing:
        return [
            f"hydra/launcher=slurm: there is no {missing[0]} here. Start this on a machine that "
            "can submit to the cluster (its login node), or use hydra/launcher=local."
        ]
    delay, limit = given.get("signal_delay_s", 0), given.get("timeout_min", 1)
    if delay >= 60 * limit:
        return [
            f"hydra.launcher.signal_delay_s={delay}: the warning must come within the time limit "
            f"(timeout_min={limit}, that is {60 * limit} s)."
        ]
    return _partition_problems(given.get("partition"))


def _partition_problems(wanted: object) -> list[str]:
    from gsnr_sweep.launcher.backends.slurm import partitions

    known = partitions() if wanted is not None else []
    unknown = [name for name in str(wanted).split(",") if known and name not in known]
    if unknown:
        return [
            f"hydra.launcher.partition={wanted}: the cluster has no partition {unknown[0]}. There "
            f"is: {', '.join(known)}."
        ]
    return []


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: object) -> bool:
    from omegaconf import ListConfig

    return isinstance(value, list | tuple | ListConfig)


def _typed(value: object) -> str:
    words: dict[object, str] = {True: "true", False: "false"}
    if value is None:
        return "null"
    return words[value] if isinstance(value, bool) else str(value)
