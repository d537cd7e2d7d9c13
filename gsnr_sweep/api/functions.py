"""`gradient_statistics` and `osgr`: the measurements, for scripts and notebooks."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict, Unpack, cast

import torch
from torch import Tensor, nn

from gsnr_sweep.api.counts import refuse_no_count
from gsnr_sweep.api.data import Data, SampleSet, is_one_set
from gsnr_sweep.api.loss import LossFunction
from gsnr_sweep.api.measuring import Measuring, SetMoments, Settings, Way
from gsnr_sweep.api.network import BatchNorm, device_of, plain_network
from gsnr_sweep.api.one_step import OneStepRatio
from gsnr_sweep.api.statistics import GradientStatistics
from gsnr_sweep.api.undisturbed import undisturbed
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients import Method
from gsnr_sweep.measures.osgr_diff import osgr_diff
from gsnr_sweep.measures.osgr_lhs import osgr_lhs
from gsnr_sweep.measures.osgr_rhs import osgr_rhs
from gsnr_sweep.measures.taylor_ratio import taylor_ratio
from gsnr_sweep.training.snapshot import GRADIENT_RESOLUTION, Snapshot
from gsnr_sweep.wording import did_you_mean

log = logging.getLogger(__name__)

Variance = Literal["plugin", "unbiased"]
_CROSS_ENTROPY = nn.CrossEntropyLoss()


class Options(TypedDict, total=False):
    """Further arguments of `gradient_statistics` and `osgr`, explained there."""

    batch_size: int | None
    device: torch.device | str | None
    dtype: torch.dtype | None
    variance: Variance
    batch_norm: BatchNorm
    memory_limit: int
    progress: bool | None


def gradient_statistics(
    model: nn.Module,
    data: Data,
    loss: LossFunction = _CROSS_ENTROPY,
    *,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    variance: Variance = "plugin",
    batch_norm: BatchNorm = "running",
    memory_limit: int = 10**9,
    progress: bool | None = None,
) -> GradientStatistics:
    """Measure mean, variance and signal-to-noise ratio of a network's per-sample gradients.

    g_j = (1/n) Σ_i g_i,j,  ρ²_j = (1/n) Σ_i (g_i,j − g_j)²,  r_j = g_j² / ρ²_j

    (Liu et al. 2020, arXiv 2001.07384, eqs. 2 and 25), with g_i,j the derivative of sample i's loss
    by parameter j. The loss of a sample is such that their mean is `loss` over the whole set, so
    that g is the gradient of the loss that is trained with: weights of classes and targets that do
    not count are divided by as PyTorch does it, of the whole set. A summed loss is measured as the
    mean of its terms, which has the same GSNR.

    The network is measured in evaluation mode, as it would predict: without dropout, batch
    normalization with its running statistics. A copy is measured: the network, its gradients,
    buffers and mode, and all random numbers are left as they are.

    Args:
        model: Called as ``model(x)``, x [N, ...], and returns outputs [N, ...]. Its parameters with
            ``requires_grad`` are measured.
        data: A DataLoader (its order does not matter), a Dataset of samples (x, y), two tensors
            (x, y), or an iterable of batches (x, y). They are read once, for
            ``batch_norm="training_set"`` several times.
        loss: Called as ``loss(outputs, targets)``: a loss of ``torch.nn`` with any reduction, a
            function that returns one loss for each sample [N], or the mean or sum of these. Cross
            entropy if it is left out.
        batch_size: Samples in a pass through the network, at most; None: as many as
            `memory_limit` allows.
        device: Where to compute; None: where the network is.
        dtype: ``torch.float32`` or ``torch.float64`` to compute in; None: the network's own, and
            float32 for one in half precision. Sums are float64 in any case.
        variance: ``plugin`` divides by n, ``unbiased`` by n − 1.
        batch_norm: ``running`` statistics, or those of the ``training_set``: `data` as a whole, at
            the present weights, as the paper measures (A.2).
        memory_limit: Bytes that a pass may use for activations and per-sample gradients; beside it
            there are a copy of the network and some 50 bytes a parameter.
        progress: Whether to show a bar; None: if it takes long, on a terminal.

    Returns:
        Tensors by parameter name, on `device`, float64, and tables.

    Raises:
        GsnrError: Per-sample gradients do not exist, or something given does not fit.

    Examples:
        >>> import torch
        >>> from gsnr_sweep import gradient_statistics
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        ... )
        >>> data = torch.randn(100, 4), torch.randint(0, 3, (100,))
        >>> stats = gradient_statistics(model, data)
        >>> stats.gsnr["0.weight"].shape
        torch.Size([8, 4])
        >>> list(stats.by_layer().index)
        ['0', '2']
    """
    found, _ = measure(
        model,
        data,
        loss,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        variance=variance,
        batch_norm=batch_norm,
        memory_limit=memory_limit,
        progress=progress,
    )
    return found


_DEFAULTS = cast(
    Options,
    {
        name: argument.default
        for name, argument in inspect.signature(gradient_statistics).parameters.items()
        if name in Options.__annotations__
    },
)


def refuse_unknown(options: Iterable[str]) -> None:
    """Refuse names that are none of `Options`, where they are only passed on.

    Raises:
        GsnrError: One is none.
    """
    for name in options:
        if name not in _DEFAULTS:
            hint = did_you_mean(name, list(_DEFAULTS)) or f"There are: {', '.join(_DEFAULTS)}."
            raise GsnrError(f"{name}: gradient_statistics has no such argument. {hint}")


def measure(
    model: nn.Module,
    data: Data,
    loss: LossFunction,
    *,
    known: Way | None = None,
    **options: Unpack[Options],
) -> tuple[GradientStatistics, Way]:
    """Do what `gradient_statistics` does, and return the way that was gone, too.

    Args:
        model: As there.
        data: As there.
        loss: As there.
        known: The way of an earlier measurement; a log line says why a slow one is gone if it is
            the first.
        **options: As there.
    """
    options = {**_DEFAULTS, **options}
    network = plain_network(model)
    settings = _settings(network, options)
    samples = SampleSet("data", data, repeated=settings.batch_norm == "training_set")
    with undisturbed(settings.device, [samples]):
        measuring = Measuring(network, samples, loss, settings, known)
        if known is None:
            _tell_slow(measuring)
        measuring.fix_statistics(samples)
        found = measuring.moments(samples)
    nothing = torch.full((1,), math.nan, dtype=torch.float64)
    snapshot = _snapshot(
        measuring,
        [found],
        lr=math.nan,
        variance=options["variance"],
        step_sq_norm=nothing,
        train_loss=torch.tensor([found.loss], dtype=torch.float64),
        train_loss_next=nothing,
        test_loss=nothing,
        test_loss_next=nothing,
        test_loss_change=torch.empty(0, dtype=torch.float64),
    )
    return GradientStatistics(snapshot, found.loss, measuring.way), measuring.found


def osgr(
    models: nn.Module | Sequence[nn.Module],
    train_sets: Data | Sequence[Data],
    test_set: Data,
    lr: float = 1e-3,
    loss: LossFunction = _CROSS_ENTROPY,
    *,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    variance: Variance = "plugin",
    batch_norm: BatchNorm = "running",
    memory_limit: int = 10**9,
    progress: bool | None = None,
) -> OneStepRatio:
    """Measure both sides of eq. (19), the one-step generalization ratio, with standard errors.

    Σ_m (L'_{t+1} − L'_t) / Σ_m (L_{t+1} − L_t)  ≈  1 − Σ_j ρ²_j / (n Σ_j E_D(g²_D,j))

    (Liu et al. 2020, arXiv 2001.07384, eqs. 19, 23, 24). Model m has been trained on training set m
    only, from the same initial weights as the others; L is its loss on that set, L' on the test
    set. The left side is of one full-batch gradient-descent step θ − λ g_D from the present
    weights, taken by copies: nothing of the models changes. Errors over training sets are the
    jackknife's; the test set's own sampling error is added to the left side's.

    Args:
        models: M networks, or one that stands for all (at its initial weights).
        train_sets: M sets of the same size n, or one; as `data` of `gradient_statistics`.
        test_set: Samples of the same distribution that no model has seen, in a fixed order.
        lr: λ of the step, small enough that `taylor_ratio` is near 1.
        loss: As of `gradient_statistics`; a summed loss is measured, and stepped along, as the mean
            of its terms.
        batch_size: As of `gradient_statistics`.
        device: The same.
        dtype: The same. In float32 an `lr` below about 1e-6 gets lost in the weights' rounding.
        variance: The same.
        batch_norm: ``running`` statistics stay as they are, the step included. With
            ``training_set`` each model has those of its own set, also for the test set, before and
            after the step, and the step goes through them, as in the paper (A.2).
        memory_limit: The same.
        progress: The same.

    Returns:
        Both sides, their difference, standard errors.

    Raises:
        GsnrError: Something given does not fit.

    Examples:
        >>> import torch
        >>> from gsnr_sweep import osgr
        >>> _ = torch.manual_seed(0)
        >>> draw = lambda n: (x := torch.randn(n, 4), x[:, :1] + torch.randn(n, 1))
        >>> found = osgr(
        ...     torch.nn.Linear(4, 1), [draw(100) for _ in range(5)], draw(1000),
        ...     loss=torch.nn.MSELoss(),
        ... )
        >>> abs(found.diff) < 3 * found.diff_se
        True
    """
    sets = _sets(train_sets)
    networks = _networks(models, len(sets))
    options: Options = {
        "batch_size": batch_size,
        "device": device,
        "dtype": dtype,
        "variance": variance,
        "batch_norm": batch_norm,
        "memory_limit": memory_limit,
        "progress": progress,
    }
    if not (isinstance(lr, int | float) and math.isfinite(lr) and lr > 0):
        raise GsnrError(f"lr={lr!r}: a positive number is needed, such as 1e-3.")
    test = SampleSet("test_set", test_set, repeated=True)
    moments: list[SetMoments] = []
    rows: list[dict[str, Tensor]] = []
    known: Way | None = None
    for network, samples in zip(networks, sets, strict=True):
        settings = _settings(network, options)
        with undisturbed(settings.device, [samples, test]):
            measuring = Measuring(network, samples, loss, settings, known)
            if known is None:
                _tell_slow(measuring)
            known = measuring.found
            found, row = _step(measuring, samples, test, lr)
        moments.append(found.on_cpu())
        rows.append(row)
    _refuse_unlike([p.shape for p in measuring.parameters], moments, networks)
    together = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    changes = together.pop("test_loss_change").sum(0)
    snapshot = _snapshot(
        measuring, moments, lr=lr, variance=variance, test_loss_change=changes, **together
    )
    values = {**osgr_lhs(snapshot), **osgr_rhs(snapshot), **osgr_diff(snapshot)}
    return OneStepRatio(
        **{name.removeprefix("osgr_"): value for name, value in values.items()},
        **taylor_ratio(snapshot),
        snapshot=snapshot,
    )


def _step(
    measuring: Measuring, samples: SampleSet, test: SampleSet, lr: float
) -> tuple[SetMoments, dict[str, Tensor]]:
    """Measure, step and measure the losses again."""
    measuring.fix_statistics(samples)
    found = measuring.moments(samples)
    before = measuring.losses(test, in_order=True)
    gradient = measuring.step_gradient(samples, found)
    measuring.descend(gradient, lr)
    measuring.fix_statistics(samples)
    after = measuring.losses(test, in_order=True)
    row = {
        "step_sq_norm": torch.stack([g.square().sum() for g in gradient]).sum(),
        "train_loss": torch.tensor(found.loss, dtype=torch.float64),
        "train_loss_next": measuring.losses(samples, in_order=False).mean(),
        "test_loss": before.mean(),
        "test_loss_next": after.mean(),
        "test_loss_change": after - before,
    }
    return found, {name: value.cpu() for name, value in row.items()}


def _snapshot(measuring: Measuring, moments: Sequence[SetMoments], **rest: Any) -> Snapshot:
    nothing = torch.full((len(moments),), math.nan)
    return Snapshot(
        epoch=0,
        n=moments[0].n,
        gradient_sum=_rows([found.gradient_sum for found in moments]),
        gradient_square_sum=_rows([found.gradient_square_sum for found in moments]),
        positive=None,
        negative=None,
        train_accuracy=nothing,
        test_accuracy=nothing,
        resolution=GRADIENT_RESOLUTION[str(measuring.dtype).removeprefix("torch.")],
        parameters=measuring.parameters,
        **rest,
    )


def _rows(vectors: Sequence[Tensor]) -> Tensor:
    """Return [M, P]; a single vector is not copied."""
    return vectors[0].unsqueeze(0) if len(vectors) == 1 else torch.stack(tuple(vectors))


def _settings(network: nn.Module, options: Options) -> Settings:
    batch_size, dtype, batch_norm = options["batch_size"], options["dtype"], options["batch_norm"]
    memory_limit = options["memory_limit"]
    _refuse_choice("batch_norm", batch_norm, ("running", "training_set"))
    _refuse_choice("variance", options["variance"], ("plugin", "unbiased"))
    if batch_size is not None:
        refuse_no_count("batch_size", batch_size, "samples in a pass")
    refuse_no_count("memory_limit", memory_limit, "bytes, such as 10**9,")
    if dtype not in (None, torch.float32, torch.float64):
        raise GsnrError(
            f"dtype={dtype!r}: torch.float32, torch.float64 or None (the network's own) is needed; "
            "squares of gradients leave the range of half precision."
        )
    place = device_of(network, options["device"])
    return Settings(batch_size, place, dtype, batch_norm, memory_limit, options["progress"])


def _refuse_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise GsnrError(f"{name}={value!r}: {' or '.join(map(repr, known))} is needed.")


def _sets(train_sets: Any) -> list[SampleSet]:
    if is_one_set(train_sets):
        return [SampleSet("train_sets", train_sets, repeated=True)]
    if not isinstance(train_sets, Iterable) or isinstance(train_sets, str | Tensor | dict):
        raise GsnrError(
            f"train_sets: this is of type {type(train_sets).__name__}. A list of M training sets "
            "is needed, each a DataLoader, a Dataset or two tensors (x, y)."
        )
    sets = [SampleSet(f"train_sets[{m}]", one, repeated=True) for m, one in enumerate(train_sets)]
    if not sets:
        raise GsnrError("train_sets: there are none. Give one at least, ten for standard errors.")
    return sets


def _networks(models: Any, count: int) -> list[nn.Module]:
    if isinstance(models, nn.ModuleList):
        models = list(models)
    if isinstance(models, nn.Module):
        return [plain_network(models)] * count
    if not isinstance(models, Sequence) or len(models) != count:
        what = len(models) if isinstance(models, Sequence) else f"a {type(models).__name__}"
        raise GsnrError(
            f"models: there are {what} for {count} training sets. Give one network for each, or a "
            "single one that all start from."
        )
    return [plain_network(model) for model in models]


def _refuse_unlike(
    shapes: Sequence[tuple[int, ...]], moments: Sequence[SetMoments], networks: Sequence[nn.Module]
) -> None:
    for m, network in enumerate(networks):
        if [tuple(p.shape) for p in network.parameters() if p.requires_grad] != list(shapes):
            raise GsnrError(
                f"models: the trained parameters of models[{m}] have other shapes than those of "
                f"models[{len(networks) - 1}]. Eq. (19) averages over networks of one architecture."
            )
    sizes = [found.n for found in moments]
    if len(set(sizes)) > 1:
        raise GsnrError(
            f"train_sets: they hold {', '.join(map(str, sizes))} samples that count. Eq. (19) is "
            "about training sets of one size n: give as many samples in each."
        )


def _tell_slow(measuring: Measuring) -> None:
    """Say once why it takes longer than a backward pass."""
    reason = measuring.why_slow()
    if reason:  # a backward pass a sample is so slow that one should know
        level = logging.WARNING if measuring.method is Method.PER_SAMPLE else logging.INFO
        log.log(level, "per-sample gradients by %s: %s", measuring.way, reason)
