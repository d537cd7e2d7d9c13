"""The callback in a trainer of PyTorch Lightning, and without it."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gsnr_sweep import gradient_statistics
from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.errors import GsnrError

X, Y = torch.randn(24, 4), torch.arange(24) % 3


def test_without_it_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] in {"lightning", "pytorch_lightning"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    monkeypatch.delitem(sys.modules, "gsnr_sweep.integrations.lightning", raising=False)
    with pytest.raises(GsnrError, match=r"needs PyTorch Lightning.*pip install lightning"):
        import gsnr_sweep.integrations.lightning  # noqa: F401


@pytest.fixture
def lightning() -> Any:
    import_torchvision()  # which metrics import, too
    return pytest.importorskip("lightning.pytorch", reason="lightning is not installed")


def _module(lightning: Any, seed: int = 0) -> Any:
    class Net(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers = nn.Linear(4, 6), nn.Dropout(0.3), nn.BatchNorm1d(6), nn.Linear(6, 3)
            self.net = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return F.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(seed)
    return Net()


def _trained(lightning: Any, folder: Path, callbacks: list[Any], **options: Any) -> Any:
    module = _module(lightning)
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="cpu", default_root_dir=folder, callbacks=callbacks,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        log_every_n_steps=1, **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(X, Y), 8, shuffle=True))
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("network", ["", "net"])
def test_it_measures_and_logs_every_k_epochs(lightning: Any, tmp_path: Path, network: str) -> None:
    from gsnr_sweep.integrations.lightning import GSNRMonitor

    monitor = GSNRMonitor(every_n_epochs=2, network=network)
    logger = lightning.loggers.CSVLogger(tmp_path)
    module = _trained(lightning, tmp_path, [monitor], logger=logger)
    table = pd.read_csv(Path(logger.log_dir) / "metrics.csv").dropna(subset="gsnr/gsnr_mean")
    assert table["epoch"].tolist() == [1, 3]
    expected = gradient_statistics(module.net, (X, Y))
    assert monitor.last is not None
    prefix = "" if network else "net."
    found = monitor.last.variance[f"{prefix}0.weight"]
    torch.testing.assert_close(found, expected.variance["0.weight"], rtol=1e-5, atol=1e-9)
    assert table["gsnr/osgr_rhs"].iloc[-1] == pytest.approx(expected.osgr(), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_training_is_the_same_with_and_without_it(lightning: Any, tmp_path: Path) -> None:
    from gsnr_sweep.integrations.lightning import GSNRMonitor

    with_it = _trained(lightning, tmp_path, [GSNRMonitor()], logger=False)
    without = _trained(lightning, tmp_path, [], logger=False)
    pairs = zip(with_it.state_dict().values(), without.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_bad_settings(lightning: Any) -> None:
    from gsnr_sweep.integrations.lightning import GSNRMonitor

    with pytest.raises(GsnrError, match="every_n_epochs=0: a positive whole number"):
        GSNRMonitor(every_n_epochs=0)
    with pytest.raises(GsnrError, match="network='model': Net has no network of that name"):
        GSNRMonitor(network="model")._network_of(_module(lightning))
