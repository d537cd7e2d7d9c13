"""Claims about R over a whole training: when they hold, fail and cannot be told."""

import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.papers.liu2020.claims.mean_osgr import mean_osgr_claims, rank_correlation
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.claims.repeated import over_seeds
from tests.tables import make_analysis, make_run

LOSS = (2.0, 1.0, 0.5)


def run(ratio: tuple[float, ...], gap: float, ch: int, loss: tuple[float, ...] = LOSS) -> RunRecord:
    curves = {"osgr_lhs": ratio, "train_loss": loss, "gen_gap": (0.0, gap / 2, gap)}
    return make_run(curves, epochs=(0, 10, 20), ch=ch)


def verdicts(*runs: RunRecord, seeds: int = 3) -> list[str]:
    found = mean_osgr_claims(make_analysis(*over_seeds(*runs, seeds=seeds)))
    return [claim.verdict for claim in found]


def runs(gaps: tuple[float, ...]) -> list[RunRecord]:
    """Runs of rising mean R, with these gaps at the end."""
    return [run((0.2 + 0.1 * i,) * 3, gap, i) for i, gap in enumerate(gaps)]


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ((4.0, 3.0, 2.0, 1.0), HOLDS),
        ((1.0, 2.0, 3.0, 4.0), FAILS),
        ((3.0, 2.0, 1.0), UNCLEAR),  # too few runs of a seed
        ((1.0, 1.0, 1.0, 1.0), UNCLEAR),
    ],
)
def test_a_large_r_means_a_small_gap(gaps: tuple[float, ...], verdict: str) -> None:
    assert verdicts(*runs(gaps))[1] == verdict


def test_two_seeds_are_too_few() -> None:
    assert verdicts(*runs((4.0, 3.0, 2.0, 1.0)), seeds=2) == [UNCLEAR, UNCLEAR]


def test_r_is_weighted_by_the_loss_that_it_carries_over() -> None:
    """Where nearly all of the loss falls early, early values of R decide."""
    early = (2.0, 0.1, 0.09)
    made = [
        run((0.9, 0.9, 0.0), 1.0, 0, early),
        run((0.8, 0.8, 0.1), 2.0, 1, early),
        run((0.7, 0.7, 0.2), 3.0, 2, early),
        run((0.6, 0.6, 0.9), 4.0, 3, early),
    ]
    assert rank_correlation(make_analysis(*made).aligned) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [((0.1, 0.5, 0.9), HOLDS), ((0.5, 1.2, -0.1), FAILS), ((0.5, 0.5, 1.1), HOLDS)],
)
def test_most_commonly_r_is_between_0_and_1(ratios: tuple[float, ...], verdict: str) -> None:
    assert verdicts(run(ratios, 1.0, 6))[0] == verdict


def test_a_sweep_without_the_gap_is_not_asked() -> None:
    assert mean_osgr_claims(make_analysis(make_run({"osgr_lhs": 0.5}))) == []
