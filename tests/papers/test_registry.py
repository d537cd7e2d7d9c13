"""Whatever the runs measured: no exception, and no verdict where there is nothing to judge."""

import math
from typing import Any

import pytest

from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, judge
from gsnr_sweep.papers.jiang2020 import catalog as jiang2020
from gsnr_sweep.papers.liu2020 import catalog as liu2020
from gsnr_sweep.papers.neyshabur2017 import catalog as neyshabur2017
from gsnr_sweep.papers.registry import BY_FIGURE, FIGURES
from tests.tables import Curve, make_analysis, make_run

STATES, EVENTS = ("same", "opposite"), ("changed", "g_grew", "both_grew")
METRICS = {
    "lhs_rhs": (*("osgr_lhs", "osgr_rhs", "osgr_diff", "osgr_diff_se", "train_loss", "gen_gap"),),
    "assumptions": (
        *("own_over_fresh_sq_norm", "own_over_fresh_variance", "between_over_within_variance"),
        *("taylor_ratio", "taylor_ratio_test", "osgr_lhs_of_sets", "osgr_rhs_of_sets"),
        "osgr_rhs_weighted",
    ),
    "gsnr_curves": ("gsnr_mean", "train_loss"),
    "shallow_gsnr": ("gsnr_mean",),
    "same_sign": ("p_same_sign",),
    "frozen": ("gsnr_followed_mean", "train_loss", "linear_regression_loss_error"),
    "weight_gradient": (*("corr_dg_w", "corr_dg_w_top10", "opposite_sign", "opposite_sign_top10"),),
    "first_term": ("first_term_same_sign", "first_term_corr", "first_term_size"),
    "squared_gradient": (
        *("grad_sq_mean", "grad_sq_mean_opposite", "grad_sq_mean_same", "grad_sq_debiased"),
        "grad_sq_mean_opposite_top10",
    ),
    "sign_transitions": (
        *(
            f"{name}_from_{state}"
            for name in ("changed", "g_grew", "both_grew")
            for state in STATES
        ),
        *(f"changed_by_g_from_{state}{of}" for state in STATES for of in ("", "_top10")),
    ),
    "norms": ("log10_l2_over_margin2", "log10_spectral_over_margin2"),
    "sharpness": ("max_sharpness", "log10_kl_at_sharpness"),
    "confusion": ("log10_l2_over_margin2", "max_sharpness", "test_error"),
    "width": ("log10_l2_over_margin2", "log10_kl_at_sharpness", "test_error"),
    "conditions": ("c1_inverse_mu", "c2_constant", "c3_constant"),
}
EVERY = sorted({name for names in METRICS.values() for name in names})
RISING = tuple(0.2 + 0.1 * k for k in range(7))
every_figure = pytest.mark.parametrize("figure", METRICS)


def told(figure: str, *runs: Any) -> list[str]:
    """The verdicts; the evidence must be readable."""
    claims = judge(make_analysis(*runs, figures=[figure]))
    for claim in claims:
        assert claim.text.endswith(".")
        assert claim.source
        assert "Rule: " in claim.evidence or claim.verdict == UNCLEAR
        assert "nan" not in claim.evidence, claim
        assert "inf" not in claim.evidence, claim
    return [claim.verdict for claim in claims]


def run(value: Curve = RISING, /, **settings: Any) -> Any:
    return make_run(dict.fromkeys(EVERY, value), **settings)


def test_every_figure_with_claims_is_in_the_catalog_and_here() -> None:
    assert set(METRICS) == set(BY_FIGURE)
    assert set(BY_FIGURE) <= set(FIGURES)


def test_no_two_papers_have_a_figure_of_the_same_name() -> None:
    names = [name for paper in (liu2020, neyshabur2017, jiang2020) for name in paper.FIGURES]
    assert len(names) == len(set(names))
    assert set(FIGURES) == set(names)


@every_figure
def test_claims_belong_to_an_experiment_of_the_paper(figure: str) -> None:
    assert judge(make_analysis(run(), figures=[figure]))
    assert judge(make_analysis(run(), figures=[figure], experiment="")) == ()
    assert judge(make_analysis(run(), figures=["loss_shares", "no_such_figure"])) == ()


def test_no_run_no_claim() -> None:
    assert judge(make_analysis(figures=list(METRICS))) == ()


def test_claims_come_in_the_order_of_the_figures() -> None:
    both = judge(make_analysis(run(), figures=["same_sign", "loss_shares", "gsnr_curves"]))
    assert [claim.source for claim in both] == ["3.1, Fig. 5c", "3.1, Fig. 5", "3.1, Fig. 5"]


@every_figure
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nothing_finite_nothing_told(figure: str, value: float) -> None:
    assert set(told(figure, run(value), run(value, seed=1))) <= {UNCLEAR}


@every_figure
def test_nothing_measured_nothing_told(figure: str) -> None:
    assert set(told(figure, make_run({"other": 1.0}))) <= {UNCLEAR}


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize("finite", [True, False], ids=["missing", "NaN"])
def test_one_metric_less(metric: str, finite: bool) -> None:
    """The others are judged all the same."""
    curves: dict[str, Curve] = dict.fromkeys(EVERY, RISING)
    if finite:
        del curves[metric]
    else:
        curves[metric] = math.nan
    for figure in METRICS:
        told(figure, make_run(curves), make_run(curves, seed=1))


@every_figure
def test_a_run_without_finite_values_takes_nothing_from_the_others(figure: str) -> None:
    runs = [run(seed=seed) for seed in range(4)]
    assert told(figure, *runs, run(math.nan, seed=9)) == told(figure, *runs)


@every_figure
@pytest.mark.parametrize("epoch", [0, 100])
def test_one_epoch_says_nothing_about_the_course_of_the_training(figure: str, epoch: int) -> None:
    verdicts = told(figure, run((0.6,), epochs=(epoch,)))
    if figure not in ("weight_gradient", "first_term"):
        assert set(verdicts) <= {UNCLEAR}


@every_figure
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-300, 1e300])
def test_values_that_never_change(figure: str, value: float) -> None:
    verdicts = told(figure, run(value), run(value, seed=1), run(value, n=200), run(value, ch=8))
    assert set(verdicts) <= {HOLDS, FAILS, UNCLEAR}


@every_figure
def test_a_start_at_zero(figure: str) -> None:
    told(figure, run((0.0, *RISING[1:])), run((0.0, *RISING[1:]), seed=1))


@every_figure
@pytest.mark.parametrize("frozen", [(), ("fc1",)])
@pytest.mark.parametrize("p_random", [0.0, 0.3, 1.0])
def test_every_kind_of_run_alone(figure: str, frozen: tuple[str, ...], p_random: float) -> None:
    told(figure, run(frozen=frozen, p_random=p_random))


@every_figure
def test_runs_that_share_no_epoch(figure: str) -> None:
    runs = [run((0.1 * s, 0.2), epochs=(s, 50 + s), seed=s, n=100 + s) for s in range(6)]
    assert set(told(figure, *runs)) <= {HOLDS, FAILS, UNCLEAR}


@every_figure
def test_records_of_a_time_before_layers_could_be_frozen(figure: str) -> None:
    old = run()
    del old.config["model"]["frozen"]
    assert told(figure, old) == told(figure, run())


@every_figure
def test_initial_weights_without_a_name(figure: str) -> None:
    told(figure, run(init=None))
    told(figure, run(init=None), run(init="he"))


@every_figure
def test_evidence_is_escaped_nowhere_and_names_what_it_is_about(figure: str) -> None:
    for claim in judge(make_analysis(run(model="m<b>", init="i<b>"), figures=[figure])):
        if figure in ("gsnr_curves", "shallow_gsnr", "same_sign"):
            assert claim.text.startswith("m<b>: ")
        elif figure in liu2020.FIGURES and figure not in ("lhs_rhs", "assumptions"):
            assert claim.text.startswith("Initial weights 'i<b>': ")
