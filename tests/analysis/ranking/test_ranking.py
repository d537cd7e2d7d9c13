"""From a sweep's table to its ranking, and what cannot be ranked."""

import math
from itertools import product
from typing import Any

import pytest

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.ranking import Kind, Ranking, rank_measures
from gsnr_sweep.analysis.ranking.baselines import RANDOM
from gsnr_sweep.analysis.ranking.candidates import candidates, sign_of, uses_test_data
from gsnr_sweep.analysis.ranking.ranking import epochs_of
from gsnr_sweep.errors import GsnrError
from tests.tables import make_analysis, make_run

N, CH, SEEDS = (100, 200, 400), (4, 8), (0, 1, 2, 3, 4, 5)


def gap(n: int, ch: int, seed: int) -> float:
    return 10 / n + 0.01 * ch + 0.001 * seed


def sweep(seeds: tuple[int, ...] = SEEDS, **curves: Any) -> Analysis:
    """A sweep over n, ch and seed whose gap follows from them."""
    runs = []
    for n, ch, seed in product(N, CH, seeds):
        g = gap(n, ch, seed)
        known = {
            "gen_gap": [0.0, g],
            "gsnr_mean": [0.5, -g],
            "norm": [1.0, g**2],
            "norm_se": 0.1,
            "osgr_lhs": [1.0, 1 - g],
            "noise": [1.0, float((n * ch + 7 * seed) % 5)],
            "gsnr_mean/fc1": 1.0,
            "taylor_ratio": 1.0,
            "flat": 2.0,
        }
        runs.append(make_run(known | curves, epochs=(0, 100), n=n, ch=ch, seed=seed))
    return make_analysis(*runs)


def by_name(ranking: Ranking) -> dict[str, Any]:
    return {row.name: row for row in ranking.rows}


def test_what_follows_the_gap_comes_first() -> None:
    ranking = rank_measures(sweep())
    rows = by_name(ranking)
    assert ranking.target == "gen_gap"
    assert ranking.axes == ("n", "ch")
    assert (ranking.networks, ranking.seeds) == (36, 6)
    assert ranking.epoch == math.inf
    for name in ("gsnr_mean", "norm", "osgr_lhs"):
        assert rows[name].tau.value == pytest.approx(1)
        assert rows[name].mean_psi.value == pytest.approx(1)
        assert rows[name].psi["n"].value == pytest.approx(1)
        assert rows[name].sign_error_max.value == 0
    assert rows["gsnr_mean"].sign == -1
    assert rows["gsnr_mean"].label == "−gsnr_mean"
    assert rows["osgr_lhs"].label == "−osgr_lhs †"
    assert rows["noise"].mean_psi.value < 0.7
    assert abs(rows[RANDOM].tau.value) < 0.2
    assert rows[RANDOM].tau.low < 0 < rows[RANDOM].tau.high
    assert rows["n"].kind is Kind.SETTING
    assert rows["n"].psi["n"].value == -1


def test_only_measures_are_ranked() -> None:
    names = [row.name for row in rank_measures(sweep()).measures]
    assert {"norm_se", "taylor_ratio", "gsnr_mean/fc1", "gen_gap"}.isdisjoint(names)


def test_measures_in_the_same_order_are_told_once() -> None:
    ranking = rank_measures(sweep())
    alike = {row.name: row.same_as for row in ranking.rows if row.same_as}
    assert set(alike.values()) == {"gsnr_mean"}
    assert set(alike) == {"norm", "osgr_lhs"}
    assert ranking.same_orders == ["As gsnr_mean: norm, osgr_lhs."]
    assert "norm" not in [row.name for row in ranking.measures]


def test_constant_and_missing_values_are_said() -> None:
    ranking = rank_measures(sweep(norm=[1.0, math.nan], partly=[1.0, math.inf]))
    assert "flat: the same in all networks" in ranking.notes
    assert math.isnan(by_name(ranking)["flat"].tau.value)
    assert "norm" not in by_name(ranking)


def test_networks_without_a_measure_are_counted() -> None:
    runs = [
        make_run({"gen_gap": 0.1 * n, "norm": float(n) if n != 3 else math.nan}, epochs=(1,), n=n)
        for n in range(1, 7)
    ]
    ranking = rank_measures(make_analysis(*runs))
    norm = by_name(ranking)["norm"]
    assert norm.networks == 5
    assert norm.tau.value == pytest.approx(1)
    assert "norm: 1 of 6 networks do not have it" in ranking.notes


def test_networks_that_met_no_stopping_rule_are_left_out() -> None:
    runs = []
    for n in range(1, 9):
        run = make_run({"gen_gap": 0.1 * n, "norm": float(n)}, epochs=(1,), n=n)
        run.stopped_by = "epochs" if n > 6 else "stop.train_loss"
        runs.append(run)
    ranking = rank_measures(make_analysis(*runs))
    assert ranking.networks == 6
    assert "2 networks are left out: their training met no stopping rule." in ranking.notes
    for run in runs:
        run.stopped_by = "epochs"
    assert rank_measures(make_analysis(*runs)).networks == 8


def test_one_seed_is_said() -> None:
    ranking = rank_measures(sweep(seeds=(0,)))
    assert any("one seed" in note for note in ranking.notes)
    assert any("effective pairs" in note for note in ranking.notes)
    assert math.isnan(by_name(ranking)["norm"].tau.low)


def test_at_an_epoch() -> None:
    analysis = sweep(norm=[3.0, 1.0])
    assert epochs_of(analysis) == [0, 100]
    assert rank_measures(analysis, at=100).epoch == 100
    with pytest.raises(GsnrError, match="All 36 networks have the same gen_gap, 0"):
        rank_measures(analysis, at=0)
    with pytest.raises(GsnrError, match="Nothing was measured at epoch 7; there is: 0, 100, end"):
        rank_measures(analysis, at=7)


def test_targets() -> None:
    analysis = sweep(gen_error=[0.0, 0.5])
    with pytest.raises(GsnrError, match="All 36 networks have the same gen_error"):
        rank_measures(analysis)
    assert rank_measures(analysis, "gen_gap").target == "gen_gap"
    with pytest.raises(GsnrError, match=r"no target 'gen_gaps'\. Allowed: gen_error.*mean gen_gap"):
        rank_measures(analysis, "gen_gaps")
    bare = make_analysis(*(make_run({"norm": float(n)}, n=n) for n in N))
    with pytest.raises(GsnrError, match="There is nothing to predict"):
        rank_measures(bare)


def test_seeds_of_weights_and_data_are_repeats() -> None:
    runs = [
        make_run({"gen_gap": 1 / n + 0.01 * s, "norm": 1 / n}, n=n, seed_weights=s, seed_data=7 * s)
        for n, s in product(N, SEEDS)
    ]
    ranking = rank_measures(make_analysis(*runs))
    assert (ranking.axes, ranking.seeds) == (("n",), len(SEEDS))


def test_asked_for_measures() -> None:
    names = [row.name for row in rank_measures(sweep(), measures=["noise", "norm_se"]).measures]
    assert names == ["noise", "norm_se"]
    with pytest.raises(GsnrError, match=r"no metric 'nois'\. Did you mean noise\?"):
        rank_measures(sweep(), measures=["nois"])


def test_too_few_networks() -> None:
    runs = [make_run({"gen_gap": float(n), "norm": 1.0}, n=n) for n in (1, 2)]
    with pytest.raises(GsnrError, match="2 networks have a finite gen_gap: at least 3"):
        rank_measures(make_analysis(*runs))


def test_an_axis_that_follows_from_others_counts_once() -> None:
    runs = [
        make_run({"gen_gap": 1 / n + 0.01 * ch, "norm": 1 / n}, n=n, ch=ch, half=ch / 2)
        for n, ch in product(N, CH)
    ]
    assert rank_measures(make_analysis(*runs)).axes == ("n", "ch")


def test_signs_and_test_data() -> None:
    assert [sign_of(name) for name in ("osgr_rhs", "margin_p5", "grad_var_sum")] == [-1, -1, 1]
    assert uses_test_data("osgr_lhs")
    assert not uses_test_data("osgr_rhs")
    assert candidates(["train_loss", "test_loss", "gsnr_mean", "gsnr_mean/fc1", "x_se"]) == [
        "train_loss",
        "gsnr_mean",
    ]


def test_the_table_has_a_column_for_all() -> None:
    frame = rank_measures(sweep()).frame()
    assert {"measure", "kendall_tau", "kendall_tau_low", "psi.n", "information_K"} <= {*frame}
    assert set(frame["kind"]) == {"measure", "setting", "baseline"}
    assert set(frame["target"]) == {"gen_gap"}
