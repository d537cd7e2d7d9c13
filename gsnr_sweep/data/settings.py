"""Settings of the data sets (group ``data``)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from gsnr_sweep.settings import auto, default, key, unset

_LAYOUT = (
    "axes of 4-dimensional x: hwc, chw, or auto; or tokens: x is [N, length], whole numbers from 0 "
    "that the network looks up"
)
_TASK = "classification, regression, or auto: whole numbers are class labels, floats targets"


@dataclass
class DataConfig:
    """What every data set's config has (group ``data``)."""

    name: str = key("which distribution the training sets and the test set are drawn from")
    noisy_test: bool = key("whether p_random applies to the test labels too")
    label_noise: str = key(
        "a randomized label is drawn from all classes (uniform) or the others (different)"
    )
    _: KW_ONLY
    confusion: int = default(
        0, "size K of the confusion set: further training samples, with random labels, beside the n"
    )


@dataclass
class DigitsConfig(DataConfig):
    """scikit-learn's handwritten digits, deformed afresh at every draw."""

    rotation: float = key("largest rotation, degrees")
    scale: float = key("largest relative change of size")
    shear: float = key("largest shear")
    shift: float = key("largest shift, pixels")
    elastic: float = key("standard deviation of the elastic displacement, pixels")
    mean: list[float] = key("mean of a channel's pixels (of 255), for standardization")
    std: list[float] = key("standard deviation of a channel's pixels, for standardization")


@dataclass
class TorchvisionConfig(DataConfig):
    """A data set that torchvision downloads and reads."""

    dataset: str = key("class in torchvision.datasets")
    root: str | None = key("folder of the files; default GSNR_DATA_ROOT, else data_cache")
    shape: list[int] = key("channels, height and width of an image")
    n_classes: int = key("number of classes")
    train_pool: int = key("number of training images to draw from")
    test_pool: int = key("number of test images to draw from")
    mean: list[float] = key("mean of a channel's pixels, for standardization")
    std: list[float] = key("standard deviation of a channel's pixels, for standardization")
    resize: int | None = unset(
        "side of the square that images are brought to, bilinear; null: as they are"
    )


TOKENS = "tokens"
"""The layout of inputs that a network looks up."""


@dataclass
class NpzConfig(DataConfig):
    """A user's own arrays x_train, y_train, x_test and y_test in one .npz file."""

    path: str = key("the .npz file")
    layout: str = key(_LAYOUT)
    standardize: bool = key("whether to standardize by channel with x_train's mean and deviation")
    task: str = auto(_TASK)


@dataclass
class CustomDataConfig(DataConfig):
    """A user's own distribution, or pair of data sets, by dotted path."""

    _target_: str = key("the class or function that returns the data, as a dotted path")
    args: dict[str, Any] = key("arguments of the class or function")
    layout: str = key(_LAYOUT)
    standardize: bool = key("whether to standardize by channel with x_train's mean and deviation")
    task: str = auto(_TASK)


@dataclass
class ToyConfig(DataConfig):
    """y = x0·x1 + ε with ε ~ U[−η, η] (Liu et al. 2020, A.3)."""

    eta: float = key("half-width η of the target's uniform noise")


@dataclass(frozen=True)
class SamplingSettings:
    """What is drawn from a distribution for one run.

    Attributes:
        n: Size of each training set, without its confusion set.
        n_sets: M, the number of training sets.
        n_test: Size n' of the test set.
        seed: Decides every draw.
        p_random: Probability that a label is replaced by a random one.
        label_noise: A randomized label is drawn from all classes (``uniform``) or from the others
            (``different``).
        noisy_test: Whether `p_random` applies to the test labels too.
        confusion: Size K of each training set's confusion set.
    """

    n: int
    n_sets: int
    n_test: int
    seed: int
    p_random: float = 0.0
    label_noise: Literal["uniform", "different"] = "uniform"
    noisy_test: bool = True
    confusion: int = 0
