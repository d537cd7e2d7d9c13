"""The default sweeper of ``-m``: Hydra's own, without its check of every point."""

from __future__ import annotations

from collections.abc import Sequence

from gsnr_sweep.config.hydra_internals import basic_sweeper


class GridSweeper(basic_sweeper.BasicSweeper):
    """Hands a grid to the launcher as it is.

    Hydra composes every point only to see whether that is possible, some 40 ms a point. The command
    line was checked more thoroughly before Hydra was called, and the launcher checks again.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Take the batch as legal."""
