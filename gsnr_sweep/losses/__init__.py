"""The loss of one sample: what is minimized, and what gradients and GSNR are of."""
