"""Measures against formulas written out by hand."""

import math

import numpy as np
import pytest
import torch

from gsnr_sweep.measures.grad_moments import grad_moments
from gsnr_sweep.measures.gsnr import gsnr
from gsnr_sweep.measures.losses import losses
from gsnr_sweep.measures.osgr_diff import osgr_diff
from gsnr_sweep.measures.osgr_lhs import osgr_lhs
from gsnr_sweep.measures.osgr_rhs import osgr_rhs
from gsnr_sweep.measures.osgr_rhs_weighted import osgr_rhs_weighted
from gsnr_sweep.measures.p_same_sign import p_same_sign
from gsnr_sweep.measures.ratio import variance_over_sets
from gsnr_sweep.measures.taylor_ratio import taylor_ratio
from tests.measures.snapshots import LR, snapshot


@pytest.fixture
def gradients() -> np.ndarray:
    """[M = 5, n = 30, P = 7], one parameter without any gradient."""
    rng = np.random.default_rng(1)
    return rng.normal(0.3, 1.0, (5, 30, 7)) * np.array([1, 2, 0.5, 3, 1, 1, 0])


def test_osgr_lhs_is_the_ratio_of_summed_loss_changes(gradients: np.ndarray) -> None:
    shot = snapshot(gradients)
    test = (shot.test_loss_next - shot.test_loss).numpy()
    train = (shot.train_loss_next - shot.train_loss).numpy()
    found = osgr_lhs(shot)
    assert found["osgr_lhs"] == pytest.approx(test.sum() / train.sum(), rel=1e-12)
    left_out = [np.delete(test, m).sum() / np.delete(train, m).sum() for m in range(5)]
    jackknife = 4 / 5 * np.sum((left_out - np.mean(left_out)) ** 2)
    sampling = np.var(shot.test_loss_change.numpy(), ddof=1) / 40 / train.sum() ** 2
    assert found["osgr_lhs_se"] == pytest.approx(math.sqrt(jackknife + sampling), rel=1e-10)
    assert found["osgr_lhs_test_se"] == pytest.approx(math.sqrt(sampling), rel=1e-10)


def test_jackknife_and_delta_method_agree_for_many_sets() -> None:
    """The delta method's variance of a ratio r = a/b is M/(M − 1) Σ (a_m − r b_m)² / (Σ b_m)²."""
    rng = np.random.default_rng(2)
    for n_sets, apart in ((10, 0.1), (100, 0.01)):
        gradients = rng.normal(0.3, 1.0, (n_sets, 30, 7))
        noise = gradients.var(1).sum(1) / 30
        power = (gradients.mean(1) ** 2).sum(1)
        residuals = noise - noise.sum() / power.sum() * power
        delta = math.sqrt(n_sets / (n_sets - 1) * np.sum(residuals**2)) / power.sum()
        assert osgr_rhs(snapshot(gradients))["osgr_rhs_se"] == pytest.approx(delta, rel=apart)


@pytest.mark.parametrize(("variance", "ddof"), [("plugin", 0), ("unbiased", 1)])
def test_osgr_rhs_is_equation_19(gradients: np.ndarray, variance: str, ddof: int) -> None:
    shot = snapshot(gradients, variance)
    noise = gradients.var(1, ddof=ddof).mean(0)
    power = (gradients.mean(1) ** 2).mean(0)
    expected = 1 - noise.sum() / (30 * power.sum())
    assert osgr_rhs(shot)["osgr_rhs"] == pytest.approx(expected, rel=1e-12)


def test_osgr_rhs_standard_error_is_the_jackknife(gradients: np.ndarray) -> None:
    found = osgr_rhs(snapshot(gradients))
    left_out = []
    for m in range(5):
        kept = np.delete(gradients, m, axis=0)
        power = (kept.mean(1) ** 2).mean(0).sum()
        left_out.append(1 - kept.var(1).mean(0).sum() / (30 * power))
    expected = math.sqrt(4 / 5 * np.sum((left_out - np.mean(left_out)) ** 2))
    assert found["osgr_rhs_se"] == pytest.approx(expected, rel=1e-10)


def test_weighted_form_equals_equation_19(gradients: np.ndarray) -> None:
    for variance in ("plugin", "unbiased"):
        shot = snapshot(gradients, variance)
        weighted = osgr_rhs_weighted(shot)["osgr_rhs_weighted"]
        assert weighted == pytest.approx(osgr_rhs(shot)["osgr_rhs"], rel=1e-12)


def test_with_one_training_set_the_right_side_collapses(gradients: np.ndarray) -> None:
    """1 − Σρ²/(nΣg²) = Σg̃² / Σ(g̃² + ρ²/n) with g̃² = g² − ρ²/n."""
    shot = snapshot(gradients[:1])
    variance = gradients[0].var(0)
    signal = gradients[0].mean(0) ** 2 - variance / 30
    expected = signal.sum() / (signal + variance / 30).sum()
    found = osgr_rhs(shot)
    assert found["osgr_rhs"] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert math.isnan(found["osgr_rhs_se"])
    assert math.isnan(osgr_lhs(shot)["osgr_lhs_se"])
    assert osgr_lhs(shot)["osgr_lhs_test_se"] > 0


def test_difference_and_its_error(gradients: np.ndarray) -> None:
    shot = snapshot(gradients)
    found = osgr_diff(shot)
    lhs, rhs = osgr_lhs(shot), osgr_rhs(shot)
    assert found["osgr_diff"] == pytest.approx(lhs["osgr_lhs"] - rhs["osgr_rhs"], rel=1e-12)
    test = (shot.test_loss_next - shot.test_loss).numpy()
    train = (shot.train_loss_next - shot.train_loss).numpy()
    left_out = []
    for m in range(5):
        kept = np.delete(gradients, m, axis=0)
        right = 1 - kept.var(1).sum() / (30 * (kept.mean(1) ** 2).sum())
        left_out.append(np.delete(test, m).sum() / np.delete(train, m).sum() - right)
    jackknife = 4 / 5 * np.sum((left_out - np.mean(left_out)) ** 2)
    sampling = np.var(shot.test_loss_change.numpy(), ddof=1) / 40 / train.sum() ** 2
    assert found["osgr_diff_se"] == pytest.approx(math.sqrt(jackknife + sampling), rel=1e-10)


def test_errors_of_means_over_sets_of_a_finite_pool() -> None:
    """Means over sets of 20 out of 50, whose pool is drawn anew each time: their true spread."""
    rng = np.random.default_rng(3)
    n, n_pool, n_sets, times = 20, 50, 6, 4000
    means, estimates = [], []
    for _ in range(times):
        pool = rng.normal(1.0, 1.0, n_pool)
        of_sets = np.array([rng.permutation(pool)[:n].mean() for _ in range(n_sets)])
        left_out = torch.from_numpy((of_sets.sum() - of_sets) / (n_sets - 1))
        means.append(of_sets.mean())
        estimates.append(variance_over_sets(left_out, n, n_pool))
    assert np.mean(estimates) == pytest.approx(np.var(means), rel=0.06)
    assert np.var(means) == pytest.approx(1 / (n * n_sets) + (1 - 1 / n_sets) / n_pool, rel=0.06)


def test_the_pool_enters_all_errors_over_sets(gradients: np.ndarray) -> None:
    """n = 30 of 90 and M = 5: 1 + 5 · 30 / 60 = 3.5 times the jackknife's variance."""
    fresh, pooled = snapshot(gradients), snapshot(gradients, pool=90)
    for measure, name in ((osgr_lhs, "osgr_lhs"), (osgr_rhs, "osgr_rhs"), (osgr_diff, "osgr_diff")):
        before, after = measure(fresh), measure(pooled)
        assert after[name] == before[name]
        test = 0.0 if name == "osgr_rhs" else osgr_lhs(fresh)["osgr_lhs_test_se"] ** 2
        expected = 3.5 * (before[f"{name}_se"] ** 2 - test) + test
        assert after[f"{name}_se"] ** 2 == pytest.approx(expected)
    assert math.isnan(osgr_rhs(snapshot(gradients, pool=30))["osgr_rhs_se"])


def test_sums_over_parameters(gradients: np.ndarray) -> None:
    found = grad_moments(snapshot(gradients))
    assert found["grad_sq_norm"] == pytest.approx((gradients.mean(1) ** 2).sum(1).mean())
    assert found["grad_var_sum"] == pytest.approx(gradients.var(1).sum(1).mean())


def test_unbiased_variance_reaches_every_measure(gradients: np.ndarray) -> None:
    plugin, unbiased = snapshot(gradients), snapshot(gradients, "unbiased")
    assert grad_moments(unbiased)["grad_var_sum"] == pytest.approx(
        gradients.var(1, ddof=1).sum(1).mean()
    )
    assert gsnr(unbiased)["gsnr_mean"] == pytest.approx(gsnr(plugin)["gsnr_mean"] * 29 / 30)
    assert gsnr(unbiased)["gsnr_debiased_mean"] == pytest.approx(gsnr(plugin)["gsnr_debiased_mean"])


def test_losses_and_gap(gradients: np.ndarray) -> None:
    shot = snapshot(gradients)
    found = losses(shot)
    assert found["gen_gap"] == pytest.approx(found["test_loss"] - found["train_loss"])
    assert found["train_loss"] == pytest.approx(float(shot.train_loss.mean()))
    assert found["test_acc"] == pytest.approx(float(shot.test_accuracy.mean()))


def test_taylor_ratio(gradients: np.ndarray) -> None:
    shot = snapshot(gradients)
    decrease = float((shot.train_loss - shot.train_loss_next).sum())
    expected = decrease / (LR * (gradients.mean(1) ** 2).sum())
    assert taylor_ratio(shot)["taylor_ratio"] == pytest.approx(expected)


def test_gsnr_runs_over_living_parameters_only(gradients: np.ndarray) -> None:
    found = gsnr(snapshot(gradients))
    living = gradients[:, :, :6]
    ratios = living.mean(1) ** 2 / living.var(1)
    assert found["gsnr_mean"] == pytest.approx(ratios.mean(), rel=1e-10)
    assert found["gsnr_median"] == pytest.approx(np.sort(ratios.ravel())[14], rel=1e-10)
    assert found["gsnr_alive_fraction"] == pytest.approx(6 / 7)
    assert found["gsnr_mean/first"] == pytest.approx(ratios[:, :2].mean(), rel=1e-10)
    assert found["gsnr_mean/second"] == pytest.approx(ratios[:, 2:].mean(), rel=1e-10)
    unbiased = living.var(1, ddof=1)
    debiased = (living.mean(1) ** 2 - unbiased / 30) / unbiased
    assert found["gsnr_debiased_mean"] == pytest.approx(debiased.mean(), rel=1e-10)


def test_debiased_gsnr_has_no_floor_of_one_over_n() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (40, 50, 200))
    found = gsnr(snapshot(noise))
    assert found["gsnr_mean"] == pytest.approx(1 / 50, rel=0.1)
    assert abs(found["gsnr_debiased_mean"]) < 0.1 / 50


def test_a_network_without_gradients_has_no_gsnr() -> None:
    dead = snapshot(np.zeros((2, 5, 4)))
    assert math.isnan(gsnr(dead)["gsnr_mean"])
    assert gsnr(dead)["gsnr_alive_fraction"] == 0
    assert math.isnan(osgr_rhs(dead)["osgr_rhs"])
    assert math.isnan(p_same_sign(dead)["p_same_sign"])


def test_the_weighted_form_where_gradients_cancel() -> None:
    """n = 2 with g = ±1 has a variance but no mean; without any gradient there is no ratio."""
    gradients = np.array([[[1.0, 2.0], [-1.0, 1.0]]])
    shot = snapshot(np.concatenate([gradients, gradients], axis=0)[:, :, :2])
    weighted = osgr_rhs_weighted(shot)["osgr_rhs_weighted"]
    assert weighted == pytest.approx(osgr_rhs(shot)["osgr_rhs"], rel=1e-12)
    assert math.isnan(osgr_rhs_weighted(snapshot(np.zeros((2, 5, 4))))["osgr_rhs_weighted"])


def test_small_variances_are_alive_down_to_the_rounding() -> None:
    """A relative variance of 1e-4 is far above float32's rounding, 1e-9 is below it."""
    signs = np.tile([1.0, -1.0], 5)[None, :, None]
    for relative, alive in ((1e-4, 1.0), (1e-9, 0.0)):
        values = 1 + math.sqrt(relative) * signs * np.ones((1, 10, 3))
        assert gsnr(snapshot(values))["gsnr_alive_fraction"] == alive


def test_identical_samples_are_not_alive() -> None:
    same = np.repeat(np.random.default_rng(0).normal(size=(2, 1, 4)), 9, axis=1)
    assert gsnr(snapshot(same))["gsnr_alive_fraction"] == 0


def test_p_same_sign_counts_the_majority_among_signed_samples() -> None:
    gradients = np.zeros((1, 6, 3))
    gradients[0, :, 0] = [1, 1, 1, -1, 0, 0]  # 3 of 4
    gradients[0, :, 1] = [-1, -1, -1, -1, -1, 1]  # 5 of 6
    assert p_same_sign(snapshot(gradients))["p_same_sign"] == pytest.approx((3 / 4 + 5 / 6) / 2)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("of_all", [False, True])
def test_readings_of_p_same_sign(pooled: bool, with_mean: bool, of_all: bool) -> None:
    """Counted sample by sample; some samples have no gradient, some parameters none or no mean."""
    rng = np.random.default_rng(6)
    gradients = rng.normal(0.2, 1.0, (3, 11, 8)) * (rng.uniform(size=(3, 11, 8)) < 0.7)
    gradients[:, :, 6] = 0
    gradients[:, :, 7] = 0
    gradients[:, :2, 7] = [1.0, -1.0]
    shares = []
    for samples in gradients.reshape(1, 33, 8) if pooled else gradients:
        for column in samples.T:
            mean_sign = np.sign(column.sum())
            if not column.any() or (with_mean and mean_sign == 0):
                continue
            counts = [sum(g > 0 for g in column), sum(g < 0 for g in column)]
            agreeing = sum(np.sign(g) == mean_sign for g in column) if with_mean else max(counts)
            shares.append(agreeing / (len(column) if of_all else sum(counts)))
    name = "p_same_sign" + "_pooled" * pooled + "_with_mean" * with_mean + "_of_all" * of_all
    assert p_same_sign(snapshot(gradients))[name] == pytest.approx(np.mean(shares), rel=1e-12)
