"""A callback for PyTorch Lightning: gradient statistics every so many epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from torch import nn

from gsnr_sweep.api.counts import refuse_no_count
from gsnr_sweep.api.data import Data
from gsnr_sweep.api.functions import Options, refuse_unknown
from gsnr_sweep.api.loss import LossFunction
from gsnr_sweep.api.statistics import GradientStatistics
from gsnr_sweep.api.tracker import GSNRTracker
from gsnr_sweep.errors import GsnrError, describe_exception

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    try:
        from lightning.pytorch import Callback
    except ImportError as missing:
        try:
            from pytorch_lightning import Callback
        except ImportError:
            raise GsnrError(
                "gsnr_sweep.integrations.lightning needs PyTorch Lightning, which cannot be "
                f"imported here ({describe_exception(missing)}). Install it: pip install "
                "'gsnr-sweep[lightning]', or pip install lightning."
            ) from None


class GSNRMonitor(Callback):  # type: ignore[misc,unused-ignore]  # Any without the library
    """Measures the module's per-sample gradients at the end of epochs and logs their summary.

    What is logged, through the module's own logger: ``gsnr/NAME`` for each NAME of
    `GradientStatistics.summary`. The training is not touched: a copy is measured. With several
    processes the first one measures, on the samples that its loader gives.

    Attributes:
        last: The latest measurement, with its tensors; None before the first.

    Examples:
        ```python
        from lightning.pytorch import Trainer
        from gsnr_sweep.integrations.lightning import GSNRMonitor

        Trainer(callbacks=[GSNRMonitor(loss=torch.nn.CrossEntropyLoss(), every_n_epochs=5)])
        ```
    """

    def __init__(
        self,
        data: Data | None = None,
        loss: LossFunction | None = None,
        *,
        every_n_epochs: int = 1,
        network: str = "",
        **options: Unpack[Options],
    ) -> None:
        """Prepare.

        Args:
            data: The set that is measured; None: the training data of the trainer.
            loss: As of `gradient_statistics`; None for cross entropy.
            every_n_epochs: Measure at the end of every so many epochs.
            network: Attribute of the module that holds the network, such as ``net``; empty: the
                module itself, as its ``forward`` computes.
            **options: Further arguments of `gradient_statistics`.

        Raises:
            GsnrError: `every_n_epochs` is no positive whole number, or there is no such argument.
        """
        super().__init__()
        refuse_no_count("every_n_epochs", every_n_epochs, "epochs")
        refuse_unknown(options)
        self._data, self._loss, self._network = data, loss, network
        self._every = every_n_epochs
        self._options: Options = {"progress": False, **options}
        self._tracker: GSNRTracker | None = None
        self.last: GradientStatistics | None = None

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure if it is time."""
        if (trainer.current_epoch + 1) % self._every or not trainer.is_global_zero:
            return
        if self._tracker is None:
            data = trainer.train_dataloader if self._data is None else self._data
            model = self._network_of(pl_module)
            self._tracker = GSNRTracker(model, data, self._loss, **self._options)
        self.last = self._tracker.measure()
        values = {f"gsnr/{name}": value for name, value in self.last.summary().items()}
        pl_module.log_dict(values, rank_zero_only=True)

    def _network_of(self, pl_module: Any) -> nn.Module:
        found = getattr(pl_module, self._network, None) if self._network else pl_module
        if not isinstance(found, nn.Module):
            raise GsnrError(
                f"network={self._network!r}: {type(pl_module).__name__} has no network of that "
                "name. Give the attribute that holds it, or leave it out for the module itself."
            )
        return found
