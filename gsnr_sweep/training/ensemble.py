"""M replicas side by side: training, and one snapshot a measured epoch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.engine.batched import BatchedReplicas
from gsnr_sweep.engine.selection import EngineChoice, can_be_batched
from gsnr_sweep.gradients.loss import Task
from gsnr_sweep.gradients.parameters import followed_parameters, trained_parameters
from gsnr_sweep.training.replica import Losses, Replica
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.rules import Rule
from gsnr_sweep.training.settings import TrainingSettings
from gsnr_sweep.training.snapshot import GRADIENT_RESOLUTION, Snapshot
from gsnr_sweep.training.stepping import BatchedSteps, ReplicaMap, RuleSteps, Steps

OnEpoch = Callable[[int], None]

_EXAMPLES = 3


class Ensemble:
    """M replicas trained from the same initial weights, each on its own training set.

    Replicas never meet, so they are worked on by a few threads side by side; every operation within
    a replica runs on one thread. The numbers do not depend on how many threads there are.
    """

    def __init__(
        self,
        model: nn.Module,
        sets: RunSets,
        task: Task,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        """Copy the network M times.

        Args:
            model: The network with its initial weights.
            sets: M training sets and the test set.
            task: Decides the loss.
            settings: Learning rate, schedule, dtype and memory budget.
            device: Where to compute.

        Raises:
            GsnrError: The network has no per-sample gradients.
        """
        self._settings = settings
        self._threads = 1 if device.type == "cuda" else min(settings.threads or 1, settings.n_sets)
        dtype: torch.dtype = getattr(torch, settings.dtype)
        model = prepare_network(model, dtype, device)
        self.parameters = trained_parameters(model)
        self.followed = followed_parameters(self.parameters, settings.followed)
        self.test = sets.test.to(device)
        train = [samples.to(device) for samples in sets.train]
        examples, targets = train[0].batch(0, _EXAMPLES, dtype)
        plan = self._plan = EngineChoice.of(model, examples, targets, task, settings.engine)
        self.is_batched = self._can_stack(plan, targets)
        self.method, self.chunks = plan.method, plan.chunks(settings.engine)
        engines = plan.engines(settings.engine, len(train))
        self.replicas = [Replica(*both) for both in zip(engines, train, strict=True)]
        numbered = enumerate(self.replicas) if settings.rule else ()
        self._rules = [Rule(settings.rule, one, m) for m, one in numbered if settings.rule]

    def _can_stack(self, plan: EngineChoice, targets: Tensor) -> bool:
        """Say whether all replicas take their steps together."""
        if self._settings.rule:
            return False
        if plan.normalizes and self._together(plan) < self._settings.n:
            return False
        return can_be_batched(plan.model, self.parameters, plan.examples, targets, plan.task)

    def _together(self, plan: EngineChoice) -> int:
        """Samples of each training set in a pass over all replicas; on a CPU groups are small."""
        step = plan.chunks(self._settings.engine).step
        return max(1, step // self._settings.n_sets) if plan.examples.is_cuda else step

    @property
    def n_parameters(self) -> int:
        """Number P of trained parameters of one replica."""
        return self.parameters[-1].stop

    def state(self) -> dict[str, Tensor]:
        """Return what training has changed in all replicas, by name; ``load_state`` takes it."""
        own = [replica.state() for replica in self.replicas]
        for state, rule in zip(own, self._rules, strict=False):
            state |= rule.state()
        return {
            f"{m}.{name}": tensor for m, state in enumerate(own) for name, tensor in state.items()
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put all replicas back to an earlier state.

        Raises:
            KeyError: The state is of another network or of fewer replicas.
        """
        for m, replica in enumerate(self.replicas):
            prefix = f"{m}."
            own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
            replica.load_state(own)
            for rule in self._rules[m : m + 1]:
                rule.load_state(own)

    def run(
        self,
        on_epoch: OnEpoch | None = None,
        first: int = 0,
        measured: Collection[int] = (),
        wanted: Requirements | None = None,
    ) -> Iterator[Snapshot]:
        """Train for ``epochs`` passes over the training sets and yield scheduled snapshots.

        An epoch t is measured by a step of full-batch gradient descent from weights θ_t. Where the
        weights move by gradient descent this is the step to θ_{t+1}, for t = epochs one step beyond
        the training; where they move by another rule it is taken back, bit for bit.

        Args:
            on_epoch: Called with the number of epochs passed, between two of them: all replicas are
                then at the same epoch, and their state may be kept.
            first: Epochs that the replicas have passed already.
            measured: Scheduled epochs that need no snapshot any more.
            wanted: What the snapshots must hold beyond the usual; None for signs.
        """
        wanted = wanted or Requirements(signs=True)
        schedule = set(self._settings.measured_epochs) - set(measured)
        for rule in self._rules:
            rule.start_at(first)
        with self.stepping() as steps:
            for epoch in range(first, self._settings.epochs + 1):
                if epoch in schedule:
                    yield self._measured_step(epoch, steps, wanted)
                if epoch < self._settings.epochs and (self._rules or epoch not in schedule):
                    steps.take()
                if on_epoch is not None and epoch < self._settings.epochs:
                    on_epoch(epoch + 1)

    @contextmanager
    def stepping(self) -> Iterator[Steps]:
        """Provide the way in which replicas take their steps, in this ensemble's own threads."""
        replicas, lr, plan = self.replicas, self._settings.lr, self._plan
        with self._worker_threads() as each:
            if not self.is_batched:
                yield (
                    RuleSteps(replicas, lr, each, self._rules)
                    if self._rules
                    else Steps(replicas, lr, each)
                )
                return
            stacked = BatchedReplicas(
                plan.model,
                self.parameters,
                [replica.train for replica in replicas],
                plan.task,
                plan.examples.dtype,
                self._together(plan),
                self._threads,
                plan.kernels,
            )
            with closing(stacked):
                yield BatchedSteps(replicas, lr, each, stacked, self.parameters)

    def _measured_step(self, epoch: int, steps: Steps, wanted: Requirements) -> Snapshot:
        """Take one gradient-descent step of every replica, measuring before and after it."""
        moments = _moment_tables(len(self.replicas), self.n_parameters, wanted.signs)
        steps.prepare()
        taken = steps.each(partial(self._measure_replica, moments, steps, wanted))
        changes = [step.test_next.per_sample - step.test.per_sample for step in taken]
        return Snapshot(
            epoch=epoch,
            n=self._settings.n,
            lr=self._settings.lr,
            variance=self._settings.variance,
            resolution=GRADIENT_RESOLUTION[self._settings.dtype],
            gradient_sum=moments["sum"],
            gradient_square_sum=moments["sum_of_squares"],
            positive=moments.get("positive"),
            negative=moments.get("negative"),
            step_sq_norm=torch.stack([step.sq_norm for step in taken]).cpu(),
            train_loss=_vector(step.train.mean for step in taken),
            train_loss_next=_vector(step.train_next.mean for step in taken),
            test_loss=_vector(step.test.mean for step in taken),
            test_loss_next=_vector(step.test_next.mean for step in taken),
            test_loss_change=torch.stack(changes).sum(0).cpu(),
            train_accuracy=_vector(step.train.accuracy for step in taken),
            test_accuracy=_vector(step.test.accuracy for step in taken),
            parameters=self.parameters,
            followed=self.followed,
            probed={name: [step.probed[name] for step in taken] for name in wanted.probes},
            **{name: torch.stack([step.rows[name] for step in taken]) for name in taken[0].rows},
        )

    def _measure_replica(
        self, moments: dict[str, Tensor], steps: Steps, wanted: Requirements, m: int
    ) -> MeasuredStep:
        replica = self.replicas[m]
        with replica.unmoved() if self._rules else nullcontext():
            return self._measured(replica, moments, steps, wanted, m)

    def _measured(
        self,
        replica: Replica,
        moments: dict[str, Tensor],
        steps: Steps,
        wanted: Requirements,
        m: int,
    ) -> MeasuredStep:
        replica.fix_statistics()
        found, train = replica.moments(wanted.signs)
        for kind, table in moments.items():
            table[m] = getattr(found, kind)
        test = replica.losses(self.test)
        probed = {name: probe(replica, self.followed) for name, probe in wanted.probes.items()}
        rows = {"weights": _flat(replica.weights)} if wanted.weights else {}
        gradient = steps.gradient(m)
        replica.descend(gradient, self._settings.lr)
        if wanted.gradient_change:
            rows["step_gradient"] = _flat(gradient)
            rows["next_gradient"] = _flat(replica.gradient())
        replica.fix_statistics()
        return MeasuredStep(
            torch.stack([g.square().sum() for g in gradient]).sum(),
            train,
            replica.losses(replica.train),
            test,
            replica.losses(self.test),
            probed,
            rows,
        )

    @contextmanager
    def _worker_threads(self) -> Iterator[ReplicaMap]:
        """Provide a map over the replicas' numbers, results in their order."""
        numbers = range(len(self.replicas))
        if self._threads == 1:
            yield lambda work: [work(m) for m in numbers]
            return
        with ThreadPoolExecutor(
            self._threads, "replica", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            yield lambda work: list(pool.map(work, numbers))


@dataclass(frozen=True)
class MeasuredStep:
    """‖g‖² of one replica's step, losses around it, and what is wanted beside, by name."""

    sq_norm: Tensor
    train: Losses
    train_next: Losses
    test: Losses
    test_next: Losses
    probed: dict[str, Any]
    rows: dict[str, Tensor]


def _moment_tables(n_replicas: int, n_parameters: int, signs: bool) -> dict[str, Tensor]:
    """Allocate the moments of all replicas, [M, P], filled row by row so that they exist once."""
    dtypes = {"sum": torch.float64, "sum_of_squares": torch.float64}
    if signs:
        dtypes |= {"positive": torch.int32, "negative": torch.int32}
    return {kind: torch.empty(n_replicas, n_parameters, dtype=d) for kind, d in dtypes.items()}


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors]).cpu()


def _vector(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)
