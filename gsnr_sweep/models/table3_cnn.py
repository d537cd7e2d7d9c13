"""The CIFAR-10 network of Liu et al. 2020, Table 3."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from gsnr_sweep.models.images import require_images

_POOL = 2


class Table3CNN(nn.Sequential):
    """Four double blocks conv+BN+ReLU with max-pooling, then three fully connected layers.

    Channels 3→p→p, p→2p→2p, 2p→4p→4p, 4p→8p→8p with 3×3 kernels and padding 1; fc(32p→8p),
    fc(8p→8p), fc(8p→outputs) on 32×32 inputs (the table writes q where p is meant). Pooling stands
    before ReLU in the second half of a block: the two commute exactly.
    """

    def __init__(self, ch: int, input_shape: tuple[int, ...], n_outputs: int) -> None:
        """Build the network.

        Args:
            ch: The width p.
            input_shape: (channels, height, width).
            n_outputs: Number of classes.

        Raises:
            ValueError: The inputs are not images of at least 16×16.
        """
        channels, *sides = require_images(input_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        widths = (channels, ch, 2 * ch, 4 * ch, 8 * ch)
        for block, (narrow, wide) in enumerate(pairwise(widths), start=1):
            layers[f"conv{block}a"] = nn.Conv2d(narrow, wide, 3, padding=1)
            layers[f"bn{block}a"] = nn.BatchNorm2d(wide)
            layers[f"relu{block}a"] = nn.ReLU()
            layers[f"conv{block}b"] = nn.Conv2d(wide, wide, 3, padding=1)
            layers[f"bn{block}b"] = nn.BatchNorm2d(wide)
            layers[f"pool{block}"] = nn.MaxPool2d(_POOL)
            layers[f"relu{block}b"] = nn.ReLU()
        height, width = (side // _POOL**4 for side in sides)
        layers["flatten"] = nn.Flatten()
        layers["fc1"] = nn.Linear(8 * ch * height * width, 8 * ch)
        layers["relu_fc1"] = nn.ReLU()
        layers["fc2"] = nn.Linear(8 * ch, 8 * ch)
        layers["relu_fc2"] = nn.ReLU()
        layers["fc3"] = nn.Linear(8 * ch, n_outputs)
        super().__init__(layers)
