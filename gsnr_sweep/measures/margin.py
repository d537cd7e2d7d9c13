"""Margins of the training samples."""

from __future__ import annotations

import math
from typing import cast

from gsnr_sweep.measures.complexity.margin import MarginRule, margin_at
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network
from gsnr_sweep.measures.undefined import Undefined


@of_network(passes=lambda _: PassCounts(1.0))
def margin(network: TrainedNetwork) -> dict[str, float]:
    """Margins f(x_i)[y_i] − max_{k≠y_i} f(x_i)[k] (Neyshabur et al. 2017, section 2).

    Returns:
        ``margin_p5``, the margin γ that a share ε = 0.05 of the samples falls short of
        (``measures.margin_epsilon``, another one in the name), ``margin_min`` and
        ``margin_median``; negative where a sample is misclassified.
    """
    values = network.margins
    share = 100 * network.settings.margin_epsilon
    return {
        f"margin_p{share:g}": gamma_of(network),
        "margin_min": float(values.min()),
        "margin_median": float(values.quantile(0.5)),
    }


def over_margin2(log_value: float, gamma: float) -> float:
    """Return log10 of a value over γ², `Undefined` where γ is not positive.

    Args:
        log_value: Natural log of the value.
        gamma: γ.
    """
    if gamma > 0:
        return (log_value - 2 * math.log(gamma)) / math.log(10)
    return Undefined(f"the margin γ = {gamma:.4g} is not positive: too many samples misclassified")


def gamma_of(network: TrainedNetwork) -> float:
    """Return γ, which norms are divided by; not positive if too many samples are misclassified."""
    settings = network.settings
    rule = cast(MarginRule, settings.margin_rule)
    return margin_at(network.margins, settings.margin_epsilon, rule)
