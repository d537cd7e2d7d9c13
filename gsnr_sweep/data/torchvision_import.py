"""`import torchvision` on every build of torch.

torchvision's wheel is built for CUDA. Beside a CPU build of torch its C++ operators do not load,
and its Python code then fails to register a fake ``nms``. Declaring the two operators by hand lets
the pure Python parts (data sets, models), the only ones used here, import.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from torch import library

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision(module: str = "torchvision") -> ModuleType:
    """Import torchvision or one of its modules.

    Args:
        module: Dotted name, such as ``torchvision.datasets``.
    """
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        library.define(f"torchvision::{operator}", _SIGNATURE)
    return importlib.import_module(module)
