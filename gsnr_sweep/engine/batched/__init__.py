"""All replicas' weights as one tensor, and their steps as a few large operations.

For networks whose operations are too small to fill the machine: tiny ones on a CPU, all of them on
a GPU. `engine.selection` decides; `replicas` is the entry point.
"""

from gsnr_sweep.engine.batched.mini_batches import StackedMiniBatches
from gsnr_sweep.engine.batched.replicas import BatchedReplicas

__all__ = ["BatchedReplicas", "StackedMiniBatches"]
