"""Moments of per-sample gradients, Σ_i g_i and Σ_i g_i², without keeping the gradients.

`gradient_moments` is the entry point; `layer_rules` holds one closed form a layer type, `tap` the
single backward pass that feeds them, `generic` the slower ways for everything else.
"""

from gsnr_sweep.ensemble.moments.accumulate import Moments, gradient_moments
from gsnr_sweep.ensemble.moments.method import Method, choose_method

__all__ = ["Method", "Moments", "choose_method", "gradient_moments"]
