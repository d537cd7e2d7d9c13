"""What a sweep was launched as, written and read back."""

import pytest

from gsnr_sweep.analysis.preset import LHS_RHS, Preset


@pytest.mark.parametrize("paper_curves", [False, True])
def test_a_preset_is_read_back_as_it_was_written(paper_curves: bool) -> None:
    preset = Preset("an_experiment", "smoke", ("norms",), ("mine.rises",), paper_curves)
    assert Preset.of_json(preset.as_json()) == preset


def test_a_preset_of_before_the_papers_curves_shows_none() -> None:
    assert Preset.of_json('{"name": "old", "scale": "paper", "figures": ["lhs_rhs"]}') == Preset(
        "old", "paper", (LHS_RHS,)
    )
