"""Claims on g² and on transitions of the sign of W·g, 3.3: when they hold, fail and are open."""

from collections.abc import Mapping, Sequence

import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, Claim, judge
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.claims.repeated import over_seeds
from tests.tables import Curve, make_analysis, make_run

EPOCHS = (0, 10, 20, 40, 80)
"""20 is the end of the first quarter."""


def judged(figure: str, runs: Sequence[RunRecord]) -> list[Claim]:
    return list(judge(make_analysis(*runs, figures=[figure])))


def squares(**curves: Curve) -> RunRecord:
    known: dict[str, Curve] = dict.fromkeys(
        ("grad_sq_mean", "grad_sq_mean_same", "grad_sq_debiased"), (2.0, 3.0, 4.0, 1.0, 0.5)
    )
    for of in ("", "_top10"):
        known[f"grad_sq_mean_opposite{of}"] = (2.0, 3.0, 4.0, 1.0, 0.5)
    return make_run({**known, **curves}, epochs=EPOCHS)


@pytest.mark.parametrize(
    ("quarter", "verdict"), [(4.0, HOLDS), (2.01, HOLDS), (1.99, FAILS), (0.1, FAILS)]
)
def test_squares_grow_over_the_first_quarter(quarter: float, verdict: str) -> None:
    """Whatever comes later."""
    runs = over_seeds(squares(grad_sq_mean=(2.0, 9.0, quarter, 9.0, 9.0)))
    claim = judged("squared_gradient", runs)[0]
    assert claim.verdict == verdict
    assert f"{quarter / 2:.2f}" in claim.evidence


@pytest.mark.parametrize(
    ("largest", "every", "verdict"),
    [(2.1, 2.0, HOLDS), (1.9, 2.0, FAILS), (0.5, 0.2, FAILS)],
    ids=["more", "less", "they fall less"],
)
def test_squares_of_large_weights_grow_more(largest: float, every: float, verdict: str) -> None:
    run = squares(
        grad_sq_mean_opposite=(1.0, 0, every, 0, 0),
        grad_sq_mean_opposite_top10=(1.0, 0, largest, 0, 0),
    )
    assert judged("squared_gradient", over_seeds(run))[1].verdict == verdict


def test_seeds_that_differ_leave_it_open() -> None:
    runs = over_seeds(squares())
    for run, quarter in zip(runs, (1.0, 2.0, 9.0), strict=True):
        run.measurements[2].metrics["grad_sq_mean"] = quarter
    assert judged("squared_gradient", runs)[0].verdict == UNCLEAR


RATES = {
    "changed_from_same": 0.09,
    "changed_from_opposite": 0.03,
    "changed_by_g_from_same": 0.06,
    "changed_by_g_from_opposite": 0.03,
    "changed_by_g_from_same_top10": 0.09,
    "changed_by_g_from_opposite_top10": 0.03,
    "g_grew_from_same": 0.5,
    "g_grew_from_opposite": 0.6,
    "both_grew_from_same": 0.1,
    "both_grew_from_opposite": 0.5,
}


def transitions(changes: Mapping[str, float | Sequence[float]]) -> list[RunRecord]:
    """Runs with these rates at all looks but the first, where there is nothing to compare with."""
    given = {**RATES, **changes}
    curves = {
        name: (rate,) * (len(EPOCHS) - 1) if isinstance(rate, float) else tuple(rate)
        for name, rate in given.items()
    }
    return over_seeds(make_run(dict(curves), epochs=EPOCHS[1:]))


@pytest.mark.parametrize(
    ("changes", "verdicts"),
    [
        ({}, [HOLDS, HOLDS, HOLDS]),
        ({"g_grew_from_opposite": 0.49}, [FAILS, HOLDS, HOLDS]),
        # epochs 10 and 20 are early
        ({"g_grew_from_opposite": (0.6, 0.6, 0.1, 0.1)}, [HOLDS, HOLDS, HOLDS]),
        ({"g_grew_from_opposite": (0.4, 0.4, 0.9, 0.9)}, [FAILS, HOLDS, HOLDS]),
        ({"changed_by_g_from_same": 0.029}, [HOLDS, FAILS, HOLDS]),
        ({"changed_by_g_from_same": (0.0, 0.0, 0.0, 0.14)}, [HOLDS, HOLDS, HOLDS]),
        ({"changed_by_g_from_same_top10": 0.059}, [HOLDS, HOLDS, FAILS]),
        # by the weights' own changes nothing is shown
        ({"changed_from_same": 0.9, "changed_by_g_from_same": 0.02}, [HOLDS, FAILS, HOLDS]),
    ],
    ids=str,
)
def test_transitions_against_chance(changes: dict[str, float], verdicts: list[str]) -> None:
    found = judged("sign_transitions", transitions(changes))
    assert [claim.verdict for claim in found] == verdicts


def test_no_weight_that_comes_back_has_no_ratio() -> None:
    found = judged("sign_transitions", transitions({"changed_by_g_from_opposite": 0.0}))
    assert [claim.verdict for claim in found] == [HOLDS, UNCLEAR, UNCLEAR]


def test_rates_are_told() -> None:
    _, over, large = judged("sign_transitions", transitions({}))
    assert "6.00%" in over.evidence
    assert "3.00%" in over.evidence
    assert "ratio 2.000" in over.evidence
    assert "ratio 3.000" in large.evidence
