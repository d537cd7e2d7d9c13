"""Curvature of the training loss at a trained network's weights, by the package curvlinops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import require_package
from gsnr_sweep.losses.loss import Loss
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network

_PROBES = 30
_LANCZOS_STEPS = 40.0  # about what two digits of the largest eigenvalue take
_PRODUCT_PASSES = 6.0  # of a sample, for a product of its Hessian with a vector
_TOLERANCE = 1e-2


def _check(_: nn.Module, __: Tensor) -> None:
    require_package("curvlinops", "measures")


@of_network(passes=lambda _: PassCounts(_PRODUCT_PASSES * (_PROBES + _LANCZOS_STEPS)), check=_check)
def hessian(network: TrainedNetwork) -> dict[str, float]:
    """Trace and largest eigenvalue of the Hessian of the mean training loss.

    Batch normalization is folded, all trained parameters count, products with vectors are those of
    curvlinops. The trace is Hutchinson's estimate, the mean of zᵀHz over 30 vectors of random
    signs; the eigenvalue is found by Lanczos iteration (ARPACK) from a fixed start, to 1 %.

    Returns:
        ``hessian_trace``, with its standard error over the vectors ``hessian_trace_error``, and
        ``hessian_top_eigenvalue``.
    """
    from curvlinops import HessianLinearOperator
    from numpy.random import default_rng
    from scipy.sparse.linalg import eigsh

    model = network.folded
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    data = list(network.samples.chunks(network.chunk_size, network.dtype))
    operator = HessianLinearOperator(
        model,
        _MeanLoss(network.loss),
        list(parameters.values()),
        data,
        num_data=len(network.samples),
        check_deterministic=False,
    )
    size = sum(p.numel() for p in parameters.values())
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(_PROBES):
        signs = torch.randint(0, 2, (size,), generator=generator) * 2.0 - 1.0
        z = signs.to(data[0][0].device, network.dtype)
        found.append(float(z.double() @ (operator @ z).double()))
    probes = torch.tensor(found, dtype=torch.float64)
    (largest,) = eigsh(
        operator.to_scipy(),
        k=1,
        which="LA",
        v0=default_rng(0).standard_normal(size),
        tol=_TOLERANCE,
        return_eigenvectors=False,
    )
    return {
        "hessian_trace": float(probes.mean()),
        "hessian_trace_error": float(probes.std()) / _PROBES**0.5,
        "hessian_top_eigenvalue": float(largest),
    }


class _MeanLoss(nn.Module):
    """The mean of samples' losses, as curvlinops wants it."""

    reduction = "mean"

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self._loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._loss(outputs, targets).mean()
