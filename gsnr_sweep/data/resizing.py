"""Images of another size, by bilinear interpolation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_PIXELS = 2**20  # resized at once: some ten megabytes in float64
_TIE = 2.0**-20


def resized(images: Tensor, side: int) -> Tensor:
    """Bring images to squares, as torchvision's Resize does with antialiasing.

    Along an axis of h pixels, pixel i becomes Σ_j w_ij x_j with Σ_j w_ij = 1 and
    w_ij ∝ max(0, 1 − |j + ½ − (i + ½) s| / max(1, s)), s = h / side. It is computed in float64 and
    rounded, halves up, so that the last digit decides nothing: every machine has the same pixels.

    Args:
        images: [N, channels, height, width], uint8.
        side: Height and width of the result.

    Returns:
        [N, channels, side, side], uint8.
    """
    n, channels, *old = images.shape
    if old == [side, side]:
        return images
    found = images.new_empty(n, channels, side, side)
    together = max(1, _PIXELS // (channels * side * side))
    for start in range(0, n, together):
        part = slice(start, start + together)
        x = images[part].to(torch.float64)
        exact = interpolate(x, (side, side), mode="bilinear", antialias=True)
        found[part] = (exact + (0.5 + _TIE)).floor().to(torch.uint8)
    return found
