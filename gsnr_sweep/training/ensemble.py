"""M replicas side by side: training, and one snapshot a measured epoch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from threading import Lock
from typing import cast

import torch
from torch import Tensor, nn

from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.engine.autograd import prepare_network
from gsnr_sweep.engine.batched import BatchedReplicas, StackedMiniBatches
from gsnr_sweep.engine.selection import EngineChoice, can_be_batched, may_be_batched
from gsnr_sweep.gradients.parameters import followed_parameters, row_views, trained_parameters
from gsnr_sweep.losses.loss import Task, make_loss
from gsnr_sweep.training.last_look import LastLook
from gsnr_sweep.training.measuring import Measuring
from gsnr_sweep.training.milestones import Milestones
from gsnr_sweep.training.replica import Losses, Replica
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.rules import Rule, draws_random_numbers
from gsnr_sweep.training.settings import RuleSettings, TrainingSettings
from gsnr_sweep.training.snapshot import GRADIENT_RESOLUTION, After, Look, Snapshot
from gsnr_sweep.training.stepping import BatchedSteps, ReplicaMap, RuleSteps, Steps
from gsnr_sweep.training.stopping import Stopping, TrainingLosses

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
            task: What the targets are.
            settings: Learning rate, schedule, loss, dtype and memory budget.
            device: Where to compute.

        Raises:
            GsnrError: The network has no per-sample gradients.
        """
        self._settings, self._pool = settings, sets.pool
        self._threads = 1 if device.type == "cuda" else min(settings.threads or 1, settings.n_sets)
        dtype: torch.dtype = getattr(torch, settings.dtype)
        self._dtype = dtype
        model = prepare_network(model, dtype, device, settings.running_statistics)
        self.parameters = trained_parameters(model)
        self.followed = followed_parameters(self.parameters, settings.followed)
        self.test = sets.test.to(device)
        train = [samples.to(device) for samples in sets.train]
        examples, targets = train[0].batch(0, _EXAMPLES, dtype)
        loss = make_loss(settings.loss, task, device)
        engine, stochastic = settings.engine, settings.may_be_random
        plan = self._plan = EngineChoice.of(model, examples, targets, loss, engine, stochastic)
        self.method, self.chunks = plan.method, plan.chunks(settings.engine)
        self.is_batched = self._can_stack(plan, targets)
        engines = plan.engines(settings.engine, len(train))
        by_optimizer = settings.rule is not None
        others = [train[:m] + train[m + 1 :] for m in range(len(train))]
        parts = zip(engines, train, others, strict=True)
        initial = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.replicas = [
            Replica(engine, own, by_optimizer, rest, initial, self.test)
            for engine, own, rest in parts
        ]
        draws = plan.random or (settings.rule is not None and draws_random_numbers(settings.rule))
        self._mini_batches = self._stacked_mini_batches(settings.rule)
        numbered = enumerate(self.replicas) if settings.rule else ()
        drawing = Lock() if draws else None
        self._rules = [Rule(settings.rule, r, m, drawing) for m, r in numbered if settings.rule]
        losses = TrainingLosses(self.replicas)
        self._stopping, self._milestones = Stopping(settings.stop, losses), Milestones(losses)
        self._last_look = LastLook(len(self.replicas))
        about = (self._rules, self.test, self.followed)
        self._measuring = Measuring(settings, self.replicas, *about)

    def _can_stack(self, plan: EngineChoice, targets: Tensor) -> bool:
        """Say whether all replicas take their steps together."""
        rule = self._settings.rule
        if rule:
            fits = min(rule.batch_size, self._settings.n) <= self.chunks.step
            return fits and may_be_batched(plan.model, plan.examples.is_cuda, by_optimizer=True)
        if plan.normalizes and self._together(plan) < self._settings.n:
            return False
        return can_be_batched(plan.model, self.parameters, plan.examples, targets, plan.loss)

    def _stacked_mini_batches(self, rule: RuleSettings | None) -> StackedMiniBatches | None:
        """Move the replicas' weights to where mini-batches of several are gone through at once."""
        if rule is None or not self.is_batched:
            return None
        train = [replica.train for replica in self.replicas]
        arguments = (self.parameters, train, self._plan.loss, rule.batch_size)
        stacked = StackedMiniBatches(self._plan.model, *arguments)
        for weights, replica in zip(stacked.weights, self.replicas, strict=True):
            row = row_views(weights, self.parameters)
            replica.live_in(row, row)
        return stacked

    def _together(self, plan: EngineChoice) -> int:
        """Samples of each training set in a pass over all replicas; on a CPU groups are small."""
        step = plan.chunks(self._settings.engine).step
        return max(1, step // self._settings.n_sets) if plan.examples.is_cuda else step

    @property
    def steps_an_epoch(self) -> int:
        """Steps of the training rule in a pass over a training set."""
        return self._settings.steps_an_epoch

    @property
    def n_parameters(self) -> int:
        """Number P of trained parameters of one replica."""
        return self.parameters[-1].stop

    def state(self) -> dict[str, Tensor]:
        """Return what training has changed in all replicas, by name; ``load_state`` takes it."""
        own = [replica.state() for replica in self.replicas]
        for state, rule in zip(own, self._rules, strict=False):
            state |= rule.state()
        for m, state in enumerate(own):
            state |= self._milestones.state(m) | self._last_look.state(m)
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
            self._milestones.load_state(m, own)
            self._last_look.load_state(m, own)

    def ends_at(self, epoch: int) -> bool:
        """Tell whether training is over after so many epochs, at the replicas' present weights."""
        # Asked first, for what is measured at the end may move the weights.
        return bool(self._stopping.met_at(epoch)) or epoch >= self._settings.epochs

    def stopped_by(self, epoch: int) -> str:
        """Say what ended the training after so many epochs; empty if no rule was to stop it."""
        if not self._stopping.is_asked:
            return ""
        return self._stopping.met_at(epoch) or "epochs"

    def run(
        self,
        on_epoch: OnEpoch | None = None,
        first: int = 0,
        measured: Collection[float] = (),
        wanted: Requirements | None = None,
    ) -> Iterator[Snapshot]:
        """Train for ``epochs`` passes over the training sets and yield scheduled snapshots.

        An epoch t is measured by a step of full-batch gradient descent from weights θ_t. Where the
        weights move by gradient descent this is the step to θ_{t+1}, for t = epochs one step beyond
        the training; where they move by another rule it is taken back, bit for bit. Where a
        stopping rule is met, training ends, and is measured there.

        Args:
            on_epoch: Called with the number of epochs passed, between two of them: all replicas are
                then at the same epoch, and their state may be kept.
            first: Epochs that the replicas have passed already.
            measured: Scheduled epochs that need no snapshot any more.
            wanted: What the snapshots must hold beyond the usual; None for signs.
        """
        wanted = wanted or Requirements(signs=True)
        settings = self._settings
        schedule = {round(epoch * settings.steps_an_epoch) for epoch in settings.measured_epochs}
        done = {round(epoch * settings.steps_an_epoch) for epoch in measured}
        self._last_look.keep_if_of(done)
        for rule in self._rules:
            rule.start_at(first)
        with self.stepping() as steps:
            for epoch in range(first, settings.epochs + 1):
                step = epoch * settings.steps_an_epoch
                self._milestones.judge(epoch, wanted.milestones)
                ends = self.ends_at(epoch)
                is_due = step in schedule or (ends and self._stopping.is_asked)
                if is_due:
                    yield from self._due(step, ends, steps, wanted, done)
                if ends:
                    break
                yield from self._epoch(step, schedule, steps, wanted, done)
                if on_epoch is not None:
                    on_epoch(epoch + 1)

    def _due(
        self, step: int, is_end: bool, steps: Steps, wanted: Requirements, done: Collection[int]
    ) -> Iterator[Snapshot]:
        """Measure a scheduled step; of one that was measured before, keep what the next needs."""
        if step not in done:
            yield self._measured_step(step, is_end, steps, wanted)
        elif wanted.previous:
            steps.prepare()
            found = steps.each(partial(self._measuring.look, steps))
            self._last_look.note(Look(step, *map(torch.stack, zip(*found, strict=True))))

    def _epoch(
        self,
        first: int,
        schedule: Collection[int],
        steps: Steps,
        wanted: Requirements,
        done: Collection[int],
    ) -> Iterator[Snapshot]:
        """Take the steps of an epoch; measure within it."""
        if not self._rules:
            if first not in schedule or first in done:
                steps.take()  # else the measured step has been taken
            return
        step, last = first, first + self._settings.steps_an_epoch
        for next_step in sorted({s for s in schedule if first < s < last}):
            steps.take(next_step - step)
            step = next_step
            yield from self._due(step, False, steps, wanted, done)
        steps.take(last - step)

    @contextmanager
    def stepping(self) -> Iterator[Steps]:
        """Provide the way in which replicas take their steps, in this ensemble's own threads."""
        replicas, lr, plan = self.replicas, self._settings.lr, self._plan
        with self._worker_threads() as each:
            if self._rules:
                yield RuleSteps(replicas, lr, each, self._rules, self._mini_batches)
                return
            if not self.is_batched:
                yield Steps(replicas, lr, each)
                return
            stacked = BatchedReplicas(
                plan.model,
                self.parameters,
                [replica.train for replica in replicas],
                plan.loss,
                self._dtype,
                self._together(plan),
                self._threads,
                plan.kernels,
            )
            with closing(stacked):
                yield BatchedSteps(replicas, lr, each, stacked, self.parameters)

    def _measured_step(
        self, step: int, is_end: bool, steps: Steps, wanted: Requirements
    ) -> Snapshot:
        """Take one gradient-descent step of every replica, measuring before and after it."""
        wanted = wanted.at(is_end=is_end)
        moments = _moment_tables(len(self.replicas), self.n_parameters, wanted.signs)
        steps.prepare()
        taken = steps.each(partial(self._measuring.measure, moments, steps, wanted))
        after = _after([(each.train_next, each.test_next, each.test) for each in taken])
        rates = [each.preconditioner for each in taken]
        rows = {name: torch.stack([each.rows[name] for each in taken]) for name in taken[0].rows}
        previous = self._last_look.look
        if wanted.previous:
            self._last_look.note(Look(step, rows["weights"], rows["step_gradient"]))
        whole, within = divmod(step, self._settings.steps_an_epoch)
        return Snapshot(
            epoch=step / self._settings.steps_an_epoch if within else whole,
            step=step,
            is_end=is_end,
            n=self._settings.n,
            pool=self._pool,
            lr=self._settings.lr,
            variance=self._settings.variance,
            resolution=GRADIENT_RESOLUTION[self._settings.dtype],
            gradient_sum=moments["sum"],
            gradient_square_sum=moments["sum_of_squares"],
            positive=moments.get("positive"),
            negative=moments.get("negative"),
            step_sq_norm=torch.stack([each.sq_norm for each in taken]).cpu(),
            train_loss=_vector(each.train.mean for each in taken),
            train_loss_next=after.train_loss,
            test_loss=_vector(each.test.mean for each in taken),
            test_loss_next=after.test_loss,
            test_loss_change=after.test_loss_change,
            train_accuracy=_vector(each.train.accuracy for each in taken),
            test_accuracy=_vector(each.test.accuracy for each in taken),
            milestones={
                mark: self._milestones.epochs(mark) * self._settings.steps_an_epoch
                for mark in wanted.milestones
            },
            earlier=(),
            previous=previous,
            parameters=self.parameters,
            followed=self.followed,
            probed={name: [each.probed[name] for each in taken] for name in wanted.probes},
            own={
                name: _after([(*each.own[name], each.test) for each in taken])
                for name in taken[0].own
            },
            preconditioner=None if None in rates else torch.stack(cast(list[Tensor], rates)),
            **rows,
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


def _after(steps: Sequence[tuple[Losses, Losses, Losses]]) -> After:
    """Join the replicas' losses: training set after, test set after, test set before."""
    changes = [test.per_sample - before.per_sample for _, test, before in steps]
    return After(
        _vector(train.mean for train, _, _ in steps),
        _vector(test.mean for _, test, _ in steps),
        torch.stack(changes).sum(0).cpu(),
    )


def _moment_tables(n_replicas: int, n_parameters: int, signs: bool) -> dict[str, Tensor]:
    """Allocate the moments of all replicas, [M, P], filled row by row so that they exist once."""
    dtypes = {"sum": torch.float64, "sum_of_squares": torch.float64}
    if signs:
        dtypes |= {"positive": torch.int32, "negative": torch.int32}
    return {kind: torch.empty(n_replicas, n_parameters, dtype=d) for kind, d in dtypes.items()}


def _vector(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)
