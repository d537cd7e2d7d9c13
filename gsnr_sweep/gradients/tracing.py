"""Networks traced symbolically (torch.fx), down to the layers of torch.nn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from gsnr_sweep.errors import describe_exception
from gsnr_sweep.gradients.batchnorm import FullBatchNorm

_ONE_AT_A_TIME = threading.Lock()


class NotTraceableError(Exception):
    """A network cannot be traced; the text names the innermost module, and says why."""


class _LayerTracer(fx.Tracer):
    """Notes the innermost module that cannot be traced.

    While torch.fx traces, all calls of modules in the process come here. Those of other threads,
    in which other replicas are trained or measured, are let through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed = ""
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, FullBatchNorm) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or f"{self.path_of_module(m)} ({type(m).__name__})"
            raise

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def traced(model: nn.Module) -> fx.GraphModule:
    """Trace a network; its layers are the network's own, not copies.

    Raises:
        NotTraceableError: Its forward pass depends on values or sizes of its inputs, or does
            something else that torch.fx does not follow.
    """
    tracer = _LayerTracer()
    root = nn.Sequential(model) if tracer.is_leaf_module(model, "") else model
    try:
        with _ONE_AT_A_TIME:
            graph = tracer.trace(root)
    except Exception as error:
        place = tracer.failed or type(model).__name__
        raise NotTraceableError(f"{place}: {describe_exception(error)}") from error
    module = fx.GraphModule(tracer.root, graph)
    module.graph.eliminate_dead_code()
    return module
