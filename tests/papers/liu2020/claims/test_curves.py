"""Claims about curves over training, Figs. 5 and 7: when they hold, fail and cannot be told."""

import pandas as pd
import pytest

from gsnr_sweep.analysis.curves import early, late, mean_curve
from gsnr_sweep.papers import FAILS, HOLDS, UNCLEAR, judge
from gsnr_sweep.records.record import RunRecord
from tests.papers.liu2020.claims.repeated import over_seeds
from tests.tables import make_analysis, make_run


def gsnr(*values: float, p_random: float = 0.0, **settings: object) -> RunRecord:
    """Values above the floor 1/n, n = 100."""
    return make_run(
        {"gsnr_mean": [0.01 + value for value in values]},
        epochs=range(0, 10 * len(values), 10),
        p_random=p_random,
        **settings,  # type: ignore[arg-type]
    )


def verdicts(figure: str, *runs: RunRecord) -> list[str]:
    """As three seeds that agree find them: at its bound a mean tells nothing."""
    return [claim.verdict for claim in judge(make_analysis(*over_seeds(*runs), figures=[figure]))]


# --- parts of a curve


def test_the_mean_curve_is_in_the_order_of_the_epochs_and_finite() -> None:
    frame = pd.DataFrame(
        {
            "run_id": ["a", "a", "b", "b", "a"],
            "epoch": [10, 0, 0, 10, 5],
            "x": [3.0, 1.0, 2.0, 4.0, float("nan")],
        }
    )
    assert mean_curve(frame, "x").to_dict() == {0: 1.5, 10: 3.5}


@pytest.mark.parametrize(
    ("epochs", "first", "last"),
    [
        ([0, 25, 26, 74, 75, 100], [0, 25], [75, 100]),
        ([0], [0], [0]),
        ([40, 100], [40], [100]),
        ([0, 100], [0], [100]),
        ([0, 1, 3], [0], [3]),
    ],
)
def test_early_and_late_are_quarters(epochs: list[int], first: list[int], last: list[int]) -> None:
    curve = pd.Series(range(len(epochs)), index=epochs, dtype=float)
    assert list(early(curve).index) == first
    assert list(late(curve).index) == last


# --- Fig. 5a and b


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.03, 0.0401, 0.01), HOLDS),  # 0.05 is 1.25 times 0.04
        ((0.03, 0.0399, 0.01), FAILS),
        ((0.03, 0.02, 0.01), FAILS),
        ((0.03, 0.03, 0.03), FAILS),
        ((0.03, 0.01, 0.09), HOLDS),
    ],
)
def test_gsnr_rises(values: tuple[float, ...], verdict: str) -> None:
    assert verdicts("gsnr_curves", gsnr(*values))[0] == verdict


@pytest.mark.parametrize(
    ("values", "verdict"),  # of five epochs the last two are in the last quarter
    [((0.01, 0.0, 0.0, 0.02, 0.01), HOLDS), ((0.01, 0.09, 0.09, 0.01, 0.009), FAILS)],
)
def test_gsnr_stays_high(values: tuple[float, ...], verdict: str) -> None:
    assert verdicts("gsnr_curves", gsnr(*values))[1] == verdict


@pytest.mark.parametrize(
    ("real_loss", "random_loss", "random_gsnr", "verdict"),
    [
        (0.19, 0.19, 0.039, HOLDS),  # 0.2 is a tenth of the first loss
        (0.21, 0.19, 0.039, UNCLEAR),
        (0.19, 0.21, 0.039, UNCLEAR),
        (0.19, 0.19, 0.041, FAILS),
    ],
)
def test_gsnr_tells_labels_apart_that_are_fitted(
    real_loss: float, random_loss: float, random_gsnr: float, verdict: str
) -> None:
    """GSNR and its floor are 0.05 and 0.01 with real labels."""
    runs = [
        make_run(
            {"gsnr_mean": 0.01 + level, "train_loss": (2.0, 0.01, loss)},
            epochs=(0, 10, 20),
            p_random=p,
        )
        for p, loss, level in ((0.0, real_loss, 0.04), (1.0, random_loss, random_gsnr))
    ]
    assert verdicts("gsnr_curves", *runs)[3] == verdict


@pytest.mark.parametrize(
    ("random", "verdict"),
    [(0.0, HOLDS), (0.0199, HOLDS), (0.0201, FAILS), (0.0401, FAILS)],
)
def test_gsnr_stays_low_with_random_labels(random: float, verdict: str) -> None:
    """The mean above the floor is 0.04 with real labels."""
    random_labels = gsnr(random, random, random, p_random=1.0)
    assert verdicts("gsnr_curves", gsnr(0.02, 0.06, 0.04), random_labels)[2] == verdict


@pytest.mark.parametrize(("real", "random"), [(-0.005, -0.004), (-0.004, -0.005), (0.0, 0.0)])
def test_without_signal_there_is_nothing_to_compare_random_labels_with(
    real: float, random: float
) -> None:
    """Half of less than nothing is more: the rule needs real labels above the floor."""
    runs = gsnr(real, real, real), gsnr(random, random, random, p_random=1.0)
    assert verdicts("gsnr_curves", *runs)[2] != HOLDS


def test_each_n_has_its_own_floor() -> None:
    real = [gsnr(0.04, 0.04, 0.04), make_run({"gsnr_mean": 0.041}, epochs=(0, 10, 20), n=1000)]
    random = make_run({"gsnr_mean": 0.0209}, epochs=(0, 10, 20), n=1000, p_random=1.0)
    assert verdicts("gsnr_curves", *real, random)[2] == HOLDS


def test_models_are_judged_apart_and_part_of_random_labels_counts_for_nothing() -> None:
    good, flat = gsnr(0.01, 0.05), gsnr(0.05, 0.01, model="resnet18")
    assert verdicts("gsnr_curves", good, flat) == [HOLDS, HOLDS, FAILS, FAILS]
    assert verdicts("gsnr_curves", good, gsnr(0.01, 0.01, p_random=0.5)) == [HOLDS, HOLDS]
    assert verdicts("gsnr_curves", gsnr(0.01, 0.05, p_random=1.0)) == []


def test_a_curve_does_not_rise_by_the_absence_of_a_run() -> None:
    """Neither run changes; one of them was not measured at epoch 5."""
    low = make_run({"gsnr_mean": 0.02}, epochs=(0, 10))
    high = make_run({"gsnr_mean": 0.06}, epochs=(0, 5, 10), n=200)
    assert verdicts("gsnr_curves", low, high)[0] == FAILS


# --- Fig. 5c


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.5, 0.53, 0.5625), HOLDS),
        ((0.5, 0.6, 0.5201), HOLDS),
        ((0.5, 0.6, 0.5199), FAILS),
        ((0.5, 0.6, 0.5), FAILS),
        ((0.5, 0.6, 0.4), FAILS),
    ],
)
def test_samples_agree_more_in_sign(values: tuple[float, ...], verdict: str) -> None:
    run = make_run({"p_same_sign": values}, epochs=(0, 10, 20))
    some = make_run({"p_same_sign": (0.9, 0.5, 0.1)}, epochs=(0, 10, 20), p_random=0.5)
    assert verdicts("same_sign", run, some) == [verdict]


@pytest.mark.parametrize(
    ("end", "verdict"), [(0.4, HOLDS), (0.5199, HOLDS), (0.5201, FAILS), (0.56, FAILS)]
)
def test_samples_with_random_labels_do_not_agree_more(end: float, verdict: str) -> None:
    run = make_run({"p_same_sign": (0.5, 0.6, end)}, epochs=(0, 10, 20), p_random=1.0)
    assert verdicts("same_sign", run) == [verdict]


# --- shallow and deep models, 3


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.4, 0.2, 0.2, 0.1), HOLDS),
        ((0.4, 0.1, 0.124, 0.1), HOLDS),  # 0.125 is 1.25 times 0.1
        ((0.4, 0.1, 0.126, 0.05), FAILS),
        ((0.4, 0.3, 0.35, 0.401), FAILS),
        ((0.4, 0.0, 0.3, 0.1), UNCLEAR),
    ],
)
def test_the_gsnr_of_a_shallow_model_falls(values: tuple[float, ...], verdict: str) -> None:
    run = make_run({"gsnr_mean": values}, epochs=(0, 1, 2, 3), model="linear")
    assert verdicts("shallow_gsnr", run) == [verdict]


def test_losses_of_shallow_and_deep_models_are_judged_apart() -> None:
    def run(model: str, loss: str, *values: float) -> RunRecord:
        made = make_run({"gsnr_mean": values}, epochs=(0, 1, 2), model=model)
        made.config["loss"] = {"name": loss}
        return made

    runs = [
        run("linear", "cross_entropy", 0.4, 0.2, 0.1),
        run("linear", "hinge", 0.4, 0.2, 0.3),
        run("mlp", "cross_entropy", 0.1, 0.2, 0.2),
        run("mlp", "hinge", 0.1, 0.2, 0.05),
    ]
    judged = judge(make_analysis(*over_seeds(*runs), figures=["shallow_gsnr"]))
    assert [(claim.text.partition(":")[0], claim.verdict) for claim in judged] == [
        ("linear, cross_entropy", HOLDS),
        ("linear, hinge", FAILS),
        ("mlp, cross_entropy", HOLDS),
        ("mlp, cross_entropy", HOLDS),
        ("mlp, hinge", HOLDS),
        ("mlp, hinge", FAILS),
    ]


# --- Fig. 7


def weights(**curves: object) -> RunRecord:
    known = {"corr_dg_w": 0.0, "corr_dg_w_top10": 0.0}
    known |= {"opposite_sign": 0.5, "opposite_sign_top10": 0.7}
    return make_run({**known, **curves})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("early_value", "verdict"),
    [(-0.2, HOLDS), (-0.0101, HOLDS), (-0.0099, FAILS), (0.0101, FAILS)],
)
def test_correlation_early_in_training(early_value: float, verdict: str) -> None:
    run = weights(corr_dg_w=lambda epoch: early_value if epoch <= 25 else -early_value)
    assert verdicts("weight_gradient", run)[0] == verdict


@pytest.mark.parametrize(
    ("top", "verdict"), [(-0.32, HOLDS), (-0.305, FAILS), (-0.295, FAILS), (-0.28, FAILS)]
)
def test_correlation_of_the_largest_weights(top: float, verdict: str) -> None:
    late_values = {"corr_dg_w": lambda e: -0.2999 if e <= 25 else 9.0, "corr_dg_w_top10": top}
    assert verdicts("weight_gradient", weights(**late_values))[1] == verdict


@pytest.mark.parametrize(
    ("late_value", "verdict"),
    [(0.6, HOLDS), (0.5101, HOLDS), (0.5099, FAILS), (0.4999, FAILS)],
)
def test_opposite_signs_late_in_training(late_value: float, verdict: str) -> None:
    run = weights(opposite_sign=lambda epoch: late_value if epoch >= 75 else 1 - late_value)
    assert verdicts("weight_gradient", run)[2] == verdict


@pytest.mark.parametrize(
    ("last", "verdict"),
    [(0.8, HOLDS), (0.751, HOLDS), (0.749, FAILS), (0.6, FAILS)],
)
def test_opposite_signs_of_the_largest_weights_at_the_end(last: float, verdict: str) -> None:
    run = weights(opposite_sign_top10=lambda epoch: last if epoch == 100 else 0.1)
    assert verdicts("weight_gradient", run)[3] == verdict


def test_the_end_is_not_judged_where_training_did_not_begin() -> None:
    run = make_run(
        {"corr_dg_w": -0.5, "corr_dg_w_top10": -0.9, "opposite_sign": 0.6}
        | {"opposite_sign_top10": 0.9},
        epochs=(0,),
    )
    assert verdicts("weight_gradient", run)[2:] == [UNCLEAR, UNCLEAR]


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.9, HOLDS), (0.751, HOLDS), (0.749, FAILS), (0.4, FAILS)]
)
def test_the_first_term_dominates_in_sign(value: float, verdict: str) -> None:
    run = make_run(
        {
            "first_term_same_sign": lambda epoch: value if epoch <= 25 else 1 - value,
            **{"first_term_corr": 0.5, "first_term_size": 0.25},
        }
    )
    assert verdicts("first_term", run) == [verdict]


def test_initial_weights_are_judged_apart() -> None:
    curves = {"first_term_corr": 0.5, "first_term_size": 0.25}
    good = make_run({"first_term_same_sign": 0.9, **curves}, init="torch")
    bad = make_run({"first_term_same_sign": 0.5, **curves}, init="he")
    found = judge(make_analysis(*over_seeds(good, bad), figures=["first_term"]))
    assert [(c.text[:23], c.verdict) for c in found] == [
        ("Initial weights 'torch'", HOLDS),
        ("Initial weights 'he': t", FAILS),
    ]
