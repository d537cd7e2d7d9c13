"""Settings of the loss; its values stand in ``conf/loss/``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gsnr_sweep.settings import auto, key


@dataclass
class LossConfig:
    """The loss of one sample (group ``loss``)."""

    name: str = auto(
        "auto: cross entropy of labels, squared error of targets; cross_entropy; mse: squared "
        "error summed over outputs, of labels to their one-hot rows; hinge; custom"
    )


@dataclass
class CrossEntropyConfig(LossConfig):
    """Cross entropy of labels."""

    label_smoothing: float = key("share of each label that is spread evenly over all classes")


@dataclass
class HingeConfig(LossConfig):
    """Hinge loss of labels."""

    margin: float = key("margin by which a label's output is to exceed the others")
    others: str = key(
        "which other outputs count: max (the largest; Crammer & Singer 2001), sum (each of them; "
        "Weston & Watkins 1999)"
    )


@dataclass
class CustomLossConfig(LossConfig):
    """A loss of the user's own."""

    _target_: str = key(
        "dotted path of a function of (outputs [n, classes], targets) that returns one loss a "
        "sample, [n], or of a class that makes one, such as torch.nn.HuberLoss with args"
    )
    args: dict[str, Any] = key("its further arguments, such as reduction of a class of torch.nn")
