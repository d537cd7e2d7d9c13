"""What every worker imports, once, in the server that they are forked from."""

import contextlib
import importlib

for _name in (
    "torch._dynamo",
    "torch.utils.flop_counter",
    "benchmarks.ours",
    "benchmarks.peers.statistics",
    "gsnr_sweep.api.functions",
    "gsnr_sweep.training",
    "gsnr_sweep.config.grid",
):
    importlib.import_module(_name)
for _name in ("backpack.extensions", "opacus.grad_sample", "opacus.validators"):
    with contextlib.suppress(ImportError):  # its rows say that it is missing
        importlib.import_module(_name)
