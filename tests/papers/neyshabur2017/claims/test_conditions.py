"""Claims of Fig. 5: constants within what was reported."""

import pytest

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR
from gsnr_sweep.records.record import RunRecord
from tests.papers.neyshabur2017 import made_up
from tests.papers.neyshabur2017.claims.judging import claim
from tests.tables import make_run

C1, C2, C3 = ("C1 holds",), ("C2 holds",), ("C3 holds",)


def runs(*constants: tuple[float, float], column: str) -> list[RunRecord]:
    """A run a seed, with a constant at epoch 0 and where its training stopped."""
    made = []
    for seed, pair in enumerate(constants):
        run = make_run({column: pair}, epochs=(0, 10 + seed), seed=seed)
        run.config["epochs"] = 400
        run.measurements[-1].is_end = True
        run.stopped_by = "stop.train_error"
        made.append(run)
    return made


@pytest.mark.parametrize(
    ("words", "column", "bound"),
    [(C1, "c1_inverse_mu", 4), (C2, "c2_constant", 5), (C3, "c3_constant", 3)],
)
def test_a_seeds_largest_value_is_within_the_bound(words: tuple, column: str, bound: float) -> None:
    inside, outside = bound - 0.1, bound + 0.1

    def told(*constants: tuple[float, float]) -> str:
        return claim("conditions", runs(*constants, column=column), *words).verdict

    assert told(*[(inside, inside)] * 3) == HOLDS
    assert told((inside, inside), (inside, inside), (inside, outside)) == UNCLEAR
    assert told(*[(inside, outside)] * 3) == FAILS
    assert told(*[(outside, inside)] * 3) == FAILS
    assert told(*[(inside, inside)] * 2) == UNCLEAR  # too few seeds


def test_both_moments_are_needed() -> None:
    made = made_up.conditions()
    assert claim("conditions", made, *C1).verdict == HOLDS
    for run in made:
        del run.measurements[0]
    assert claim("conditions", made, *C1).verdict == UNCLEAR


def test_one_seed_under_two_settings_is_one_seed() -> None:
    made = [run for lr in (0.1, 0.2) for run in made_up.conditions((0,), lr=lr)]
    found = claim("conditions", made, "lr = 0.1", "C1 holds")
    assert found.verdict == UNCLEAR
