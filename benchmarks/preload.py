"""What every worker imports, once, in the server that they are forked from."""

import importlib

for _name in (
    "torch._dynamo",
    "torch.utils.flop_counter",
    "benchmarks.ours",
    "benchmarks.peers.moments",
    "gsnr_sweep.api.functions",
    "gsnr_sweep.training",
    "gsnr_sweep.config.grid",
):
    importlib.import_module(_name)
