"""The MNIST network of Liu et al. 2020, Table 2."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from gsnr_sweep.models.images import require_images

_KERNEL = 5
_POOL = 2


class Table2CNN(nn.Sequential):
    """conv(c→p), conv(p→q), fc(16q→10q), fc(10q→outputs), with q = int(2.5 p).

    Each convolution (5×5, no padding) is followed by ReLU and 2×2 max-pooling. On 28×28 inputs the
    flattened size is the paper's 16q; other sizes work too and change that factor.

    Pooling stands before ReLU here: the two commute exactly, values and gradients, and ReLU then
    works on a quarter of the numbers.
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
        p, q = ch, int(2.5 * ch)
        height, width = (_after_blocks(side) for side in sides)
        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(channels, p, _KERNEL),
                pool1=nn.MaxPool2d(_POOL),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(p, q, _KERNEL),
                pool2=nn.MaxPool2d(_POOL),
                relu2=nn.ReLU(),
                flatten=nn.Flatten(),
                fc1=nn.Linear(q * height * width, 10 * q),
                relu3=nn.ReLU(),
                fc2=nn.Linear(10 * q, n_outputs),
            )
        )


def _after_blocks(side: int) -> int:
    for _ in range(2):
        side = (side - _KERNEL + 1) // _POOL
    return side
