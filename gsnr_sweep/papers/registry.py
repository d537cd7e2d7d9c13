"""Which figures and claims a sweep can be asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gsnr_sweep.analysis.claim import UNCLEAR, Claim
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.papers import extension
from gsnr_sweep.papers.figure_kind import FigureKind
from gsnr_sweep.papers.jiang2020 import catalog as jiang2020
from gsnr_sweep.papers.liu2020 import catalog as liu2020
from gsnr_sweep.papers.liu2020.claims.assumptions import assumption_claims
from gsnr_sweep.papers.liu2020.claims.first_term import first_term_claims
from gsnr_sweep.papers.liu2020.claims.frozen import frozen_claims
from gsnr_sweep.papers.liu2020.claims.gsnr_curves import gsnr_curve_claims
from gsnr_sweep.papers.liu2020.claims.lhs_rhs import lhs_rhs_claims
from gsnr_sweep.papers.liu2020.claims.mean_osgr import mean_osgr_claims
from gsnr_sweep.papers.liu2020.claims.same_sign import same_sign_claims
from gsnr_sweep.papers.liu2020.claims.shallow_gsnr import shallow_gsnr_claims
from gsnr_sweep.papers.liu2020.claims.sign_transitions import sign_transition_claims
from gsnr_sweep.papers.liu2020.claims.squared_gradient import squared_gradient_claims
from gsnr_sweep.papers.liu2020.claims.weight_gradient import weight_gradient_claims
from gsnr_sweep.papers.neyshabur2017 import catalog as neyshabur2017
from gsnr_sweep.papers.neyshabur2017.claims.conditions import condition_claims
from gsnr_sweep.papers.neyshabur2017.claims.confusion import confusion_claims
from gsnr_sweep.papers.neyshabur2017.claims.norms import norm_claims
from gsnr_sweep.papers.neyshabur2017.claims.sharpness import sharpness_claims
from gsnr_sweep.papers.neyshabur2017.claims.width import width_claims
from gsnr_sweep.user_code import UserCodeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gsnr_sweep.analysis.analysis import Analysis
    from gsnr_sweep.analysis.preset import Preset

_CATALOGS = (liu2020, neyshabur2017, jiang2020)
FIGURES: dict[str, FigureKind] = {
    name: kind for one in _CATALOGS for name, kind in one.FIGURES.items()
}
Judge = Callable[["Analysis"], list[Claim]]
BY_FIGURE: dict[str, tuple[Judge, ...]] = {
    "lhs_rhs": (lhs_rhs_claims, mean_osgr_claims),
    "gsnr_curves": (gsnr_curve_claims,),
    "shallow_gsnr": (shallow_gsnr_claims,),
    "same_sign": (same_sign_claims,),
    "frozen": (frozen_claims,),
    "weight_gradient": (weight_gradient_claims,),
    "first_term": (first_term_claims,),
    "squared_gradient": (squared_gradient_claims,),
    "sign_transitions": (sign_transition_claims,),
    "assumptions": (assumption_claims,),
    "norms": (norm_claims,),
    "sharpness": (sharpness_claims,),
    "confusion": (confusion_claims,),
    "width": (width_claims,),
    "conditions": (condition_claims,),
}


def figure_problem(name: str) -> str:
    """Return why there is no figure of this name; empty if there is one, or if it is a path."""
    if name in FIGURES or extension.is_dotted(name):
        return ""
    return (
        f"there is no figure {name!r}. Allowed: {', '.join(FIGURES)}, or the dotted path of "
        f"{extension.FIGURE_KIND}, such as my_figures.spread."
    )


def draw(name: str, analysis: Analysis) -> Figure:
    """Draw a figure.

    Args:
        name: One of the catalog, or a dotted path.
        analysis: The sweep's runs.

    Raises:
        GsnrError: There is no such figure, or the runs did not measure what it shows.
    """
    if problem := figure_problem(name):
        raise GsnrError(problem[0].upper() + problem[1:])
    if name in FIGURES:
        return FIGURES[name].draw(analysis)
    return extension.draw_own(
        extension.load(extension.FIGURES, name, analysis.table.launch_folder), analysis
    )


def caption(name: str) -> str:
    """Return what a figure shows: of a user's own, its function's name."""
    return FIGURES[name].caption if name in FIGURES else name


def papers_of(figures: Sequence[str]) -> list[tuple[str, str]]:
    """Return the papers that some figures are of, as authors with year, and title."""
    return [one.PAPER for one in _CATALOGS if any(name in one.FIGURES for name in figures)]


def judge(analysis: Analysis) -> tuple[Claim, ...]:
    """Judge the claims of the sweep's experiment, if it is a paper's, and the user's own.

    Args:
        analysis: The sweep's runs; their ``preset`` says which figures and claims it is for.
    """
    preset = analysis.preset
    if analysis.frame.empty:
        return ()
    asked = [one for name in preset.figures for one in BY_FIGURE.get(name, ()) if preset.name]
    own = [claim for path in preset.claims for claim in _judge_own(path, analysis)]
    judged = (*(claim for claims in asked for claim in claims(analysis)), *own)
    return tuple(claim.of_sweep(analysis.table.runs) for claim in judged)


def claims_title(preset: Preset) -> str:
    """Return the heading of the claims."""
    return "Claims, judged by these runs" if preset.claims else "What the paper says, in these runs"


def _judge_own(path: str, analysis: Analysis) -> list[Claim]:
    """Judge a user's own claim; one that fails takes nothing else with it."""
    try:
        judge_it = extension.load(extension.CLAIMS, path, analysis.table.launch_folder)
        return extension.judge_own(judge_it, analysis)
    except UserCodeError as error:
        told = f"it fails on these runs ({error})"
    except GsnrError as error:
        told = str(error)
    return [Claim(f"The claim {path} could not be judged.", path, UNCLEAR, f"{told}.")]
