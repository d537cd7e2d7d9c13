"""The default launcher of ``-m``: worker processes on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Spreads the grid points over processes, one or a few threads each."""

    def __init__(self, workers: int | None, threads_per_worker: int) -> None:
        """Keep the settings.

        Args:
            workers: Number of processes; None for as many as the cores allow.
            threads_per_worker: Threads of each process.
        """
        self.workers = workers
        self.threads_per_worker = threads_per_worker
        self._setup: tuple[HydraContext, TaskFunction, DictConfig] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take over what Hydra composed."""
        self._setup = (hydra_context, task_function, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all grid points and return what they returned."""
        from rich.console import Console

        from gsnr_sweep.errors import GsnrError
        from gsnr_sweep.launcher.local import LocalBackend
        from gsnr_sweep.launcher.sweep import Sweep
        from gsnr_sweep.run import available_cores

        assert self._setup is not None
        context, task_function, config = self._setup
        setup_globals()
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        workers = self.workers or max(1, available_cores() // self.threads_per_worker)
        folder = Path(str(config.hydra.sweep.dir)).absolute()
        backend = LocalBackend(min(workers, len(job_overrides)), self.threads_per_worker, folder)
        sweep = Sweep(context, task_function, config, backend, self.threads_per_worker, Console())
        try:
            return sweep.launch(job_overrides, initial_job_idx)
        except GsnrError as error:  # as one message; Hydra would add advice on stack traces
            sys.exit(f"gsnr-sweep: {error}")
