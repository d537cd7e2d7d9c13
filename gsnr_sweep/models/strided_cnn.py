"""A small convolutional network without pooling, the simple network of the sweep `fig5_sgd`."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from gsnr_sweep.models.images import require_images


class StridedCNN(nn.Sequential):
    """conv(c→p), conv(p→2p), conv(2p→4p), each 3×3 with stride 2 and ReLU, then fc(→outputs).

    Liu et al. 2020, 3.1 speaks of "a simple network" (Fig. 5a) and says no more of it. Strides in
    the place of pooling make a pass cheap, and with no unit left out every weight of a filter has
    a gradient from nearly every sample.
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
        channels, height, width = require_images(input_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        widths = (channels, ch, 2 * ch, 4 * ch)
        for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
            layers[f"conv{number}"] = nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
            layers[f"relu{number}"] = nn.ReLU()
            height, width = (height + 1) // 2, (width + 1) // 2
        layers["flatten"] = nn.Flatten()
        layers["fc"] = nn.Linear(4 * ch * height * width, n_outputs)
        super().__init__(layers)
