"""ResNet18 for images of CIFAR's size, of any width (Liu et al. 2020, 3.1, Fig. 5b)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from gsnr_sweep.data.torchvision_import import import_torchvision
from gsnr_sweep.models.images import require_images

_BLOCKS = 2
_STAGES = 4


class ResNet18(nn.Sequential):
    """Four stages of two basic blocks (He et al. 2016), `ch` to 8·`ch` channels; 64 is usual.

    The blocks are torchvision's. As is usual for 32×32 pixels, the first convolution is 3×3 with
    stride 1 and no pooling follows it (the 7×7 with stride 2 and the pooling of the ImageNet form
    would leave 8×8 pixels of it).
    """

    def __init__(self, ch: int, input_shape: tuple[int, ...], n_outputs: int) -> None:
        """Build the network.

        Args:
            ch: Channels of the first stage.
            input_shape: (channels, height, width).
            n_outputs: Number of classes.

        Raises:
            ValueError: The inputs are not images of at least 16×16.
        """
        import_torchvision()
        from torchvision.models.resnet import BasicBlock

        channels, *_ = require_images(input_shape)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Conv2d(channels, ch, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(ch),
            relu=nn.ReLU(),
        )
        narrow = ch
        for stage in range(_STAGES):
            wide, stride = ch << stage, 1 if stage == 0 else 2
            shortcut = None if stage == 0 else _shortcut(narrow, wide, stride)
            blocks = [BasicBlock(narrow, wide, stride, shortcut)]
            blocks += [BasicBlock(wide, wide) for _ in range(_BLOCKS - 1)]
            layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
            narrow = wide
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["fc"] = nn.Linear(narrow, n_outputs)
        super().__init__(layers)


def _shortcut(narrow: int, wide: int, stride: int) -> nn.Sequential:
    """Bring a block's input to the shape of its output."""
    return nn.Sequential(nn.Conv2d(narrow, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
