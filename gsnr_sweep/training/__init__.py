"""M replicas from the same initial weights, trained and measured.

`Ensemble` trains; `Snapshot` is what one measured step leaves for the measures.
"""

from gsnr_sweep.gradients.parameters import Layer
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot

__all__ = ["Ensemble", "Layer", "Snapshot"]
