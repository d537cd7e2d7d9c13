"""The default sweeper of ``-m``: Hydra's own, without its check of every point."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from gsnr_sweep.config.hydra_internals import basic_sweeper


class GridSweeper(basic_sweeper.BasicSweeper):
    """Hands a grid to the launcher as it is.

    Hydra composes every point only to see whether that is possible, some 40 ms a point. The command
    line was checked more thoroughly before Hydra was called, and the launcher checks again.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take over what Hydra composed, to write it down without passwords."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        if "://" in OmegaConf.to_yaml(config):
            from gsnr_sweep.launcher.secrecy import fit_to_be_seen

            # a copy knows only times asked for before it was made, such as the folder's
            str(config.hydra.sweep.dir)
            self.config = fit_to_be_seen(config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Take the batch as legal."""
