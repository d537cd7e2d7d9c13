"""Margins of a classifier and the margin that its norms are divided by."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, get_args

import torch
from torch import Tensor

from gsnr_sweep.errors import GsnrError

MarginRule = Literal["interpolated", "order"]
"""How the margin of a training set is read off the sorted margins of its samples."""


def margins(outputs: Tensor, labels: Tensor) -> Tensor:
    """How far the output of each sample's class lies above the largest of the others.

    γ_i = f(x_i)[y_i] − max_{k≠y_i} f(x_i)[k] (Neyshabur et al. 2017); negative where the
    sample is misclassified.

    Args:
        outputs: The network's outputs before any softmax, [N, C], in eval mode.
        labels: Class indices, [N].

    Returns:
        The margins in float64, [N].

    Raises:
        GsnrError: There is no second class, the labels do not fit, or an output is not finite.
    """
    if outputs.dim() != 2 or outputs.shape[1] < 2:
        raise GsnrError(
            f"Margins need outputs of shape [N, C] with at least two classes; these have shape "
            f"{list(outputs.shape)}. Give one output a class."
        )
    if labels.shape != outputs.shape[:1] or labels.is_floating_point():
        raise GsnrError(
            f"Margins need one class index a sample; the labels are {labels.dtype} of shape "
            f"{list(labels.shape)}, the outputs have shape {list(outputs.shape)}."
        )
    if bool(((labels < 0) | (labels >= outputs.shape[1])).any()):
        raise GsnrError(
            f"Margins need labels from 0 to {outputs.shape[1] - 1}, one for each output; these "
            f"reach from {int(labels.min())} to {int(labels.max())}."
        )
    if not bool(outputs.isfinite().all()):
        raise GsnrError("An output is NaN or infinite, so that it has no margin.")
    wide, own = outputs.detach().double(), labels.long()[:, None]
    others = wide.scatter(1, own, -math.inf).amax(dim=1)
    return wide.gather(1, own)[:, 0] - others


def margin_at(margins: Tensor, epsilon: float = 0.05, rule: MarginRule = "interpolated") -> float:
    """The margin γ that a share ε of the samples falls short of.

    The paper takes the lowest γ such that ⌈εN⌉ samples have a margin below it (Neyshabur et al.
    2017; ε = 0.05 in its figures). Read with "below" as "not above", as an infimum has
    to be, that is the ⌈εN⌉-th smallest margin: ``order``. The authors' later code interpolates
    between two neighbours, as ``numpy.percentile`` does: ``interpolated``. The two are
    less than one step in the sorted margins apart.

    Args:
        margins: One a sample of the training set, [N].
        epsilon: The share, between 0 and 1.
        rule: Which of the two.

    Returns:
        γ, which is not positive where a share ε or more of the samples is misclassified.

    Raises:
        GsnrError: There are no margins, or the share or the rule is none.
    """
    if margins.dim() != 1 or not len(margins):
        raise GsnrError(
            f"A margin of a training set needs the margins of its samples, [N]; found shape "
            f"{list(margins.shape)}."
        )
    if not 0 < epsilon < 1:
        raise GsnrError(f"epsilon={epsilon} is no share of the samples: give 0 < epsilon < 1.")
    values = margins.detach().double()
    if rule == "interpolated":
        return float(torch.quantile(values, epsilon, interpolation="linear"))
    if rule == "order":
        # As a fraction of what was typed: 0.07·100 is above 7 in binary, and its ceiling is 8.
        below = math.ceil(Fraction(repr(float(epsilon))) * len(margins))
        return float(values.sort().values[below - 1])
    raise GsnrError(f"rule={rule} is unknown; there are {' and '.join(get_args(MarginRule))}.")
