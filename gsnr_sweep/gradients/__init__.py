"""Moments of per-sample gradients, Σ_i g_i and Σ_i g_i², without keeping the gradients.

`gradient_moments` is the entry point; `layer_rules` holds one closed form a layer type, `layer_io`
the single backward pass that feeds them, `functional` the slower ways for everything else.
"""

from gsnr_sweep.gradients.method import choose_method
from gsnr_sweep.gradients.moments import Method, Moments, gradient_moments

__all__ = ["Method", "Moments", "choose_method", "gradient_moments"]
