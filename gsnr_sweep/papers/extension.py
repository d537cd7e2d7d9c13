"""Figures and claims of the user's own, named by dotted path and tried before a launch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsnr_sweep.analysis.claim import FAILS, HOLDS, UNCLEAR, Claim
from gsnr_sweep.errors import GsnrError, resolve_name
from gsnr_sweep.records.state import State
from gsnr_sweep.user_code import UserCodeError, call

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gsnr_sweep.analysis.analysis import Analysis

METRICS = (
    *("osgr_lhs", "osgr_rhs", "osgr_diff", "osgr_lhs_se", "osgr_rhs_se", "osgr_diff_se"),
    *("train_loss", "test_loss", "gen_gap", "gsnr_mean", "p_same_sign"),
)
"""Metrics of the made-up table; a function may read others, which are then missing in the trial."""
FIGURES, CLAIMS = "preset.figures", "preset.claims"
FIGURE_KIND = "a function that takes the sweep's Analysis and returns a matplotlib Figure"
CLAIM_KIND = "a function that takes the sweep's Analysis and returns a Claim or a list of Claims"


class WrongReturnError(GsnrError):
    """A function returned what is no figure, or no claim."""


def is_dotted(name: str) -> bool:
    """Tell whether a name is a dotted path."""
    return "." in name.strip(".")


def draw_own(function: Callable[[Analysis], Any], analysis: Analysis) -> Figure:
    """Draw a figure.

    Raises:
        WrongReturnError: The function returned something else.
    """
    from matplotlib.figure import Figure

    figure = function(analysis)
    if not isinstance(figure, Figure):
        raise WrongReturnError(f"it returned {_kind(figure)}, but a matplotlib Figure is needed")
    return figure


def judge_own(function: Callable[[Analysis], Any], analysis: Analysis) -> list[Claim]:
    """Judge claims.

    Raises:
        WrongReturnError: The function returned something else.
    """
    returned = function(analysis)
    claims = list(returned) if isinstance(returned, list | tuple) else [returned]
    for claim in claims:
        if not isinstance(claim, Claim):
            raise WrongReturnError(
                f"it returned {_kind(claim)}, but a Claim or a list of them is needed"
            )
        if claim.verdict not in (HOLDS, FAILS, UNCLEAR):
            allowed = ", ".join(map(repr, (HOLDS, FAILS, UNCLEAR)))
            raise WrongReturnError(f"its verdict is {claim.verdict!r}, but allowed are {allowed}")
    return claims


def load(key: str, path: str, launch_folder: str = "") -> Callable[[Analysis], Any]:
    """Import a function by its dotted path, also from where the sweep was launched, and from here.

    Whatever it raises when it is called is a `UserCodeError`.

    Args:
        key: That names it: `FIGURES` or `CLAIMS`.
        path: The dotted path.
        launch_folder: Where the sweep was launched.

    Raises:
        GsnrError: It cannot be imported, or is no function.
    """
    where = f"{key}=[{path}]"
    folders = [folder for folder in (str(Path.cwd()), launch_folder) if folder]
    sys.path += [folder for folder in dict.fromkeys(folders) if folder not in sys.path]
    try:
        function: Callable[[Analysis], Any] = call(where, resolve_name, path)
    except UserCodeError as error:
        raise GsnrError(f"it cannot be imported ({error})") from None
    if not callable(function):
        raise GsnrError(f"it is {_kind(function)}, which cannot be called")
    return lambda analysis: call(where, function, analysis)


def try_figure(path: str) -> None:
    """Draw a figure of a made-up table, as it will be drawn of the sweep's.

    Raises:
        GsnrError: It cannot be drawn, or is no figure.
    """
    _try(FIGURES, path, _drawn_once, FIGURE_KIND)


def try_claim(path: str) -> None:
    """Judge a claim by a made-up table, as it will be judged by the sweep's.

    Raises:
        GsnrError: It cannot be judged, or is no claim.
    """
    _try(CLAIMS, path, judge_own, CLAIM_KIND)


def made_up_analysis() -> Analysis:
    """Return eight runs of a made-up sweep over n, ch and seed, each measured at two epochs."""
    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.table import table_of
    from gsnr_sweep.records.record import Measurement, RunRecord

    runs = []
    for place in range(8):
        config = {
            **{"n": 100 + 100 * (place & 1), "ch": 6 + (place & 2), "seed": place // 4},
            **{"p_random": 0.0, "n_sets": 2, "n_test": 100, "epochs": 10, "lr": 0.1},
            **{"data": {"name": "digits"}, "model": {"name": "mlp", "init": "torch"}},
        }
        measured = [
            Measurement(
                epoch, {name: 0.5 + 0.01 * place + 0.02 * k for k, name in enumerate(METRICS)}
            )
            for epoch in (0, 10)
        ]
        runs.append((f"{place:032x}", RunRecord(f"run {place}", config, "", {}, State.FINISHED)))
        runs[-1][1].measurements = measured
    return Analysis(table_of("a made-up sweep", None, runs, []))


def _drawn_once(function: Callable[[Analysis], Any], analysis: Analysis) -> None:
    figure = draw_own(function, analysis)
    figure.draw_without_rendering()
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)  # it keeps what was made with it


def _try(key: str, path: str, use: Callable[..., object], kind: str) -> None:
    problem = _problem_of(key, path, use)
    if problem:
        raise GsnrError(
            f"{key}=[{path}]: {problem}. Give the dotted path of {kind}, such as "
            "my_module.my_function with my_module.py in the folder of the launch."
        )


def _problem_of(key: str, path: str, use: Callable[..., object]) -> str:
    """Return what is wrong with a function, empty for nothing."""
    try:
        function = load(key, path)
    except GsnrError as error:
        return str(error)
    try:
        call(f"{key}=[{path}]", use, function, made_up_analysis())
    except UserCodeError as error:
        if isinstance(error.__cause__, WrongReturnError):
            return str(error)
        if not _lacks_a_metric(error.__cause__):
            return f"it fails on a small made-up sweep ({error})"
    return ""


def _lacks_a_metric(error: BaseException | None) -> bool:
    """Tell whether a function missed something that only the sweep's own runs have measured."""
    from pandas import DataFrame

    asked = isinstance(error, AttributeError) and isinstance(error.obj, DataFrame)
    return asked or isinstance(error, KeyError | GsnrError)


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
