"""What a data set must offer, and the data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gsnr_sweep.data.base import Distribution
from gsnr_sweep.data.files import own_path
from gsnr_sweep.data.settings import (
    CustomDataConfig,
    DataConfig,
    DigitsConfig,
    NpzConfig,
    TorchvisionConfig,
    ToyConfig,
)


def distribution(cfg: DataConfig) -> Distribution:
    """Return the distribution that a data config describes.

    Nothing is read yet, but for a user's own pair of data sets, whose length and classes are not
    known before.
    """
    build = _BUILDERS[type(cfg)]
    return build(cfg)


def files_of(cfg: DataConfig) -> list[Path]:
    """Return the files that a data set is read from, those that are there."""
    if isinstance(cfg, NpzConfig):
        return [path for path in [own_path(cfg.path)] if path.is_file()]
    if isinstance(cfg, TorchvisionConfig):
        from gsnr_sweep.data.torchvision_files import data_root, present_files

        return [file.path for file in present_files(cfg.dataset, data_root(cfg))]
    return []


def _digits(cfg: DataConfig) -> Distribution:
    from gsnr_sweep.data.digits import Digits

    assert isinstance(cfg, DigitsConfig)
    return Digits(cfg)


def _torchvision(cfg: DataConfig) -> Distribution:
    from gsnr_sweep.data.torchvision_pools import torchvision_distribution

    assert isinstance(cfg, TorchvisionConfig)
    return torchvision_distribution(cfg)


def _npz(cfg: DataConfig) -> Distribution:
    from gsnr_sweep.data.npz import npz_distribution

    assert isinstance(cfg, NpzConfig)
    return npz_distribution(cfg)


def _custom(cfg: DataConfig) -> Distribution:
    from gsnr_sweep.data.custom import custom_distribution

    assert isinstance(cfg, CustomDataConfig)
    return custom_distribution(cfg)


def _toy(cfg: DataConfig) -> Distribution:
    from gsnr_sweep.data.toy import Toy

    assert isinstance(cfg, ToyConfig)
    return Toy(cfg)


_BUILDERS: dict[type[DataConfig], Callable[[DataConfig], Distribution]] = {
    DigitsConfig: _digits,
    TorchvisionConfig: _torchvision,
    NpzConfig: _npz,
    CustomDataConfig: _custom,
    ToyConfig: _toy,
}
