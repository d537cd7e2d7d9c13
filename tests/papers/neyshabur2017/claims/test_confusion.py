"""Claims of Fig. 3, and rank correlations against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.analysis.seed_means import seed_mean
from gsnr_sweep.papers.neyshabur2017.claims.confusion import ERROR, rank_correlations
from gsnr_sweep.papers.neyshabur2017.networks import trained_networks
from gsnr_sweep.records.record import RunRecord
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.claims.judging import claim, judged
from tests.tables import make_analysis

L2, SHARPNESS = ("ℓ2 norm",), ("Max sharpness",)


def with_values(column: str, values: dict[int, list[float]]) -> list[RunRecord]:
    """Networks with a metric given by seed, over the confusion sets."""
    runs = made_up.confusion()
    for run in runs:
        place = made_up.CONFUSION.index(run.config["data"]["confusion"])
        run.measurements[-1].metrics[column] = values[run.config["seed"]][place]
    return runs


def test_rank_correlations_are_scipys() -> None:
    rng = np.random.default_rng(5)
    values = {seed: list(rng.integers(0, 5, 6) + 0.5) for seed in range(3)}  # with ties
    errors = {seed: list(rng.normal(size=6)) for seed in range(3)}
    runs = with_values("max_sharpness", values)
    for run in runs:
        place = made_up.CONFUSION.index(run.config["data"]["confusion"])
        run.measurements[-1].metrics[ERROR] = errors[run.config["seed"]][place]
    networks = trained_networks(make_analysis(*runs))
    found = seed_mean(rank_correlations(networks, "max_sharpness", ERROR))
    expected = [stats.spearmanr(values[s], errors[s]).statistic for s in range(3)]
    assert (found.seeds, found.mean) == (3, pytest.approx(np.mean(expected)))
    low, high = stats.t.interval(0.95, 2, np.mean(expected), stats.sem(expected))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_all_hold_on_runs_like_the_papers() -> None:
    claims = judged("confusion", made_up.confusion())
    assert len(claims) == 7
    assert {c.verdict for c in claims} == {HOLDS}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({s: [1, 2, 3, 4, 5, 6] for s in range(3)}, HOLDS),
        ({s: [6, 5, 4, 3, 2, 1] for s in range(3)}, FAILS),
        ({0: [1, 2, 3, 4, 5, 6], 1: [6, 5, 4, 3, 2, 1], 2: [1, 3, 2, 5, 4, 6]}, UNCLEAR),
        ({s: [2] * 6 for s in range(3)}, UNCLEAR),  # no ranks
    ],
)
def test_norms_rise_and_sharpness_does_not(values: dict, verdict: str) -> None:
    norm = with_values("log10_l2_over_margin2", values)
    assert claim("confusion", norm, *L2).verdict == verdict
    opposite = {HOLDS: FAILS, FAILS: HOLDS, UNCLEAR: UNCLEAR}[verdict]
    sharpness = claim("confusion", with_values("max_sharpness", values), *SHARPNESS)
    assert sharpness.verdict == opposite


def test_the_test_error_counts_as_well() -> None:
    """A norm that rises with the set while the error falls explains nothing."""
    falling = with_values(ERROR, {s: [6, 5, 4, 3, 2, 1] for s in range(3)})
    found = claim("confusion", falling, *L2)
    assert found.verdict == FAILS
    assert "confusion set +1" in found.evidence
    assert "test error -1" in found.evidence


@pytest.mark.parametrize("words", [L2, SHARPNESS])
@pytest.mark.parametrize("few", ["seed", "sizes", "not swept"])
def test_too_few_never_hold(words: tuple[str, ...], few: str) -> None:
    runs = {
        "seed": made_up.confusion((0,)),
        "sizes": [r for r in made_up.confusion() if r.config["data"]["confusion"] <= 200],
        "not swept": [r for r in made_up.confusion() if r.config["data"]["confusion"] == 0],
    }[few]
    assert claim("confusion", runs, *words).verdict == UNCLEAR
