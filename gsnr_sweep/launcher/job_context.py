"""What the runs of a sweep have in common, and how one of them is executed by Hydra."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from gsnr_sweep.config.compose import Composer
from gsnr_sweep.records.atomic import PRIVATE, replace_file
from gsnr_sweep.records.manifest import PAYLOAD_FILE, SweepRun
from gsnr_sweep.runs.control import Attempt
from gsnr_sweep.user_code import told


@dataclass(frozen=True)
class JobContext:
    """Everything that workers need besides the manifest.

    Attributes:
        context: Hydra's loader and callbacks.
        task_function: What a run executes.
        base: The sweep's config, ``hydra`` part included.
        overrides: Each run's own settings, by index.
        folder: The sweep's folder.
        settings: Config values that the launcher sets in every run, by dotted key.
        singletons: Hydra's state.
    """

    context: HydraContext
    task_function: TaskFunction
    base: DictConfig
    overrides: dict[int, list[str]]
    folder: str
    settings: dict[str, Any] = field(default_factory=dict)
    singletons: dict[type, object] = field(default_factory=dict)

    def write(self) -> None:
        """Write the payload into the sweep's folder."""
        content = cloudpickle.dumps(self)
        path = Path(self.folder, PAYLOAD_FILE)
        replace_file(path, lambda temporary: temporary.write_bytes(content), PRIVATE)

    @cached_property
    def _composer(self) -> Composer:
        return Composer.of_sweep(self.context.config_loader, self.base)

    def compose(self, run: SweepRun) -> DictConfig:
        """Compose the config of one run, as Hydra does."""
        cfg = self._composer.full(self.overrides[run.index])
        with open_dict(cfg):
            cfg.hydra.runtime.cwd = self.base.hydra.runtime.cwd
            cfg.hydra.job.id = str(run.index)
            cfg.hydra.job.num = run.index
            cfg.hydra.sweep.dir = self.folder
            cfg.hydra.sweep.subdir = run.folder
            cfg.tracking.run_name = run.name
            for key, value in self.settings.items():
                section, _, name = key.rpartition(".")
                node = cfg[section] if section else cfg
                if name != "threads" or node[name] is None:
                    node[name] = value
        return cfg


def execute(job_context: JobContext, run: SweepRun, attempt: Attempt, device: str = "") -> str:
    """Execute one run; never raises for what goes wrong within it.

    Args:
        job_context: What the runs have in common.
        run: The run.
        attempt: Which attempt this is.
        device: Device for a run that leaves the choice open; empty for none in particular.

    Returns:
        Why it failed, in a sentence; empty if it did not.
    """
    setup_globals()
    Singleton.set_state(job_context.singletons)
    try:
        cfg = job_context.compose(run)
        if device and cfg.device == "auto" and torch.cuda.is_available():
            cfg.device = device
        done = run_job(
            hydra_context=job_context.context,
            task_function=partial(job_context.task_function, attempt=attempt),  # type: ignore[call-arg]
            config=cfg,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # Hydra lets the last two pass
        return told(error)
    finally:
        _close_log()
    return _error(done)


def _error(done: JobReturn) -> str:
    if done.status is JobStatus.COMPLETED:
        return ""
    return " ".join(told(done._return_value).split())


def _close_log() -> None:
    """Let go of the run's log file; the next run opens its own."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
