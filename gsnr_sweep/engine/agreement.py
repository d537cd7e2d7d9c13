"""When two ways to compute the same in float32 agree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Two right float32 computations differ by 1e-3 of a deep network's gradient where a ReLU flips; a
# wrong one differs by about its size.
_TOLERANCE = 0.05
_WHOLE_TOLERANCE = 0.01


def close(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Compare parameter by parameter; what is small beside the whole may be rounding alone."""
    whole = _WHOLE_TOLERANCE * float(torch.cat([part.flatten() for part in expected]).norm())
    return all(
        float((a - b).norm()) <= whole + _TOLERANCE * float(b.norm())
        for a, b in zip(found, expected, strict=True)
    )
