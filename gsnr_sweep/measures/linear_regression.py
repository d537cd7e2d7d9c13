"""Training of the last layer alone against its closed form: it is a linear regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsnr_sweep.gradients.forward_hooks import listening
from gsnr_sweep.gradients.parameters import Parameter, trained_parameters
from gsnr_sweep.measures.ratio import mean
from gsnr_sweep.measures.requires import requires
from gsnr_sweep.measures.trained_network import NO_START
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.snapshot import Snapshot

_VALUES, _ERRORS = ("loss", "gsnr"), ("loss_error", "gradient_error", "gsnr_error")


@dataclass(frozen=True)
class Regression:
    """Least squares of targets on fixed features by gradient descent: L(w) = ‖A w − Y‖² / n.

    Attributes:
        features: A [n, S], a column of ones for a trained bias.
        targets: Y [n, C], less what frozen parameters of the last layer add.
        initial: w₀ [S, C].
    """

    features: Tensor
    targets: Tensor
    initial: Tensor

    def weights(self, lr: float, step: int) -> Tensor:
        """Return w_t [S, C] after t steps w ← w − λ ∂L/∂w, in closed form.

        ∂L/∂w = H w − b with H = 2 AᵀA/n, so that w_t − w* = (I − λH)^t (w₀ − w*) for any minimum
        w*. In H's eigenvectors, without dividing by eigenvalues μ that may be zero:
        w_t = w₀ − Σ_k<t λ (I − λH)^k g₀, whose sum is (1 − (1 − λμ)^t) / μ, and λt where μ = 0.

        Args:
            lr: λ.
            step: t.
        """
        n = len(self.features)
        rates, vectors = torch.linalg.eigh(2 / n * self.features.T @ self.features)
        x = lr * rates.clamp_min(0)
        slow = -torch.expm1(step * torch.log1p(-x.clamp_max(0.5)))  # exact digits for small x
        gone = torch.where(x < 0.5, slow, 1 - (1 - x) ** step)
        factor = torch.where(x > 0, lr * gone / x, lr * float(step))
        gradient = vectors.T @ self.gradient(self.initial)
        moved: Tensor = vectors @ (factor[:, None] * gradient)
        return self.initial - moved

    def gradient(self, w: Tensor) -> Tensor:
        """Return ∂L/∂w [S, C]."""
        return 2 / len(self.features) * self.features.T @ self._residual(w)

    def loss(self, w: Tensor) -> float:
        """Return L(w)."""
        return float(self._residual(w).square().sum(1).mean())

    def mean_squared_gradient(self, w: Tensor) -> Tensor:
        """Return E[g²] of the samples' gradients g = 2 (A w − Y)_c a_s, [S, C]."""
        return 4 / len(self.features) * self.features.square().T @ self._residual(w).square()

    def _residual(self, w: Tensor) -> Tensor:
        return self.features @ w - self.targets


def find_regression(replica: Replica, followed: tuple[Parameter, ...]) -> Regression | str:
    """Return the linear regression that a replica's training is, or why it is none.

    Args:
        replica: At any weights: what the regression is made of is fixed.
        followed: Not used.
    """
    del followed
    trained = trained_parameters(replica.model)
    layers = dict.fromkeys(p.layer for p in trained)
    layer = replica.model.get_submodule(trained[-1].layer) if len(layers) == 1 else None
    if replica.by_optimizer:
        return "weights do not move by gradient descent (optim=gd)"
    if replica.loss.name != "mse":
        return f"the loss is {replica.loss.name}, not the squared error (loss=mse)"
    if not isinstance(layer, nn.Linear) or (through := _through(replica, layer)) is None:
        return f"not only the last, linear layer is trained (model.frozen): {', '.join(layers)}"
    if not replica.initial:
        return NO_START
    inputs, targets = through
    own = {p.name.rpartition(".")[2] for p in trained}
    ones = inputs.new_ones(len(inputs), 1)
    parts = {"weight": (inputs, layer.weight), "bias": (ones, layer.bias)}
    columns, initial = [], []
    for name, (column, parameter) in parts.items():
        if name in own:
            columns.append(column)
            start = replica.initial[f"{trained[-1].layer}.{name}"]
            initial.append(_by_output(start, layer))
        elif parameter is not None:
            targets = targets - column @ _by_output(parameter, layer)
    return Regression(torch.cat(columns, 1), targets, torch.cat(initial))


def _by_output(parameter: Tensor, layer: nn.Linear) -> Tensor:
    """Return weight [C, S] or bias [C] as [S, C] or [1, C], float64."""
    return parameter.detach().cpu().double().reshape(layer.out_features, -1).T


@requires(probe=find_regression)
def linear_regression(snapshot: Snapshot) -> dict[str, float]:
    """Compare training with the closed form that it has if only the last layer is trained.

    "A two layer MLP with the first layer frozen is equivalent to a linear regression model" (Liu et
    al. 2020, 3.2): of the squared error, gradient descent then goes w_t − w* = (I − λH)^t (w₀ − w*)
    with the Hessian H = 2 AᵀA/n of the fixed features A. It is computed in float64 from w₀ alone,
    and compared with what was measured at step t.

    Returns:
        ``linear_regression_loss`` and ``linear_regression_gsnr``, training loss and mean GSNR (over
        the same parameters as ``gsnr_mean``) by the closed form, averaged over the replicas;
        ``linear_regression_loss_error``, ``linear_regression_gsnr_error`` and
        ``linear_regression_gradient_error`` = ‖g − g_closed‖/‖g_closed‖, the relative differences
        of what was measured, the largest of the replicas. `Undefined` if more than the last, linear
        layer is trained, for other losses than the squared error, and for other rules than
        gradient descent.
    """
    found: list[Regression | str] = snapshot.probed["linear_regression"]
    names = [f"linear_regression_{name}" for name in (*_VALUES, *_ERRORS)]
    if why := next((one for one in found if isinstance(one, str)), ""):
        return dict.fromkeys(names, Undefined(f"training is no linear regression: {why}"))
    rows = [
        _compare(snapshot, m, one) for m, one in enumerate(found) if isinstance(one, Regression)
    ]
    table = torch.tensor(rows, dtype=torch.float64)
    values = [*table[:, : len(_VALUES)].mean(0), *table[:, len(_VALUES) :].amax(0)]
    return dict(zip(names, map(float, values), strict=True))


def _compare(snapshot: Snapshot, m: int, regression: Regression) -> list[float]:
    """Return loss and mean GSNR by the closed form, then the three differences."""
    w = regression.weights(snapshot.lr, snapshot.step)
    gradient, squares = regression.gradient(w), regression.mean_squared_gradient(w)
    variance = squares - gradient.square()
    if snapshot.variance == "unbiased":
        variance = variance * (snapshot.n / (snapshot.n - 1))
    alive = snapshot.alive[m]
    gsnr = mean(_in_order(snapshot, gradient.square() / variance), alive)
    measured = snapshot.gradient[m]
    measured_gsnr = mean(measured.square() / snapshot.gradient_variance[m], alive)
    closed, loss = _in_order(snapshot, gradient), regression.loss(w)
    return [
        loss,
        gsnr,
        abs(float(snapshot.train_loss[m]) - loss) / loss,
        float((measured - closed).norm() / closed.norm()),
        abs(measured_gsnr - gsnr) / gsnr,
    ]


def _in_order(snapshot: Snapshot, values: Tensor) -> Tensor:
    """Return values [S, C] in the order of the parameters: the weight [C, S'], then the bias."""
    outputs = values.shape[1]
    rows = torch.split(values, [(p.stop - p.start) // outputs for p in snapshot.parameters])
    return torch.cat([row.T.flatten() for row in rows])


@torch.no_grad()
def _through(replica: Replica, layer: nn.Linear) -> tuple[Tensor, Tensor] | None:
    """Return the layer's inputs [n, S] and the targets [n, C], float64.

    None if its outputs are not the network's.
    """
    seen: list[tuple[Tensor, Tensor]] = []
    targets: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen.append((inputs[0], output))

    with listening([layer], keep):
        for x, y in replica.batches():
            outputs = replica.model(x)
            if len(seen) != len(targets) + 1 or seen[-1][1] is not outputs or outputs.dim() != 2:
                return None
            indicator = y if y.is_floating_point() else F.one_hot(y, outputs.shape[1])
            targets.append(indicator.flatten(1))
    inputs = torch.cat([features for features, _ in seen])
    return inputs.cpu().double(), torch.cat(targets).cpu().double()
