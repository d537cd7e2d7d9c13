"""The version of the package; runs are marked with it."""

__version__ = "0.1.0"
