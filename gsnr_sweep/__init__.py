"""Measure how well the gradient signal-to-noise ratio predicts one-step generalization.

gsnr-sweep reproduces Liu et al. 2020, "Understanding Why Neural Networks Generalize Well Through
GSNR of Parameters" (ICLR 2020, arXiv 2001.07384): for every point of a grid of settings it
measures both sides of the paper's eq. (19), the one-step generalization ratio (OSGR).
"""

__version__ = "0.1.0"
