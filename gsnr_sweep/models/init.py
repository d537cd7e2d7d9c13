"""Initial weights. The papers are silent on them, and they decide how fast training moves."""

from __future__ import annotations

from torch import nn


def he_normal(model: nn.Module) -> None:
    """Draw every weight of a linear or convolutional layer from N(0, 2 / fan_in); zero biases.

    With PyTorch's default initialization and λ = 0.001, Table 2's network hardly moves in 100
    epochs; with this one it trains as the paper describes.

    Args:
        model: Changed in place.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
