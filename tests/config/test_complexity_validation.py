"""Settings of measures of trained networks that cannot be meant."""

import pytest

from gsnr_sweep.config.validation import problems
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from tests.conftest import typed_config


def _problems(override: str) -> list[str]:
    choice = "neyshabur_conditions" if override.startswith("condition") else "neyshabur"
    return problems(typed_config(f"measures={choice}", f"measures.{override}"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("on=all", "Allowed: union, clean."),
        ("margin_rule=median", "Allowed: interpolated, order."),
        ("norm_bias=drop", "Allowed: edge, none."),
        ("norm_pooling=max", "Allowed: as_is, paths."),
        ("max_sharpness_starts=3", "Allowed: 1, 2."),
        ("margin_epsilon=0.0", "give a share above 0 and below 1."),
        ("margin_epsilon=1.0", "give a share above 0 and below 1."),
        ("pac_bayes_delta=-0.1", "give a share above 0 and below 1."),
        ("max_sharpness_alpha=0.0", "give a positive number, at most 1e+06."),
        ("sharpness_alpha=-0.001", "give a positive number, at most 1e+06."),
        ("sharpness_level=0.0", "give a positive number, at most 1e+06."),
        ("max_sharpness_steps=0", "give a whole number of at least 1."),
        ("max_sharpness_batch=0", "give a whole number of at least 1."),
        ("sharpness_draws=1", "give a whole number of at least 2."),
        ("sharpness_samples=0", "give a whole number of at least 1."),
        ("sharpness_batch=0", "give a whole number of at least 1."),
        ("sharpness_alpha_count=1", "give a whole number of at least 2."),
        ("condition_samples=0", "give a whole number of at least 1."),
        ("sharpness_alpha_ratio=1.0", "give a ratio above 1."),
        ("sharpness_alpha_ratio=10.0", "beyond 1e+06; give a smaller ratio or fewer."),
    ],
)
def test_the_key_its_value_and_what_is_allowed_are_named(override: str, words: str) -> None:
    (problem,) = _problems(override)
    assert problem.startswith(f"measures.{override}: ")
    assert problem.endswith(words)


def test_many_alphas_overflow_nothing() -> None:
    (problem,) = _problems("sharpness_alpha_count=10000000000000")
    assert "the largest α is beyond" in problem


def test_the_grid_is_geometric() -> None:
    settings = ComplexityConfig(
        sharpness_alpha=0.5, sharpness_alpha_ratio=2.0, sharpness_alpha_count=4
    )
    assert settings.sharpness_alphas == [0.5, 1.0, 2.0, 4.0]
