"""Hydra finds launchers in this namespace only; what they do lives in `gsnr_sweep.launcher`."""
