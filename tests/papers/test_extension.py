"""Figures and claims of the user's own: tried before a launch, and harmless when they fail."""

import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from gsnr_sweep.config.grid import CommandLine, expand
from gsnr_sweep.config.identity import config_hash
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers import HOLDS, UNCLEAR, judge
from gsnr_sweep.papers.extension import METRICS, made_up_analysis, try_claim, try_figure
from gsnr_sweep.papers.registry import draw
from gsnr_sweep.preflight.check import check
from gsnr_sweep.report.drawings import draw_all
from gsnr_sweep.runs.runner import run_point
from tests.conftest import CONF, tiny_config
from tests.tables import make_analysis, make_run

MINE = """
import math
from matplotlib.figure import Figure
from gsnr_sweep.analysis.claim import HOLDS, Claim
from gsnr_sweep.errors import GsnrError

number = 3

def good(analysis):
    figure = Figure()
    figure.subplots().plot(analysis.frame["epoch"], analysis.frame["train_loss"])
    return figure

def of_pyplot(analysis):
    from matplotlib import pyplot
    figure, axes = pyplot.subplots()
    return figure

def nothing(analysis):
    good(analysis)

def axes(analysis):
    return good(analysis).axes[0]

def wrong_arguments():
    return Figure()

def typo(analysis):
    return Figur()

def leaves(analysis):
    raise SystemExit(0)

def cannot_be_laid_out(analysis):
    figure = good(analysis)
    figure.axes[0].set_title("$\\\\nonsense{$")
    return figure

def of_my_metric(analysis):
    analysis.frame["my_metric"]
    return Figure()

def of_my_attribute(analysis):
    analysis.frame.my_metric
    return Figure()

def choosy(analysis):
    raise GsnrError("These runs did not measure my_metric.")

def holds(analysis):
    return Claim("It holds.", "my notes", HOLDS, f"{len(analysis.frame)} rows.")

def several(analysis):
    return [holds(analysis), holds(analysis)]

def none_at_all(analysis):
    return []

def maybe(analysis):
    return Claim("It may hold.", "my notes", "maybe", "None.")

def fails_on_two_runs(analysis):
    if analysis.table.runs == 2:
        raise ValueError("two runs")
    return holds(analysis)
"""


@pytest.fixture(autouse=True)
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module ``mine_of_test`` of the user's, in which the launch is made."""
    (folder / "mine_of_test.py").write_text(MINE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "mine_of_test", raising=False)
    return folder


def path(name: str) -> str:
    return f"mine_of_test.{name}"


# --- before a launch


@pytest.mark.parametrize("name", ["good", "of_pyplot", "of_my_metric", "of_my_attribute", "choosy"])
def test_figures_that_can_be_drawn_or_may_be_of_the_real_runs(name: str) -> None:
    try_figure(path(name))


def test_a_figure_made_with_pyplot_is_not_kept() -> None:
    from matplotlib import pyplot

    try_figure(path("of_pyplot"))
    assert pyplot.get_fignums() == []


WRONG_FIGURES = {
    "not_there": "it cannot be imported (AttributeError: module 'mine_of_test' has no attribute",
    "number": "it is a value of type int, which cannot be called",
    "nothing": "it returned None, but a matplotlib Figure is needed",
    "axes": "it returned a value of type Axes, but a matplotlib Figure is needed",
    "wrong_arguments": "it fails on a small made-up sweep (TypeError: wrong_arguments() takes 0",
    "typo": "it fails on a small made-up sweep (NameError: name 'Figur' is not defined",
    "cannot_be_laid_out": "it fails on a small made-up sweep (ValueError: ",
    "leaves": "it fails on a small made-up sweep (it asks to leave Python: SystemExit 0, mine_of_",
}


@pytest.mark.parametrize(("name", "problem"), WRONG_FIGURES.items(), ids=WRONG_FIGURES)
def test_a_wrong_figure_is_refused_in_one_paragraph(name: str, problem: str) -> None:
    with pytest.raises(GsnrError) as refusal:
        try_figure(path(name))
    told = str(refusal.value)
    assert told.startswith(f"preset.figures=[mine_of_test.{name}]: {problem}")
    assert "returns a matplotlib Figure, such as my_module.my_function" in told
    assert "\n" not in told


@pytest.mark.parametrize("name", ["holds", "several", "none_at_all", "of_my_metric", "choosy"])
def test_claims_that_can_be_judged_or_may_be_by_the_real_runs(name: str) -> None:
    try_claim(path(name))


WRONG_CLAIMS = {
    "good": "it returned a value of type Figure, but a Claim or a list of them is needed",
    "nothing": "it returned None, but a Claim or a list of them is needed",
    "maybe": "its verdict is 'maybe', but allowed are 'holds', 'does not hold', 'cannot be told'",
    "number": "it is a value of type int, which cannot be called",
    "not_there": "it cannot be imported (AttributeError",
    "leaves": "it fails on a small made-up sweep (it asks to leave Python: SystemExit 0, mine_of_",
}


@pytest.mark.parametrize(("name", "problem"), WRONG_CLAIMS.items(), ids=WRONG_CLAIMS)
def test_a_wrong_claim_is_refused_in_one_paragraph(name: str, problem: str) -> None:
    with pytest.raises(GsnrError) as refusal:
        try_claim(path(name))
    told = str(refusal.value)
    assert told.startswith(f"preset.claims=[mine_of_test.{name}]: {problem}")
    assert "returns a Claim or a list of Claims" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("figures", "no_such_module.spread", "it cannot be imported (ModuleNotFoundError: No mod"),
        ("figures", "spread", "there is no figure 'spread'. Allowed: lhs_rhs, "),
        ("claims", "rises", "it cannot be imported ("),
        ("claims", path("maybe"), "its verdict is 'maybe'"),
    ],
)
def test_the_check_of_a_launch_tries_them(key: str, value: str, problem: str) -> None:
    line = ["-m", "n=20,30", "n_test=50", "epochs=2", "measure_at=[0,2]", f"preset.{key}=[{value}]"]
    with pytest.raises(GsnrError) as refusal:
        check(expand(CommandLine.parse(line, CONF)).points)
    assert str(refusal.value).startswith(f"preset.{key}=[{value}]: {problem}")


def test_right_ones_pass_the_check_and_are_tried_once() -> None:
    figures, claims = f"[lhs_rhs,{path('good')}]", f"[{path('holds')}]"
    line = ["-m", "n=20,30", "n_test=50", "epochs=2", "measure_at=[0,2]"]
    line += [f"preset.figures={figures}", f"preset.claims={claims}"]
    first, second = check(expand(CommandLine.parse(line, CONF)).points)
    assert first.cfg.preset.claims == second.cfg.preset.claims == [path("holds")]


def test_they_do_not_belong_to_a_runs_identity() -> None:
    with_own = tiny_config(f"preset.claims=[{path('holds')}]", f"preset.figures=[{path('good')}]")
    assert config_hash(with_own) == config_hash(tiny_config())


def test_the_made_up_sweep_has_metrics_and_axes_of_real_ones(tmp_path: Path) -> None:
    analysis = made_up_analysis()
    assert analysis.axes == ("n", "ch", "seed")
    assert set(analysis.table.metrics) == set(METRICS)
    record = run_point(tiny_config("tracking=none"), tmp_path).record
    assert set(METRICS) <= set(record.measurements[-1].metrics)


# --- at the end of a sweep


def test_figures_of_the_users_are_drawn_beside_others_in_their_order() -> None:
    runs = [make_run({"train_loss": 0.5, "gsnr_mean": 0.1}, seed=seed) for seed in (0, 1)]
    drawn = draw_all(make_analysis(*runs), [path("good"), "gsnr_curves"])
    assert list(drawn.figures) == [path("good"), "gsnr_curves"]
    assert isinstance(drawn.figures[path("good")], Figure)


@pytest.mark.parametrize("name", ["nothing", "typo", "not_there", "of_my_metric", "leaves"])
def test_a_figure_that_fails_at_the_end_takes_nothing_with_it(name: str) -> None:
    run = make_run({"train_loss": 0.5, "gsnr_mean": 0.1})
    drawn = draw_all(make_analysis(run), [path(name), "gsnr_curves"])
    assert list(drawn.figures) == ["gsnr_curves"]
    assert list(drawn.problems) == [path(name)]


def test_claims_are_judged_with_and_without_an_experiment_of_a_paper() -> None:
    runs = [make_run({"gsnr_mean": 0.1}, seed=seed) for seed in (0, 1)]
    for experiment, others in (("an_experiment", 2), ("", 0)):
        about = {"figures": ["gsnr_curves"], "claims": [path("several")]}
        claims = judge(make_analysis(*runs, experiment=experiment, **about))
        assert [claim.source for claim in claims] == ["3.1, Fig. 5"] * others + ["my notes"] * 2


def test_a_claim_that_fails_at_the_end_takes_nothing_with_it() -> None:
    try_claim(path("fails_on_two_runs"))
    runs = [make_run({"gsnr_mean": 0.1}, seed=seed) for seed in (0, 1)]
    analysis = make_analysis(
        *runs, experiment="", claims=[path("fails_on_two_runs"), path("holds")]
    )
    failed, held = judge(analysis)
    assert (failed.verdict, held.verdict) == (UNCLEAR, HOLDS)
    assert (
        failed.evidence == "it fails on these runs (ValueError: two runs, mine_of_test.py line 64)."
    )
    assert held.evidence == "14 rows."


def test_modules_are_found_where_the_sweep_was_launched(
    mine: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    analysis = make_analysis(make_run({"train_loss": 0.5}), launch_folder=str(mine))
    assert isinstance(draw(path("good"), analysis), Figure)
