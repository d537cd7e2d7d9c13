"""What the package's own models and measures are called in a run's identity: by name.

An identity once given must stay: runs on disk and in stores are found again by it. So a built-in
counts under the path at which it was first identified, wherever its module lies now.
"""

from __future__ import annotations

# Only ever added to: a line changed here makes all earlier runs of that model or measure unknown.
_FIRST_PATHS = (
    "gsnr_sweep.models.mlp.MLP",
    "gsnr_sweep.models.resnet18.ResNet18",
    "gsnr_sweep.models.table2_cnn.Table2CNN",
    "gsnr_sweep.models.table3_cnn.Table3CNN",
    "gsnr_sweep.models.vgg.VGG",
    "gsnr_sweep.models.strided_cnn.StridedCNN",
    "gsnr_sweep.measures.feature_target.feature_target",
    "gsnr_sweep.measures.first_term.first_term",
    "gsnr_sweep.measures.grad_moments.grad_moments",
    "gsnr_sweep.measures.gsnr.gsnr",
    "gsnr_sweep.measures.loss_shares.loss_shares",
    "gsnr_sweep.measures.losses.losses",
    "gsnr_sweep.measures.osgr_diff.osgr_diff",
    "gsnr_sweep.measures.osgr_lhs.osgr_lhs",
    "gsnr_sweep.measures.osgr_rhs.osgr_rhs",
    "gsnr_sweep.measures.osgr_rhs_weighted.osgr_rhs_weighted",
    "gsnr_sweep.measures.osgr_own.osgr_own_lhs",
    "gsnr_sweep.measures.osgr_own.osgr_own_rhs",
    "gsnr_sweep.measures.p_same_sign.p_same_sign",
    "gsnr_sweep.measures.taylor_ratio.taylor_ratio",
    "gsnr_sweep.measures.weight_gradient.weight_gradient",
    "gsnr_sweep.measures.errors.errors",
    "gsnr_sweep.measures.margin.margin",
    "gsnr_sweep.measures.norms_over_margin.norms_over_margin",
    "gsnr_sweep.measures.max_sharpness.max_sharpness",
    "gsnr_sweep.measures.expected_sharpness.expected_sharpness",
    "gsnr_sweep.measures.norm_conditions.norm_conditions",
    "gsnr_sweep.measures.gap_predicted.gap_predicted",
    "gsnr_sweep.measures.gsnr_early.gsnr_early",
    "gsnr_sweep.measures.fresh_sets.fresh_sets",
    "gsnr_sweep.measures.first_order.first_order",
    "gsnr_sweep.measures.ratio_of_expectations.ratio_of_expectations",
    "gsnr_sweep.measures.step_direction.step_direction",
    "gsnr_sweep.measures.osgr_step_rhs.osgr_step_rhs",
    "gsnr_sweep.measures.steps_to_loss.steps_to_loss",
    "gsnr_sweep.measures.layer_norms.layer_norms",
    "gsnr_sweep.measures.fisher_rao.fisher_rao",
    "gsnr_sweep.measures.flatness.flatness",
    "gsnr_sweep.measures.hessian.hessian",
    "gsnr_sweep.measures.weightwatcher.weightwatcher",
    "gsnr_sweep.measures.squared_gradient.squared_gradient",
    "gsnr_sweep.measures.sign_transitions.sign_transitions",
    "gsnr_sweep.measures.linear_regression.linear_regression",
)


def _name(path: str) -> str:
    return path.rpartition(".")[2]


FIRST_PATHS = {_name(path): path for path in _FIRST_PATHS}
"""By the name of each built-in class and function, the path by which it is identified."""


def identified_path(path: str) -> str:
    """Return the dotted path that counts for a run's identity.

    Args:
        path: Of a model or a measure, as a config gives it.

    Returns:
        That of a built-in where it was identified first; any other as it is.

    Example:
        >>> identified_path("gsnr_sweep.networks.MLP")
        'gsnr_sweep.models.mlp.MLP'
        >>> identified_path("my_models.MLP")
        'my_models.MLP'
    """
    own = path.startswith("gsnr_sweep.")
    return FIRST_PATHS.get(_name(path), path) if own else path
