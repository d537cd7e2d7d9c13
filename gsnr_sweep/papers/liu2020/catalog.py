"""The paper's figures by name. Nothing heavy is imported before one is drawn."""

from __future__ import annotations

from gsnr_sweep.analysis.preset import LHS_RHS
from gsnr_sweep.papers.figure_kind import FigureKind

PAPER = (
    "Liu et al. 2020",
    "Understanding Why Neural Networks Generalize Well Through GSNR of Parameters",
)
FIGURES = {
    LHS_RHS: FigureKind(
        "",
        "Both sides of eq. (19) against each other, a point a run; where seeds were swept, a pale "
        "point a run and the mean over seeds of each setting. Red: least-squares line; pink: line "
        "with errors in both sides (Deming); blue: LHS = RHS; c: Pearson's correlation "
        "coefficient.",
    ),
    "own_lhs_rhs": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.own_lhs_rhs.draw_own_lhs_rhs",
        "Both sides of eq. (19) for one step of the training rule along the whole training set's "
        "gradient, with its present preconditioner; as lhs_rhs.",
    ),
    "own_lhs_rhs_epoch": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.own_lhs_rhs.draw_own_lhs_rhs_epoch",
        "Left side over the training rule's own next epoch, right side for its preconditioner; as "
        "lhs_rhs.",
    ),
    "gsnr_curves": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.gsnr_curves.draw_gsnr_curves",
        "Mean GSNR of all parameters over training (eq. 25), for real and random labels.",
    ),
    "shallow_gsnr": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.gsnr_curves.draw_shallow_gsnr",
        "Mean GSNR of all parameters over training (eq. 25), of shallow and of deep models.",
    ),
    "layer_curves": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.layer_curves.draw_layer_curves",
        "Mean GSNR of each layer over training, from the first (dark) to the last (light).",
    ),
    "same_sign": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.same_sign.draw_same_sign",
        "Share of samples whose gradients have the more frequent sign, mean over the parameters.",
    ),
    "frozen": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.frozen.draw_frozen",
        "Mean GSNR of the second layer's weights (a) and training loss (b) with the first layer "
        "trained and frozen, mean and range over the seeds, dotted by the closed form of a linear "
        "regression; (c) GSNR of each weight, first layer "
        "trained, first seed.",
    ),
    "weight_gradient": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.weight_gradient.draw_weight_gradient",
        "Correlation of the change of the gradient with the weight, and share of weights whose "
        "gradient has the opposite sign; thick: all layers, thin: each layer.",
    ),
    "first_term": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.first_term.draw_first_term",
        "The first term of eq. (28) against the whole change Δg of the gradient, by layer: how "
        "often the signs agree, how both correlate, and how large the term is.",
    ),
    "squared_gradient": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.squared_gradient.draw_squared_gradient",
        "The squared gradient mean g², GSNR's numerator, averaged over all weights, those with "
        "W·g < 0 and those with W·g > 0, and without its noise; over the 10 % of largest |W| too.",
    ),
    "sign_transitions": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.sign_transitions.draw_sign_transitions",
        "From one measured epoch to the next, of the weights of either sign of W·g: the share "
        "whose W·g has the other sign now; over the share of both together, those whose gradient "
        "alone changed its sign, and those whose |g| grew. Dotted: the same for both, as it would "
        "be if the signs of the weights did not matter.",
    ),
    "loss_shares": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.loss_shares.draw_loss_shares",
        "Terms of eq. (22): by layer, the share in the training loss's decrease and in 1 − R, mean "
        "and standard deviation over the runs; and the distribution of the parameters' noise "
        "shares 1 / (n (r + 1/n)), 0 for signal only, 1 for noise only; the last bin holds all "
        "above 10.",
    ),
    "predicted_gap": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.predicted_gap.draw_predicted_gap",
        "The generalization gap that eq. (19) predicts, summed over training, against the "
        "measured growth of the gap since epoch 0: a line a run, its end a dot. By the left "
        "side (23), which checks the sum; by the right side (24), without test data; by "
        "training sets of other replicas in the place of the test set; and by eq. (14) alone. "
        "Dotted: predicted = measured.",
    ),
    "assumptions": FigureKind(
        "gsnr_sweep.papers.liu2020.figures.assumptions.draw_assumptions",
        "Ratios that are 1 where an assumption behind eq. (19) holds: the squared gradient norm "
        "and the gradient variance of the own training set over those of sets that did not "
        "train the replica (Assumption 2.3.1), the variance of gradients between sets over that "
        "within them (eq. 8), and a step's decrease of the training and of the test loss over its "
        "first order (eqs. 9, 10).",
    ),
}
