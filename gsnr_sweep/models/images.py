"""What the papers' convolutional networks ask of their inputs."""

from __future__ import annotations

_SMALLEST_SIDE = 16


def require_images(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channels, height, width) of images that survive four halvings.

    Raises:
        ValueError: The inputs are not images of at least 16×16.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < _SMALLEST_SIDE:
        side = _SMALLEST_SIDE
        raise ValueError(f"needs images (channels, height, width) of at least {side}x{side} pixels")
    channels, height, width = input_shape
    return channels, height, width
