"""Fully connected ReLU networks, among them the 2–N–1 network of Liu et al. 2020, A.3."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

from torch import nn


class MLP(nn.Sequential):
    """Inputs (flattened) → `depth` hidden layers of `ch` ReLU units → outputs."""

    def __init__(
        self,
        ch: int,
        input_shape: tuple[int, ...],
        n_outputs: int,
        depth: int = 1,
        bias: bool = True,
    ) -> None:
        """Build the network.

        Args:
            ch: Hidden units a layer (N in A.3).
            input_shape: Shape of one input; flattened.
            n_outputs: Number of outputs.
            depth: Number of hidden layers.
            bias: Whether units have biases, the outputs too.

        Raises:
            ValueError: `depth` is not positive.
        """
        if depth < 1:
            raise ValueError(f"needs at least one hidden layer, not depth={depth}")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(input_shape) > 1:
            layers["flatten"] = nn.Flatten()
        widths = [math.prod(input_shape), *[ch] * depth]
        for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
            layers[f"fc{number}"] = nn.Linear(narrow, wide, bias)
            layers[f"relu{number}"] = nn.ReLU()
        layers[f"fc{depth + 1}"] = nn.Linear(ch, n_outputs, bias)
        super().__init__(layers)
