"""What code of the user's must leave as it was in a process that others compute in, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gsnr_sweep.errors import GsnrError


@contextmanager
def unchanged_global_state(where: str) -> Iterator[None]:
    """Refuse code that leaves PyTorch's default dtype or its gradient mode changed.

    Both are put back in any case.

    Args:
        where: Key and value that name the code.

    Raises:
        GsnrError: It does.
    """
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    changed = ""
    try:
        yield
    finally:
        if torch.get_default_dtype() != dtype:
            changed = f"the default dtype to {torch.get_default_dtype()}"
            torch.set_default_dtype(dtype)
        if torch.is_grad_enabled() != grad:
            changed = "whether gradients are recorded"
            torch.set_grad_enabled(grad)
    if changed:
        raise GsnrError(
            f"{where}: it changes {changed} for the whole process, and so what runs compute. Give "
            "tensors their dtype, and use torch.no_grad() as a context."
        )
