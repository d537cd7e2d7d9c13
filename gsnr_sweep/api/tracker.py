"""Gradient statistics every so many steps of a plain training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Unpack

from torch import nn

from gsnr_sweep.api.counts import refuse_no_count
from gsnr_sweep.api.data import Data
from gsnr_sweep.api.functions import Options, measure, refuse_unknown
from gsnr_sweep.api.loss import LossFunction
from gsnr_sweep.api.measuring import Way
from gsnr_sweep.api.statistics import GradientStatistics

if TYPE_CHECKING:
    import pandas as pd

Log = Callable[[dict[str, float], int], object]
"""Takes values by name and the number of the step."""


class GSNRTracker:
    """Measures a network's per-sample gradients on one set while somebody trains it.

    The training is not touched: weights, gradients, mode, buffers and random numbers are the same
    with and without it.

    Attributes:
        steps: Calls of `step` so far.
        history: One dictionary for each measurement: ``step`` and what
            `GradientStatistics.summary` returns.

    Examples:
        >>> import torch
        >>> from gsnr_sweep import GSNRTracker
        >>> model = torch.nn.Linear(4, 3)
        >>> x, y = torch.randn(60, 4), torch.randint(0, 3, (60,))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> tracker = GSNRTracker(model, (x, y), every=10)
        >>> for _ in range(20):
        ...     optimizer.zero_grad()
        ...     torch.nn.functional.cross_entropy(model(x), y).backward()
        ...     optimizer.step()
        ...     _ = tracker.step()
        >>> [values["step"] for values in tracker.history]
        [10, 20]
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        loss: LossFunction | None = None,
        *,
        every: int = 1,
        log: Log | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Prepare.

        Args:
            model: The network that is trained.
            data: The set whose gradients are measured, each time as a whole.
            loss: As of `gradient_statistics`; None for cross entropy.
            every: Measure at every so many calls of `step`.
            log: Called as ``log(values, step)`` after each measurement, such as ``wandb.log`` or
                ``mlflow.log_metrics``.
            **options: Further arguments of `gradient_statistics`.

        Raises:
            GsnrError: `every` is no positive whole number, or there is no such argument.
        """
        refuse_no_count("every", every, "steps")
        refuse_unknown(options)
        self._model, self._data = model, data
        self._loss = nn.CrossEntropyLoss() if loss is None else loss
        self._every, self._log, self._options = every, log, options
        self._known: Way | None = None
        self.steps = 0
        self.history: list[dict[str, float]] = []

    def step(self) -> GradientStatistics | None:
        """Count a step of the training, and measure if it is time; None if it is not."""
        self.steps += 1
        return None if self.steps % self._every else self.measure()

    def measure(self) -> GradientStatistics:
        """Measure now, whatever the number of the step: before the first one, say.

        Raises:
            GsnrError: As of `gradient_statistics`.
        """
        about = (self._model, self._data, self._loss)
        found, self._known = measure(*about, known=self._known, **self._options)
        values = found.summary()
        self.history.append({"step": self.steps, **values})
        if self._log is not None:
            self._log(values, self.steps)
        return found

    def to_dataframe(self) -> pd.DataFrame:
        """Return the history as a table, one row for each measurement."""
        import pandas as pd

        return pd.DataFrame(self.history)
