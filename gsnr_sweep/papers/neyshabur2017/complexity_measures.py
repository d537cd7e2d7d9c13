"""The complexity measures that the paper compares: their columns and their names."""

from __future__ import annotations

NORMS = {
    "l2": "ℓ2 norm",
    "l1_path": "ℓ1-path norm",
    "l2_path": "ℓ2-path norm",
    "spectral": "spectral norm",
}
"""The norm measures in the order of the paper's Fig. 1."""
MAX_SHARPNESS = "max_sharpness"
LOG10_KL = "log10_kl_at_sharpness"
"""log10 of KL where the bi-criteria curve has expected sharpness `LEVEL`."""
LEVEL = 0.05


def over_margin(norm: str, capacity: bool = False) -> str:
    """Return the column of a norm measure over the squared margin, as log10.

    Args:
        norm: One of `NORMS`.
        capacity: With the factors of depth and width of its capacity bound, which the paper drops.
    """
    return f"log10_{norm}_over_margin2{'_capacity' if capacity else ''}"
