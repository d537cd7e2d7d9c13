"""What makes a network of the user's one that cannot be copied, cast or differentiated here."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn


def network_problems(model: nn.Module) -> Iterator[str]:
    """Say of each such module and tensor what is wrong with it and what to do, without a stop."""
    for name, problem in (*_module_problems(model), *_tensor_problems(model)):
        yield f"{name or 'the network itself'} {problem}"


def _module_problems(model: nn.Module) -> Iterator[tuple[str, str]]:
    for name, module in model.named_modules():
        hooks = {type(hook).__name__ for hook in module._forward_pre_hooks.values()}
        if isinstance(module, torch.jit.ScriptModule):
            yield (
                name,
                "is a TorchScript module, whose layers cannot be looked into. Give the Python "
                "class that it was made from",
            )
        if "WeightNorm" in hooks:
            yield (
                name,
                "has the deprecated torch.nn.utils.weight_norm, which cannot be copied. Take "
                "torch.nn.utils.parametrizations.weight_norm",
            )
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            yield name, "has sparse gradients. Leave its argument sparse out"


def _tensor_problems(model: nn.Module) -> Iterator[tuple[str, str]]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            yield (
                name,
                "has no size before the first pass (a lazy layer). Give the layer its sizes, or "
                "pass one batch through the network first",
            )
        elif tensor.is_complex():
            dtype = str(tensor.dtype).removeprefix("torch.")
            yield name, f"is complex ({dtype}). Keep real and imaginary part as two tensors"
        elif tensor.is_meta:
            yield name, "has no values (device 'meta'). Make it on the CPU"
        elif tensor.is_sparse and isinstance(tensor, nn.Parameter):
            yield name, "is sparse. Make it dense"
