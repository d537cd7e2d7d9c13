"""The settings of ``hydra/launcher``, and every check on them."""

from __future__ import annotations

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
