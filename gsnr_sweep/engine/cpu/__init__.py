"""Networks in their explicit form: forward and backward passes on a CPU without autograd.

Samples lie side by side in the lanes of vectors (`tensor`), so that what a layer's backward pass
sums over positions is each sample's own gradient, and the moments of per-sample gradients cost
hardly more than the gradient itself.
"""

from gsnr_sweep.engine.cpu.compile import explicit_network
from gsnr_sweep.engine.cpu.layout import MomentOrder, Sums, Workspace
from gsnr_sweep.engine.cpu.network import ExplicitNetwork, ForwardPass

__all__ = ["ExplicitNetwork", "ForwardPass", "MomentOrder", "Sums", "Workspace", "explicit_network"]
