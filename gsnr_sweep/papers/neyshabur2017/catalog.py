"""The paper's figures by name. Nothing heavy is imported before one is drawn."""

from __future__ import annotations

from gsnr_sweep.papers.figure_kind import FigureKind

_FOLDER = "gsnr_sweep.papers.neyshabur2017.figures"

PAPER = ("Neyshabur et al. 2017", "Exploring Generalization in Deep Learning")
FIGURES = {
    "norms": FigureKind(
        f"{_FOLDER}.norms.draw_norms",
        "Norm measures over the squared margin against the size of the training set, for real and "
        "random labels (Neyshabur et al. 2017, Fig. 1); mean (geometric) and range over the seeds.",
    ),
    "sharpness": FigureKind(
        f"{_FOLDER}.sharpness.draw_sharpness",
        "Max sharpness against the size of the training set, and expected sharpness against KL for "
        "real and for random labels, one curve a size (Neyshabur et al. 2017, Fig. 2). The lower a "
        "curve, the better both explain the network; dotted: expected sharpness 0.05.",
    ),
    "confusion": FigureKind(
        f"{_FOLDER}.confusion.draw_confusion",
        "Networks trained on real labels and on so many others with random labels (Neyshabur et "
        "al. 2017, Fig. 3): errors, measures scaled to [0, 1] each, and expected sharpness against "
        "KL.",
    ),
    "width": FigureKind(
        f"{_FOLDER}.width.draw_width",
        "Networks of different width (Neyshabur et al. 2017, Fig. 4): errors, measures scaled to "
        "[0, 1] each, and expected sharpness against KL.",
    ),
    "conditions": FigureKind(
        f"{_FOLDER}.conditions.draw_conditions",
        "The conditions of Theorem 1 of Neyshabur et al. 2017 at initialization and after training "
        "(Fig. 5): 1/μ of C1, activations that flip under perturbation (C2), norm of a unit's "
        "incoming weights over the layer's mean (C3), and the change of the output.",
    ),
}
