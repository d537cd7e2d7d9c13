"""Claims of Fig. 2: they hold, fail and stay open where they must."""

import pytest

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.records.record import RunRecord
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.claims.judging import claim

ALONE, LOWER, LESS = ("Max sharpness alone",), ("curve is lower",), ("moves less",)


def runs(**ratios: float) -> list[RunRecord]:
    """Networks whose max sharpness with random over true labels is given by size."""
    made = made_up.labels()
    for run in made:
        n, seed = run.config["n"], run.config["seed"]
        base = 1.0 if run.config["p_random"] == 0 else ratios[f"n{n}"]
        run.measurements[-1].metrics["max_sharpness"] = base + 0.02 * seed * run.config["p_random"]
    return made


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((0.8, 0.9, 1.1, 1.3), HOLDS),  # the paper's crossing
        ((0.8, 1.9, 0.1, 1.3), HOLDS),  # the ends count
        ((1.2, 1.2, 1.2, 1.2), FAILS),
        ((0.6, 0.6, 0.6, 0.6), FAILS),
        ((1.3, 1.1, 0.9, 0.8), UNCLEAR),  # the other way round
        ((0.98, 0.9, 1.1, 1.3), UNCLEAR),  # no difference at the smallest
    ],
)
def test_max_sharpness_alone_crosses(ratios: tuple[float, ...], verdict: str) -> None:
    by_size = {f"n{n}": ratio for n, ratio in zip(made_up.SIZES, ratios, strict=True)}
    assert claim("sharpness", runs(**by_size), *ALONE).verdict == verdict


def test_on_a_small_perceptron_it_does_not_cross() -> None:
    found = claim("sharpness", made_up.labels(), *ALONE)
    assert found.verdict == FAILS
    assert "n = 500: +0.104" in found.evidence


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, HOLDS), (-2.0, FAILS), (-0.67, UNCLEAR)])
def test_the_curve_is_lower_with_true_labels(shift: float, verdict: str) -> None:
    """By log10 of KL at expected sharpness 0.05, 0.67 lower at n = 1000."""
    made = made_up.labels()
    for run in made:
        if (run.config["p_random"], run.config["n"]) == (1.0, 1000):
            run.measurements[-1].metrics["log10_kl_at_sharpness"] += shift
    assert claim("sharpness", made, *LOWER).verdict == verdict


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        (0.0, HOLDS),
        (1.0, FAILS),  # 1.11 with true labels, 0.66 with random ones
        (-1.0, FAILS),  # downwards is movement, too
        (0.55, UNCLEAR),
    ],
)
def test_the_curve_moves_less_with_true_labels(shift: float, verdict: str) -> None:
    made = made_up.labels()
    for run in made:
        if (run.config["p_random"], run.config["n"]) == (0.0, 4000):
            run.measurements[-1].metrics["log10_kl_at_sharpness"] += shift
    found = claim("sharpness", made, *LESS)
    assert found.verdict == verdict
    assert "change of log10 from n = 500 to 4000" in found.evidence


@pytest.mark.parametrize("words", [ALONE, LOWER, LESS])
@pytest.mark.parametrize(
    "few", [made_up.labels((0,)), made_up.labels((0, 1, 2), sizes=(500,))], ids=["seed", "size"]
)
def test_too_few_never_hold(words: tuple[str, ...], few: list[RunRecord]) -> None:
    assert claim("sharpness", few, *words).verdict == UNCLEAR
