"""The papers' networks, and how any network is built and initialized."""

from gsnr_sweep.models.build import build_model

__all__ = ["build_model"]
