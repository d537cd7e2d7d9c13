"""What happens inside a worker process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.locate import reason
from gsnr_sweep.run import RunResult


@dataclass(frozen=True)
class Assignment:
    """Everything a worker needs for one run."""

    context: HydraContext
    task_function: TaskFunction
    config: DictConfig
    singletons: dict[type, object]


@dataclass(frozen=True)
class Report:
    """What a worker sends back: a result or an error."""

    result: RunResult | None
    error: str


def start_worker(threads: int, log_file: Path) -> None:
    """Prepare a fresh worker process, before torch is imported in it.

    Threads are pinned so that workers do not fight for cores. What libraries print goes to a file:
    the terminal belongs to the launcher. Ctrl-C is the launcher's to handle.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def execute(payload: bytes) -> Report:
    """Execute one run; never raises for what goes wrong within it."""
    assignment: Assignment = cloudpickle.loads(payload)
    setup_globals()
    Singleton.set_state(assignment.singletons)
    try:
        done = run_job(
            hydra_context=assignment.context,
            task_function=assignment.task_function,
            config=assignment.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except (SystemExit, KeyboardInterrupt) as error:  # of a user's module; Hydra lets them pass
        return Report(None, reason(error))
    finally:
        _close_log()
    return _report(done)


def _report(done: JobReturn) -> Report:
    if done.status is JobStatus.COMPLETED and isinstance(done.return_value, RunResult):
        return Report(done.return_value, "")
    with contextlib.suppress(Exception):
        return Report(None, f"returned {type(done.return_value).__name__}")
    error = done._return_value
    text = " ".join(str(error).split()) if isinstance(error, GsnrError) else reason(error)
    return Report(None, text)


def _close_log() -> None:
    """Let go of the run's log file; the next run opens its own."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
