"""How weights change between W·g < 0 and W·g > 0 in training."""

from __future__ import annotations

from gsnr_sweep.measures.requires import require, requires
from gsnr_sweep.measures.weight_groups import mean_in_group, weight_groups
from gsnr_sweep.training.snapshot import Snapshot


@requires(previous=True)
def sign_transitions(snapshot: Snapshot) -> dict[str, float]:
    """Follow each weight's sign of W·g from the last measured epoch to this one.

    Liu et al. 2020 (3.3) argue that weights with W·g > 0 tend to change over to W·g < 0, which is
    the more stable state, where |W| and |g| grow together. W is a weight, g the average gradient
    over the training set, both at the earlier epoch t₀ and now. Those weights count whose product
    is not zero at either; groups are those at t₀, so that nothing is chosen by what came of it.

    *Chance*: if the signs of the weights had nothing to do with their gradients, whatever happens
    to gradients (``changed_by_g``, ``g_grew``) would happen to weights of both states equally
    often, which is as often as to all of them. Of ``changed`` and ``both_grew`` this cannot be
    said: gradient descent itself brings weights with W·g > 0 nearer to zero, and beyond, and
    weights with W·g < 0 away from it. In a stationary state with a share q of W·g < 0 flows
    balance, q changed_from_opposite = (1 − q) changed_from_same, so that the state that is left
    less often has the larger share.

    Returns:
        Nothing at the first measured epoch. Then shares of the weights, of all, of those with
        W·g > 0 at t₀ (``_from_same``) and with W·g < 0 (``_from_opposite``), and of each for the
        groups of `weight_groups`:
        ``changed``: the sign of W·g is another now;
        ``changed_by_g``: that of g is, that of W is not;
        ``g_grew``: |g| is larger now; ``both_grew``: |W| and |g| are.
        Each is taken replica by replica, then averaged; NaN where there is no such weight.
    """
    before = snapshot.previous
    w, g = require(snapshot.weights), require(snapshot.step_gradient)
    if before is None:
        return {}
    w_before, g_before = before.weights, before.gradient
    state, origin = w.sign() * g.sign(), w_before.sign() * g_before.sign()
    changed, g_grew = state != origin, g.abs() > g_before.abs()
    events = {
        "changed": changed,
        "changed_by_g": changed & (w.sign() == w_before.sign()),
        "g_grew": g_grew,
        "both_grew": g_grew & (w.abs() > w_before.abs()),
    }
    signed = state * origin != 0
    origins = {
        "": signed,
        "_from_same": signed & (origin > 0),
        "_from_opposite": signed & (origin < 0),
    }
    values: dict[str, float] = {}
    for group, columns in weight_groups(snapshot.parameters, w_before).items():
        for name, event in events.items():
            for start, where in origins.items():
                values[f"{name}{start}{group}"] = mean_in_group(event, where, columns)
    return values
