"""Fully connected ReLU networks: linear models, the 2–N–1 network of Liu et al. 2020, A.3."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

from torch import nn


class MLP(nn.Sequential):
    """Inputs (flattened) → `depth` hidden layers of `ch` ReLU units → outputs.

    Without hidden layers it is a linear model: logistic regression with the cross entropy, a linear
    support vector machine with the hinge loss (the shallow models of Liu et al. 2020, 3).
    """

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
            depth: Number of hidden layers; of a linear model 0, which makes `ch` mean nothing.
            bias: Whether units have biases, the outputs too.

        Raises:
            ValueError: `depth` is negative.
        """
        if depth < 0:
            raise ValueError(f"needs a number of hidden layers from 0 on, not depth={depth}")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(input_shape) > 1:
            layers["flatten"] = nn.Flatten()
        widths = [math.prod(input_shape), *[ch] * depth]
        for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
            layers[f"fc{number}"] = nn.Linear(narrow, wide, bias)
            layers[f"relu{number}"] = nn.ReLU()
        layers[f"fc{depth + 1}"] = nn.Linear(widths[-1], n_outputs, bias)
        super().__init__(layers)
