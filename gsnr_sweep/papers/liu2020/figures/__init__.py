"""The figures of Liu et al. 2020, one a module."""
