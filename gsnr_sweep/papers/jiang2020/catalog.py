"""The figures of a comparison of measures. Nothing heavy is imported before one is drawn."""

from __future__ import annotations

from gsnr_sweep.papers.figure_kind import FigureKind

PAPER = ("Jiang et al. 2020", "Fantastic Generalization Measures and Where to Find Them")
RANKING = "ranking"
FIGURES = {
    RANKING: FigureKind(
        "gsnr_sweep.papers.jiang2020.figures.ranking.draw_ranking_of_sweep",
        "How well each measure orders the trained networks by their generalization: Kendall's τ "
        "over all pairs, ψ over pairs that differ in one setting alone, and Ψ, the mean of ψ. 1: "
        "always right, 0: as chance, −1: always wrong. Below the line: the settings themselves, "
        "the target with noise, and random numbers.",
    ),
}
