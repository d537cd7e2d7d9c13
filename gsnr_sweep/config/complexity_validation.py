"""Ranges of the settings of measures of trained networks; no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gsnr_sweep.config.wording import not_allowed
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.wording import as_typed

_CHOICES = {
    "networks_at": ("all", "end"),
    "on": ("union", "clean"),
    "margin_rule": ("interpolated", "order"),
    "norm_bias": ("edge", "none"),
    "norm_pooling": ("as_is", "paths"),
    "max_sharpness_starts": (1, 2),
}
_SHARES = ("margin_epsilon", "pac_bayes_delta", "flatness_drop")
_POSITIVE = ("max_sharpness_alpha", "sharpness_alpha", "sharpness_level")
_LEAST = {
    **{"max_sharpness_steps": 1, "max_sharpness_batch": 1, "sharpness_alpha_count": 2},
    **{"sharpness_draws": 2, "sharpness_samples": 1, "sharpness_batch": 1},
    **{"condition_samples": 1, "condition_draws": 2},
    **{"flatness_draws": 1, "flatness_steps": 1, "flatness_samples": 1},
}
_LARGEST_ALPHA = 1e6  # noise a million times a weight: every curve has long left its figure


def complexity_problems(settings: ComplexityConfig) -> list[str]:
    """Judge the settings; a sentence or two a problem."""
    choices = [
        not_allowed(f"measures.{key}", getattr(settings, key), tuple(map(str, allowed)))
        for key, allowed in _CHOICES.items()
        if getattr(settings, key) not in allowed
    ]
    ranges = [
        f"measures.{key}={as_typed(getattr(settings, key))}: {told}."
        for key, told in (*_out_of_range(settings), *_grid_problems(settings))
    ]
    return choices + ranges


def _out_of_range(settings: ComplexityConfig) -> Iterator[tuple[str, str]]:
    for key in _SHARES:
        if not 0 < getattr(settings, key) < 1:
            yield key, "give a share above 0 and below 1"
    for key in _POSITIVE:
        if not 0 < getattr(settings, key) <= _LARGEST_ALPHA:
            yield key, f"give a positive number, at most {_LARGEST_ALPHA:g}"
    for key, least in _LEAST.items():
        value = getattr(settings, key)
        if value is not None and value < least:
            yield key, f"give a whole number of at least {least}"


def _grid_problems(settings: ComplexityConfig) -> Iterator[tuple[str, str]]:
    key, count = "sharpness_alpha_ratio", settings.sharpness_alpha_count
    if settings.sharpness_alpha_ratio <= 1:
        yield key, "α grows from one to the next: give a ratio above 1"
    elif settings.sharpness_alpha > 0 and _is_beyond(settings):
        yield (
            key,
            f"with measures.sharpness_alpha_count={count} the largest α is beyond "
            f"{_LARGEST_ALPHA:g}; give a smaller ratio or fewer",
        )


def _is_beyond(settings: ComplexityConfig) -> bool:
    """Tell whether the largest α is beyond bounds."""
    last = math.log(settings.sharpness_alpha_ratio) * max(settings.sharpness_alpha_count - 1, 0)
    return math.log(settings.sharpness_alpha) + last > math.log(_LARGEST_ALPHA)
