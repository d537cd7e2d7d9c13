"""What Liu et al. 2020 claim, one figure a module."""
