"""What is ranked, against what, and which way round."""

from __future__ import annotations

from collections.abc import Sequence

TARGETS = ("gen_error", "gen_gap", "test_error", "test_loss")
"""What measures are to predict; the first that was measured is the usual one."""
ERRORS = ("gen_error", "test_error")
"""Targets that are means of samples' values in [0, 1]."""

_OUTCOMES = {*TARGETS, "train_error", "train_acc", "test_acc"}
_CHECKS = {
    *("taylor_ratio", "taylor_ratio_test", "gsnr_alive_fraction"),
    *("osgr_diff", "osgr_rhs_weighted", "osgr_lhs_of_sets", "osgr_rhs_of_sets"),
    *("max_sharpness_at_bound", "hessian_trace_error"),
    *("own_over_fresh_sq_norm", "own_over_fresh_variance", "between_over_within_variance"),
}
_TAKE_TEST_DATA = ("osgr_lhs", "osgr_own_lhs", "gap_predicted_lhs")
_LARGE_IS_GOOD = ("gsnr_", "osgr_", "p_same_sign", "margin_")


def candidates(metrics: Sequence[str]) -> list[str]:
    """Return the metrics that may predict generalization.

    Left out are outcomes (errors, the test loss), standard errors, parts (``gsnr_mean/fc1``), and
    metrics that check another one.

    Args:
        metrics: All metrics of a sweep.
    """
    return [
        name
        for name in metrics
        if name not in _OUTCOMES | _CHECKS and "/" not in name and not name.endswith("_se")
    ]


def uses_test_data(name: str) -> bool:
    """Tell whether a metric is computed from the test set, too, and so is no prediction."""
    return name.startswith(_TAKE_TEST_DATA)


def sign_of(name: str) -> int:
    """Return −1 for a measure that is large where networks generalize well, else 1.

    Such a measure (GSNR, OSGR, the share of equal signs, a margin) is ranked with a minus sign, so
    that a positive correlation means for all of them that they predict as their theory has it.
    """
    return -1 if name.startswith(_LARGE_IS_GOOD) else 1
