"""What the terminal says of a sweep's statistics, of one seed and of several."""

import math

from rich.console import Console

from gsnr_sweep.report.console import print_statistics
from tests.tables import make_analysis, make_run


def shown(seeds: int) -> str:
    runs = [
        make_run(
            {"osgr_lhs": 0.1 * k + 0.01 * s * k, "osgr_rhs": 0.1 * k, "osgr_diff": 0.01 * s * k}
            | {"osgr_diff_se": 0.01},
            epochs=(0, 20),
            n=100 * k,
            n_sets=10,
            seed=s,
        )
        for k in range(1, 6)
        for s in range(seeds)
    ]
    analysis = make_analysis(*runs)
    console = Console(width=120, record=True, quiet=False)
    names = ("osgr_rhs", "osgr_lhs")
    print_statistics(console, analysis.table, analysis.statistics(*names), *names)
    return console.export_text()


def test_of_one_seed_it_says_what_the_intervals_do_not_know() -> None:
    text = shown(1)
    assert "epochs 0, 20: one seed: its points share initial weights" in text
    assert "over seeds" not in text


def test_of_several_seeds_it_gives_the_mean_difference_with_its_test() -> None:
    """Of 0.03 · (0, 1, 2): mean 0.03, standard error 0.03/√3, t = √3, p = 0.225."""
    text = shown(3)
    half = 4.30265 * 0.03 / math.sqrt(3)
    interval = f"[{0.03 - half:+.3f},{0.03 + half:+.3f}]"
    assert f"mean LHS − RHS over seeds: epoch 0 +0.030 {interval} p=0.23" in text
    assert "one seed" not in text
    # Within 2.262 · 0.01: the five of seed 0, two of seed 1 and one of seed 2.
    assert "8/15" in text
