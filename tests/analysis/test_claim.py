"""Claims and how many runs they rest on."""

import pytest

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR, Claim, Verdict


@pytest.mark.parametrize("told", [HOLDS, FAILS, UNCLEAR])
@pytest.mark.parametrize(("runs", "least", "enough"), [(1, 2, False), (2, 2, True), (1, 1, True)])
def test_of_too_few_runs_nothing_is_told(
    told: Verdict, runs: int, least: int, enough: bool
) -> None:
    claim = Claim("It rises.", "mine", told, "By 3.", runs, least)
    assert claim.verdict == (told if enough else UNCLEAR)
    before = "" if enough else f"Not enough runs: {runs} of at least {least}. "
    assert claim.evidence == f"{before}By 3."


@pytest.mark.parametrize(("seeds", "least", "enough"), [(1, 2, False), (2, 2, True), (2, 3, False)])
def test_of_too_few_seeds_nothing_is_told(seeds: int, least: int, enough: bool) -> None:
    claim = Claim("It rises.", "mine", HOLDS, "By 3.", 8, seeds=seeds, least_seeds=least)
    assert claim.verdict == (HOLDS if enough else UNCLEAR)
    before = "" if enough else f"Not enough seeds: {seeds} of at least {least}. "
    assert claim.evidence == f"{before}By 3."


def test_why_nothing_is_told_is_said_once() -> None:
    few = Claim("It rises.", "mine", HOLDS, "By 3.", seeds=1)
    assert few.of_sweep(8).evidence == "Not enough seeds: 1 of at least 3. By 3."
    fewer = Claim("It rises.", "mine", HOLDS, "", 1, seeds=1)
    assert fewer.evidence == "Not enough runs: 1 of at least 2."


def test_a_claim_that_names_no_runs_rests_on_those_of_the_sweep() -> None:
    claim = Claim("It rises.", "mine", HOLDS, "By 3.")
    assert claim.verdict == HOLDS
    assert claim.of_sweep(1).verdict == UNCLEAR
    assert claim.of_sweep(2).verdict == HOLDS
    assert Claim("It rises.", "mine", HOLDS, "By 3.", 5).of_sweep(1).verdict == HOLDS
