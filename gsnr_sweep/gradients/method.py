"""Which way to a network's per-sample gradients is right, found by trying on a few samples."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from gsnr_sweep.data.seeding import (
    Stream,
    global_generators_restored,
    global_generators_seeded,
    global_generators_state,
)
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.batchnorm import Mode, norms_in_order, norms_of, set_modes
from gsnr_sweep.gradients.moments import Method, gradient_moments
from gsnr_sweep.gradients.per_sample import SampleLosses
from gsnr_sweep.losses.loss import Loss, try_loss

# Relative, of two right computations in float64, and of networks that do not compute in it.
_TOLERANCE, _COARSE_TOLERANCE = 1e-8, 1e-4
_PERTURBATION = 0.1
_PASSES = 4  # in training mode, for what is random by generators of a network's own
_MOST_NAMED = 3
_FAILS = "fails"


def choose_method(model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses) -> Method:
    """Choose the fastest way that gives the right per-sample gradients of this network.

    A float64 copy (in the network's own dtype, if it does not compute in float64) with perturbed
    weights (so that a head or a gain initialized to zero hides nothing) is tried on the given
    samples. Each sample's output must not depend on the others, and
    Σ g_i and Σ g_i² must be those of one ordinary backward pass a sample.

    Args:
        model: The network, in the state in which it is measured.
        x: [N, ...] a few inputs, at least two.
        y: Their targets.
        sample_losses: Losses [N] from outputs and targets.

    Raises:
        GsnrError: Per-sample gradients do not exist, or cannot be computed.
    """
    if not any(p.requires_grad for p in model.parameters()):
        raise GsnrError("This network has no trained parameters: there is nothing to measure.")
    try:
        trial, x = _in_float64(model, x)
        _perturb(trial, x)
        _refuse_random_or_mixing(trial, x)
        expected = _sums(trial, x, y, sample_losses, Method.PER_SAMPLE)
    except GsnrError:
        raise
    except Exception as error:
        raise GsnrError(
            f"This network cannot be differentiated sample by sample ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]})."
        ) from None
    if not any(bool(sums.any()) for sums in expected):
        raise GsnrError("This network's output does not depend on its parameters.")
    for method in (Method.LAYERWISE, Method.FUNCTORCH):
        try:
            found = _sums(trial, x, y, sample_losses, method)
        except Exception:  # whatever it is, this way is not for this network
            continue
        dtype = next(trial.parameters()).dtype  # what it computes in: inputs may be tokens
        if all(_close(a, b, dtype) for a, b in zip(found, expected, strict=True)):
            return method
    return Method.PER_SAMPLE


def _in_float64(model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    """Copy a network and inputs in float64, where it computes in it, else as they are.

    A network that makes a tensor of its own in a fixed dtype, such as an initial state by
    ``torch.zeros(n, h)``, computes in that one alone.
    """
    exact, wide = copy.deepcopy(model).double(), x.double() if x.is_floating_point() else x
    try:
        with torch.no_grad():
            exact(wide)
    except Exception:
        return copy.deepcopy(model), x
    return exact, wide


def _sums(
    model: nn.Module, x: Tensor, y: Tensor, sample_losses: SampleLosses, method: Method
) -> list[Tensor]:
    """Return Σ g_i of each parameter, then Σ g_i²."""
    moments = gradient_moments(model, [(x, y)], sample_losses, method, signs=False)
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    both = (moments.sum, moments.sum_of_squares)
    return [part for sums in both for part in sums.split_with_sizes(sizes)]


@torch.no_grad()
def _perturb(model: nn.Module, x: Tensor) -> None:
    """Move the trained weights off any special values, unless the network does not bear it."""
    generator = torch.Generator().manual_seed(0)
    before = [p.clone() for p in model.parameters()]
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise.to(parameter), alpha=_PERTURBATION)
    if not bool(torch.isfinite(model(x)).all()):
        for parameter, value in zip(model.parameters(), before, strict=True):
            parameter.copy_(value)


def _refuse_random_or_mixing(model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        together, again = model(x), model(x)
        try:
            alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
        except (RuntimeError, ValueError):  # a layer that wants a batch of several samples
            alone = torch.full_like(together, torch.nan)
    if not _close(together, again):
        raise GsnrError(
            "This network gives different outputs for the same input (dropout in training mode?). "
            "Eq. (19) is about deterministic gradient descent: remove the randomness."
        )
    if not _close(together, alone):
        raise GsnrError(
            "This network's output for one sample depends on the other samples of its batch, so "
            "that per-sample gradients do not exist. torch.nn.BatchNorm layers are understood "
            "(measured with the training set's statistics); other layers across samples are not."
        )


def _close(a: Tensor, b: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Compare what was computed in a dtype (its own, if None) up to rounding; False for NaN."""
    if not a.numel():
        return True
    scale = max(float(a.abs().max()), float(b.abs().max()), 1e-300)
    tolerance = _TOLERANCE if (dtype or b.dtype) == torch.float64 else _COARSE_TOLERANCE
    return float((a - b).abs().max()) <= tolerance * scale


def choose_moments_method(
    model: nn.Module, x: Tensor, y: Tensor, loss: Loss, stochastic: bool = False
) -> Method:
    """Find the way to a prepared network's per-sample gradients by trying on a few samples.

    Batch normalization is tried with these samples' statistics, fixed.

    Args:
        model: The prepared network, in evaluation mode, in which it is measured.
        x: [N, ...] a few inputs, at least two.
        y: Their targets.
        loss: Of each sample.
        stochastic: Whether weights move on mini-batches: the network may then be random, or
            otherwise different, in training mode.

    Raises:
        GsnrError: The network has no per-sample gradients, or is random where it may not be.
    """
    if not stochastic:
        _refuse_dropout(model)
    trial, outputs = _with_fixed_statistics(model, x)
    try_loss(loss, outputs, y)
    if not stochastic:
        refuse_training_mode(trial, x)
    return choose_method(trial, x, y, loss)


def _with_fixed_statistics(model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    """Copy a network, normalize batches with these samples' statistics, and return its outputs."""
    trial = copy.deepcopy(model)
    norms_in_order(trial, x)
    with torch.no_grad():
        outputs = trial(x)
    set_modes(norms_of(trial), Mode.FIXED)
    return trial, outputs


def _refuse_dropout(model: nn.Module) -> None:
    """Refuse a network whose training would be random; in evaluation mode it would not show."""
    for name, module in model.named_modules():
        own = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else 0
        inside = getattr(module, "dropout", 0)  # of attention and recurrent layers
        if own > 0 or (isinstance(inside, float) and inside > 0):
            raise GsnrError(
                f"This network drops activations at random ({name}: {module}). Eq. (19) is about "
                "deterministic gradient descent: set its p to 0 or take it out, or train on "
                "mini-batches (optim=sgd)."
            )


def refuse_training_mode(model: nn.Module, x: Tensor) -> None:
    """Refuse a network that computes something else in training mode than in evaluation mode.

    Runs compute in evaluation mode: dropout by a function, stochastic depth, noise or statistics of
    a batch that a network switches on by its `training` attribute would be off without a word. A
    copy with perturbed weights is passed through in both modes, several times for what is random;
    that random numbers are drawn in training mode alone is enough, since a rare event may not come.

    Args:
        model: The network, its ``torch.nn.BatchNorm`` layers replaced and fixed.
        x: [N, ...] a few inputs.

    Raises:
        GsnrError: It does; the modules that do are named where they can be told.
    """
    how, named = _in_training_mode(model, x)
    if not how:
        return
    raise GsnrError(
        f"This network {how} in training mode and not in evaluation mode"
        f"{f' ({named})' if named else ''}. Runs compute in evaluation mode, where that would be "
        "silently off, and eq. (19) is about deterministic full-batch gradient descent: take it "
        "out, let it not depend on the mode, or train on mini-batches (optim=sgd). "
        "torch.nn.BatchNorm layers are understood."
    )


def differs_in_training(model: nn.Module, x: Tensor) -> bool:
    """Tell whether a network computes something else in training mode, such as by dropout.

    Args:
        model: The prepared network.
        x: [N, ...] a few inputs, at least two.

    Raises:
        GsnrError: It fails in training mode.
    """
    trial, _ = _with_fixed_statistics(model, x)
    how, named = _in_training_mode(trial, x)
    if how.startswith(_FAILS):
        raise GsnrError(f"This network {how} in training mode{f' ({named})' if named else ''}.")
    if how:
        _refuse_memory_of_passes(trial, x)
    return bool(how)


def _refuse_memory_of_passes(model: nn.Module, x: Tensor) -> None:
    """Refuse a network whose training pass depends on how many came before, buffers apart.

    Raises:
        GsnrError: It does: measuring, which takes passes of its own, would change the training, and
            so would going on from a checkpoint.
    """
    passed = []
    for passes_before in (0, 1):
        trial = copy.deepcopy(model).train()
        with torch.no_grad():
            buffers = {name: buffer.clone() for name, buffer in trial.named_buffers()}
            with global_generators_restored(x.device):
                for _ in range(passes_before):
                    trial(x)
            for name, buffer in trial.named_buffers():
                buffer.copy_(buffers[name])
            with global_generators_seeded(0, Stream.TRAINING_NOISE, 0, 0, x.device):
                passed.append(trial(x))
    if not _close(*passed):
        raise GsnrError(
            "This network's training pass depends on how many came before it (random numbers of "
            "its own, or a count?), so that measuring would change the training, and so would "
            "going on from a checkpoint. Let it draw from PyTorch's, NumPy's or Python's global "
            "generators, which are seeded for each step, and keep what it remembers in buffers."
        )


def _in_training_mode(model: nn.Module, x: Tensor) -> tuple[str, str]:
    """Say what a network does in training mode and not else, and which modules do; empty: nothing.

    A copy with perturbed weights is passed through in both modes, several times for what is random.
    """
    with global_generators_restored(x.device), torch.no_grad():
        try:
            trial, x = _in_float64(model, x)
            _perturb(trial.eval(), x)
            expected, again = _passed(trial, x), _passed(trial, x)
        except Exception:  # said by the trial of its gradients
            return "", ""
        if not _same(expected, again):
            return "", ""  # random in evaluation mode: said there, too
        how = _difference(copy.deepcopy(trial).train(), x, expected)
        return how, _modules_that_differ(trial, x, expected) if how else ""


def _passed(model: nn.Module, x: Tensor) -> tuple[object, bool]:
    """Return a network's outputs and whether it drew random numbers for them."""
    before = global_generators_state(x.device)
    outputs = model(x)
    return outputs, global_generators_state(x.device) != before


def _same(one: tuple[object, bool], other: tuple[object, bool]) -> bool:
    a, b = one[0], other[0]
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.shape != b.shape:
        return False
    return bool(torch.equal(a, b)) or _close(a, b)


def _difference(model: nn.Module, x: Tensor, expected: tuple[object, bool]) -> str:
    """Say in words what a network does that is not expected; empty for nothing."""
    try:
        for _ in range(_PASSES):
            found = _passed(model, x)
            if found[1] and not expected[1]:
                return "draws random numbers"
            if not _same(found, expected):
                return "gives other outputs for the same inputs"
    except Exception as error:
        return f"{_FAILS} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    return ""


def _modules_that_differ(model: nn.Module, x: Tensor, expected: tuple[object, bool]) -> str:
    """Name the modules that make a difference if they alone are in training mode."""
    found = []
    for name, module in model.named_modules():
        trial = copy.deepcopy(model)
        trial.get_submodule(name).training = True
        if _difference(trial, x, expected):
            found.append(f"{name or 'the network itself'}: {type(module).__name__}")
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more
