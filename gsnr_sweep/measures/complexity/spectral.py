"""Spectral norms of linear and convolutional layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.graph import Step, weight_of, without_bias

_Map = Callable[[Tensor], Tensor]

_DENSE = 100
"""Up to this many inputs or outputs the matrix of a convolution is made."""

_TOLERANCE = 1e-9
_KRYLOV_SIZE = 40
_RESTARTS = 2000


def log_reshape_norm(step: Step) -> float:
    """The natural log of the largest singular value of the weight as an out × rest matrix.

    For a convolution that is what the authors' later code and `torch.nn.utils.spectral_norm` call
    its spectral norm: the norm of its matrix on a single window, out × (in·kernel). The norm of the
    convolution on whole inputs (`log_operator_norm`) is up to √(kernel size) times as large.

    Args:
        step: A linear or convolutional layer.

    Returns:
        log σ; −inf for a weight of zeros.
    """
    weight, log_scale = _scaled(weight_of(step))
    norm = float(torch.linalg.matrix_norm(weight.flatten(1), 2))
    return math.log(norm) + log_scale if norm else -math.inf


def log_operator_norm(step: Step) -> float:
    """The natural log of a layer's norm as a linear map on inputs of its size: σ = max ‖Ax‖/‖x‖.

    For a convolution A has its stride, zero padding, dilation and groups. σ² is the largest
    eigenvalue of AᵀA or AAᵀ, whichever is smaller, by Lanczos iteration (ARPACK) from a fixed
    start, until the residual ‖AᵀAv − σ²v‖ is 1e-9·σ². A start with normally distributed entries has
    a share in every direction, and of two singular values that lie closer together than the
    residual either one is the norm to nine digits: a narrow gap costs time, not digits.

    Args:
        step: A linear or convolutional layer, with the shape of its input in the network.

    Returns:
        log σ; −inf for a weight of zeros.

    Raises:
        GsnrError: The iteration does not settle.
    """
    if isinstance(step.layer, nn.Linear):
        return log_reshape_norm(step)
    weight, log_scale = _scaled(weight_of(step))
    if not bool(weight.any()):
        return -math.inf
    small = min(math.prod(step.input_shape), math.prod(step.output_shape))
    norm = _dense_norm(step, weight) if small <= _DENSE else _lanczos_norm(step, weight)
    return math.log(norm) + log_scale if norm else -math.inf


def _scaled(weight: Tensor) -> tuple[Tensor, float]:
    """A weight whose largest value is one, and the log of what it was divided by."""
    weight = weight.detach()
    largest = float(weight.abs().max())
    return (weight / largest, math.log(largest)) if largest else (weight, 0.0)


def _maps(step: Step, weight: Tensor, count: int) -> tuple[_Map, _Map]:
    """A convolution and its transpose, on `count` flat vectors at once.

    Returns:
        The map from the smaller side, inputs or outputs, to the larger one, and the map back.
    """
    assert step.layer is not None
    layer, n_in, n_out = step.layer, math.prod(step.input_shape), math.prod(step.output_shape)

    def forward(x: Tensor) -> Tensor:
        return without_bias(layer, weight, x.view(count, *step.input_shape)).reshape(count, n_out)

    _, pull, *_ = torch.func.vjp(forward, weight.new_zeros(count, n_in))

    def transpose(y: Tensor) -> Tensor:
        return cast(Tensor, pull(y)[0])

    return (forward, transpose) if n_in <= n_out else (transpose, forward)


def _dense_norm(step: Step, weight: Tensor) -> float:
    size = min(math.prod(step.input_shape), math.prod(step.output_shape))
    there, _ = _maps(step, weight, size)
    units = torch.eye(size, dtype=weight.dtype, device=weight.device)
    return float(torch.linalg.matrix_norm(there(units), 2))


def _lanczos_norm(step: Step, weight: Tensor) -> float:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    size = min(math.prod(step.input_shape), math.prod(step.output_shape))
    there, back = _maps(step, weight, 1)

    def gram(v: NDArray[np.float64]) -> NDArray[np.float64]:
        x = torch.as_tensor(v.reshape(1, size)).to(weight)
        return back(there(x)).ravel().double().cpu().numpy()

    try:
        (largest,) = eigsh(
            LinearOperator((size, size), matvec=gram, dtype=np.float64),
            k=1,
            which="LA",
            v0=np.random.default_rng(0).standard_normal(size),
            ncv=_KRYLOV_SIZE,
            tol=_TOLERANCE,
            maxiter=_RESTARTS,
            return_eigenvectors=False,
        )
    except ArpackNoConvergence as error:
        raise GsnrError(
            f"{step.name}: its norm as a linear map did not settle to {_TOLERANCE:g} in "
            f"{_RESTARTS} restarts of the Lanczos iteration. Look at the layer's weights: they may "
            "be of very different sizes."
        ) from error
    return math.sqrt(max(float(largest), 0.0))
