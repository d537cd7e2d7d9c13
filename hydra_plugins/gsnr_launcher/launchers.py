"""The launchers of ``-m``: this machine, or a cluster with SLURM."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Spreads the grid points over processes of this machine."""

    def __init__(self, **settings: Any) -> None:
        """Keep the settings; `gsnr_sweep.launcher.settings` says what they are."""
        self._settings = settings
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
        from gsnr_sweep.errors import GsnrError
        from gsnr_sweep.launcher.launch import Sweep
        from gsnr_sweep.launcher.settings import read_settings
        from gsnr_sweep.terminal import TextConsole

        assert self._setup is not None
        context, task_function, config = self._setup
        setup_globals()
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        try:
            settings = read_settings(config.hydra.launcher)
            sweep = Sweep(context, task_function, config, settings, TextConsole(), initial_job_idx)
            return sweep.launch(job_overrides)
        except GsnrError as error:  # as one message; Hydra would add advice on stack traces
            sys.exit(f"gsnr-sweep: {error}")


class SlurmLauncher(LocalLauncher):
    """Spreads the grid points over jobs of a cluster."""
