"""M replicas side by side: training, and one snapshot a measured epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from gsnr_sweep.config import Config, memory_bytes
from gsnr_sweep.data.draw import RunSets
from gsnr_sweep.ensemble.batchnorm import FullBatchNorm, Mode, norms_in_order, replace_batchnorm
from gsnr_sweep.ensemble.chunks import ChunkSizes, chunk_sizes, fits_whole
from gsnr_sweep.ensemble.loss import Task, sample_losses
from gsnr_sweep.ensemble.moments import Method, Moments, choose_method
from gsnr_sweep.ensemble.replica import Losses, Replica, image_format
from gsnr_sweep.ensemble.snapshot import Layer, Snapshot
from gsnr_sweep.errors import GsnrError

Result = TypeVar("Result")
OnEpoch = Callable[[int], None]
_EXAMPLES = 3


class Ensemble:
    """M replicas trained from the same initial weights, each on its own training set.

    Replicas never meet, so they are worked on by a few threads side by side; every operation within
    a replica runs on one thread. The numbers do not depend on how many threads there are.
    """

    def __init__(
        self, model: nn.Module, sets: RunSets, task: Task, cfg: Config, device: torch.device
    ) -> None:
        """Copy the network M times.

        Args:
            model: The network with its initial weights.
            sets: M training sets and the test set.
            task: Decides the loss.
            cfg: Learning rate, schedule, dtype and memory budget.
            device: Where to compute.

        Raises:
            GsnrError: The network has no per-sample gradients.
        """
        self._cfg = cfg
        self._threads = 1 if device.type == "cuda" else min(cfg.threads or 1, cfg.n_sets)
        dtype: torch.dtype = getattr(torch, cfg.dtype)
        model = prepare_network(model, dtype, device)
        self.layers = _layers(model)
        self.test = sets.test.to(device)
        train = [samples.to(device) for samples in sets.train]
        examples, targets = train[0].batch(0, _EXAMPLES, dtype)
        self.chunks = _choose_chunks(model, examples, cfg)
        self.method = choose_moments_method(model, examples, targets, task)
        self.replicas = [
            Replica(copy.deepcopy(model), samples, task, self.chunks, dtype, self.method)
            for samples in train
        ]

    @property
    def n_parameters(self) -> int:
        """Number P of trained parameters of one replica."""
        return self.layers[-1].stop

    def run(self, on_epoch: OnEpoch | None = None) -> Iterator[Snapshot]:
        """Train for ``epochs`` steps and yield a snapshot of every scheduled one.

        An epoch t is measured by the step from weights θ_t to θ_{t+1}; for t = epochs this is one
        step beyond the training.

        Args:
            on_epoch: Called with the number of steps taken.
        """
        schedule = set(self._cfg.measure_at)
        with self._worker_threads() as each:
            for epoch in range(self._cfg.epochs + 1):
                if epoch in schedule:
                    yield self._measured_step(epoch, each)
                elif epoch < self._cfg.epochs:
                    each(self._step)
                if on_epoch is not None:
                    on_epoch(min(epoch + 1, self._cfg.epochs))

    def _step(self, replica: Replica) -> Tensor:
        gradient = replica.gradient()
        replica.descend(gradient, self._cfg.lr)
        return torch.stack([g.square().sum() for g in gradient]).sum()

    def _measured_step(self, epoch: int, each: Callable[..., list[Result]]) -> Snapshot:
        before = cast("list[tuple[Moments, Losses, Losses]]", each(self._observe))
        norms = cast("list[Tensor]", each(self._step))
        after = cast("list[tuple[Losses, Losses]]", each(self._observe_losses))
        return self._snapshot(epoch, before, norms, after)

    def _observe(self, replica: Replica) -> tuple[Moments, Losses, Losses]:
        replica.fix_statistics()
        moments, train = replica.moments()
        return moments, train, replica.losses(self.test)

    def _observe_losses(self, replica: Replica) -> tuple[Losses, Losses]:
        replica.fix_statistics()
        return replica.losses(replica.train), replica.losses(self.test)

    def _snapshot(
        self,
        epoch: int,
        before: list[tuple[Moments, Losses, Losses]],
        norms: list[Tensor],
        after: list[tuple[Losses, Losses]],
    ) -> Snapshot:
        moments = [entry[0] for entry in before]
        changes = [
            test_next.per_sample - test.per_sample
            for (_, _, test), (_, test_next) in zip(before, after, strict=True)
        ]
        return Snapshot(
            epoch=epoch,
            n=self._cfg.n,
            lr=self._cfg.lr,
            variance=cast(Literal["plugin", "unbiased"], self._cfg.measures.variance),
            layers=self.layers,
            gradient_sum=torch.stack([m.sum for m in moments]).cpu(),
            gradient_square_sum=torch.stack([m.sum_of_squares for m in moments]).cpu(),
            positive=torch.stack([m.positive for m in moments]).cpu(),
            negative=torch.stack([m.negative for m in moments]).cpu(),
            step_sq_norm=torch.stack(norms).cpu(),
            train_loss=_vector(entry[1].mean for entry in before),
            train_loss_next=_vector(entry[0].mean for entry in after),
            test_loss=_vector(entry[2].mean for entry in before),
            test_loss_next=_vector(entry[1].mean for entry in after),
            test_loss_change=torch.stack(changes).sum(0).cpu(),
            train_accuracy=_vector(entry[1].accuracy for entry in before),
            test_accuracy=_vector(entry[2].accuracy for entry in before),
        )

    @contextmanager
    def _worker_threads(self) -> Iterator[Callable[..., list[Result]]]:
        """Provide a map over the replicas, results in their order."""
        if self._threads == 1:
            yield lambda work: [work(replica) for replica in self.replicas]
            return
        with ThreadPoolExecutor(
            self._threads, "replica", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            yield lambda work: list(pool.map(work, self.replicas))


def prepare_network(model: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Bring a network into the form that replicas use, in evaluation mode, weights unchanged."""
    model = replace_batchnorm(model).to(device=device, dtype=dtype).eval()
    return model.to(memory_format=image_format(model))  # type: ignore[call-overload,no-any-return]


def _choose_chunks(model: nn.Module, examples: Tensor, cfg: Config) -> ChunkSizes:
    """Take one chunk for the step where batch normalization would need many passes instead."""
    limit = memory_bytes(cfg.memory_limit)
    sizes = chunk_sizes(model, examples[:2], cfg.n, limit, cfg.chunk_size)
    normalizes = any(isinstance(module, FullBatchNorm) for module in model.modules())
    if cfg.chunk_size is None and normalizes and fits_whole(model, examples[:2], cfg.n, limit):
        return ChunkSizes(cfg.n, sizes.moments)
    return sizes


def choose_moments_method(model: nn.Module, x: Tensor, y: Tensor, task: Task) -> Method:
    """Find the way to a prepared network's per-sample gradients by trying on a few samples.

    Batch normalization is tried with these samples' statistics, fixed.

    Raises:
        GsnrError: The network has no per-sample gradients.
    """
    _refuse_dropout(model)
    trial = copy.deepcopy(model)
    norms_in_order(trial, x)
    with torch.no_grad():
        trial(x)
    for module in trial.modules():
        if isinstance(module, FullBatchNorm):
            module.mode = Mode.FIXED
    return choose_method(trial, x, y, partial(sample_losses, task=task))


def _refuse_dropout(model: nn.Module) -> None:
    """Refuse a network whose training would be random; in evaluation mode it would not show."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise GsnrError(
                f"This network drops activations at random ({name}: {module}). Eq. (19) is about "
                "deterministic gradient descent: set its p to 0 or take it out."
            )


def _layers(model: nn.Module) -> tuple[Layer, ...]:
    """Group the trained parameters by the module that owns them, in order."""
    layers: list[Layer] = []
    place = 0
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        owner = name.rpartition(".")[0]
        stop = place + parameter.numel()
        if layers and layers[-1].name == owner:
            layers[-1] = Layer(owner, layers[-1].start, stop)
        else:
            layers.append(Layer(owner, place, stop))
        place = stop
    return tuple(layers)


def _vector(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)
