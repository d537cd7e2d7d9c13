"""The VGG network of Neyshabur et al. 2017 for images of CIFAR's size, of any width."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from gsnr_sweep.models.images import require_images

_SMALLEST_HALVED = 8
_POOLS = ("average", "max")


class VGG(nn.Sequential):
    """Stages of two 3×3 convolutions, a pool over the whole map, fc(q→q), fc(q→outputs).

    Stage s has `ch`·2^(s − 1) channels, the last one q. 2×2 max-pooling follows a stage whose map
    is 8×8 or larger, and the last pool takes what the last stage leaves. With `ch` = 64, four
    stages and 32×32 inputs this is the paper's network, ten layers with weights: 64, 64, P, 128,
    128, P, 256, 256, P, 512, 512, 4×4 pool, fc 512, fc outputs.

    ReLU follows every layer but the last one. Batch normalization stands before each ReLU, dropout
    behind each stage with its pooling and before the last layer. Max-pooling stands before ReLU:
    the two commute exactly.

    Source: Neyshabur et al. 2017, experiments. Batch normalization and the kind of the last pool
    differ between the authors' code and works that describe their network: both are arguments.
    """

    def __init__(
        self,
        ch: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
        stages: int = 4,
        batch_norm: bool = False,
        dropout: float = 0.0,
        pool: str = "average",
    ) -> None:
        """Build the network.

        Args:
            ch: Channels of the first stage.
            input_shape: (channels, height, width).
            n_outputs: Number of classes.
            stages: Number of stages.
            batch_norm: Whether there is batch normalization.
            dropout: Probability of dropout; 0 for none.
            pool: Kind of the last pool, ``average`` or ``max``.

        Raises:
            ValueError: The inputs are not images of at least 16×16, or an argument is out of its
                range.
        """
        _require_range(stages, dropout, pool)
        narrow, height, width = require_images(input_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for stage in range(1, stages + 1):
            wide = ch << (stage - 1)
            layers[f"conv{stage}a"] = nn.Conv2d(narrow, wide, 3, padding=1)
            if batch_norm:
                layers[f"bn{stage}a"] = nn.BatchNorm2d(wide)
            layers[f"relu{stage}a"] = nn.ReLU()
            layers[f"conv{stage}b"] = nn.Conv2d(wide, wide, 3, padding=1)
            if batch_norm:
                layers[f"bn{stage}b"] = nn.BatchNorm2d(wide)
            if min(height, width) >= _SMALLEST_HALVED:
                layers[f"pool{stage}"] = nn.MaxPool2d(2)
                height, width = height // 2, width // 2
            layers[f"relu{stage}b"] = nn.ReLU()
            if stage == stages:
                average = nn.AdaptiveAvgPool2d(1)
                layers["last_pool"] = (
                    average if pool == "average" else nn.MaxPool2d((height, width))
                )
            if dropout:
                layers[f"dropout{stage}"] = nn.Dropout(dropout)
            narrow = wide
        layers["flatten"] = nn.Flatten()
        layers["fc1"] = nn.Linear(narrow, narrow)
        if batch_norm:
            layers["bn_fc1"] = nn.BatchNorm1d(narrow)
        layers["relu_fc1"] = nn.ReLU()
        if dropout:
            layers["dropout_fc1"] = nn.Dropout(dropout)
        layers["fc2"] = nn.Linear(narrow, n_outputs)
        super().__init__(layers)


def _require_range(stages: int, dropout: float, pool: str) -> None:
    """Refuse arguments out of their range.

    Raises:
        ValueError: One is.
    """
    if stages < 1:
        raise ValueError(f"needs at least one stage, not stages={stages}")
    if not 0 <= dropout < 1:
        raise ValueError(f"needs a probability of dropout from 0 to below 1, not dropout={dropout}")
    if pool not in _POOLS:
        raise ValueError(f"knows {' and '.join(_POOLS)} as its last pool, not pool={pool}")
