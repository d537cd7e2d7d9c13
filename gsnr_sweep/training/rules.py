"""Rules by which weights move in an epoch: optimizers of PyTorch on shuffled mini-batches.

Full-batch gradient descent, the rule of the first paper, needs none of this: see
`gsnr_sweep.training.stepping`.
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import (
    Stream,
    epoch_generator,
    global_generators_restored,
    global_generators_seeded,
    global_generators_state,
)
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.training.preconditioner import preconditioner
from gsnr_sweep.training.replica import NO_PARAMETER, Replica
from gsnr_sweep.training.settings import RuleSettings
from gsnr_sweep.user_code import UserCodeError, call, load

SCHEDULES = {
    "constant": "",
    "cosine": "torch.optim.lr_scheduler.CosineAnnealingLR",
    "step": "torch.optim.lr_scheduler.StepLR",
}
"""Schedules of the learning rate by name; any other is a dotted path."""
OPTIMIZER = f"{NO_PARAMETER}optimizer/"
"""What names of an optimizer's own state begin with; no parameter is called so."""
_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""They go over the weights once a step if they are asked to, on any device."""
_NUMBER = "number."
_ONE_AT_A_TIME = Lock()


class Rule:
    """How one replica's weights move: an optimizer, a schedule, mini-batches in a seeded order.

    The optimizer works on the network's own weights. The order of the samples in epoch e of replica
    m follows from the run's seed, m and e alone, and what the network draws at random in step k
    (dropout) from the seed, m and k.

    Attributes:
        optimizer: As it is at present.
    """

    def __init__(
        self, settings: RuleSettings, replica: Replica, number: int, drawing: Lock | None
    ) -> None:
        """Make the optimizer.

        Args:
            settings: What the config says.
            replica: Whose weights move.
            number: m, the replica's number.
            drawing: Held in a step where network or optimizer draw random numbers, which are the
                whole process's; None if neither does.

        Raises:
            GsnrError: Optimizer or schedule cannot be made.
        """
        self._settings, self._replica, self._number = settings, replica, number
        self._drawing = drawing
        self._steps_an_epoch = settings.steps_an_epoch(len(replica.train))
        self.optimizer, self._schedule = make_optimizer(settings, replica.weights)
        self._step = self._rates = 0
        self._order: tuple[int, Sequence[Tensor]] = (-1, ())

    @property
    def weights(self) -> list[Tensor]:
        """What moves: one tensor a trained parameter."""
        return self._replica.weights

    def start_at(self, epoch: int) -> None:
        """Go on after so many epochs: the schedule is put where they have brought it."""
        state = self.optimizer.state
        self.optimizer, self._schedule = make_optimizer(self._settings, self.weights)
        self.optimizer.state = state
        self._step, self._rates = epoch * self._steps_an_epoch, 0

    def take(self, steps: int) -> None:
        """Take so many steps, each along the gradient of the next mini-batch."""
        for _ in range(steps):
            batch = self._chosen(self.next_batch())
            with self._generators():
                self._move(self._replica.training_gradient(batch))

    def next_batch(self) -> Tensor:
        """Return the places of the next mini-batch's samples in the training set."""
        epoch, number = divmod(self._step, self._steps_an_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._batches(epoch))
        return self._order[1][number]

    def step_along(self, gradient: Sequence[Tensor]) -> None:
        """Take a step along the gradient of the next mini-batch, one tensor a parameter."""
        with self._generators():
            self._move(gradient)

    @property
    def moves_each_weight_by_itself(self) -> bool:
        """Whether a weight's step follows from its own gradients alone, by an optimizer known."""
        own = self._drawing is None and self._settings.clip_norm is None
        return own and type(self.optimizer) in _FUSED

    def optimizer_of(self, weights: Sequence[Tensor]) -> Optimizer:
        """Make another optimizer of the same settings."""
        return make_optimizer(self._settings, weights)[0]

    def begin_step(self) -> None:
        """Bring the learning rate to that of the next step; beyond the training the last is held.

        It is brought there only when the epoch's first step is taken: a schedule may have no rate
        for an epoch that does not come.
        """
        due = min(self._step // self._steps_an_epoch, self._settings.epochs - 1)
        if self._schedule is None or self._rates >= due:
            return
        # No optimizer has taken a step before these. Filters of warnings are the process's: of
        # two replicas' threads here at once, the later to leave would bring the earlier's back.
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            while self._rates < due:
                call(self._settings.where_schedule, self._schedule.step)
                self._rates += 1

    def end_step(self) -> None:
        """Note that a step has been taken."""
        self._step += 1

    @contextmanager
    def excursion(self) -> Iterator[None]:
        """Put weights, optimizer, schedule and order back to where they are now at the end."""
        state, step = self.optimizer.state, self._step
        kept: defaultdict[Tensor, Any] = defaultdict(dict)
        for weight, remembered in state.items():
            kept[weight] = {
                name: value.clone() if isinstance(value, Tensor) else value
                for name, value in remembered.items()
            }
        with self._replica.unmoved():
            try:
                yield
            finally:
                self.optimizer.state = kept
                self.start_at(step // self._steps_an_epoch)
                self._step = step

    def preconditioner(self, gradient: Sequence[Tensor]) -> Tensor | None:
        """Return p of the step u_j = p_j g_j that the rule takes along a steady gradient.

        Args:
            gradient: g, one tensor a parameter.

        Returns:
            [P] or, where all are the same, [1], float64; None where it is not known.
        """
        self.begin_step()
        return preconditioner(self.optimizer, self.weights, gradient)

    def _batches(self, epoch: int) -> Sequence[Tensor]:
        """Return the places of the samples of each mini-batch of an epoch."""
        place = (self._settings.seed, Stream.BATCH_ORDER, self._number, epoch)
        order = torch.from_numpy(epoch_generator(*place).permutation(len(self._replica.train)))
        there = order.to(self._replica.train.x.device)
        return torch.split(there, self._settings.batch_size)

    def _chosen(self, places: Tensor) -> Samples:
        train = self._replica.train
        return Samples(train.x[places], train.y[places], train.standardization)

    @contextmanager
    def _generators(self) -> Iterator[None]:
        if self._drawing is None:
            yield
            return
        place = (self._settings.seed, Stream.TRAINING_NOISE, self._number, self._step)
        with self._drawing, global_generators_seeded(*place, self._replica.train.x.device):
            yield

    def _move(self, gradient: Sequence[Tensor]) -> None:
        self.begin_step()
        with gradients_of(self.weights, gradient):
            if self._settings.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.weights, self._settings.clip_norm)
            call(self._settings.where, self.optimizer.step)
        self.end_step()

    def state(self) -> dict[str, Tensor]:
        """Return what the optimizer remembers of each parameter, by name.

        Raises:
            GsnrError: It remembers something that is neither tensor nor number.
        """
        return _remembered(self._settings.where, self.optimizer, self.weights)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned earlier; other entries are left alone."""
        for name, value in state.items():
            if not name.startswith(OPTIMIZER):
                continue
            index, _, key = name.removeprefix(OPTIMIZER).partition(".")
            weight = self.weights[int(index)]
            own = self.optimizer.state[weight]
            if key.startswith(_NUMBER):
                own[key.removeprefix(_NUMBER)] = float(value)
            else:  # what is of each weight lies beside it; counts of steps stay in the CPU's memory
                of_weights = value.shape == weight.shape and value.dim() > 0
                own[key] = _laid_out_as(weight, value.clone()) if of_weights else value.clone()


@contextmanager
def gradients_of(weights: Sequence[Tensor], gradient: Iterable[Tensor]) -> Iterator[None]:
    """Let weights have their gradients for an optimizer's step."""
    for weight, part in zip(weights, gradient, strict=True):
        weight.grad = _laid_out_as(weight, part)
    yield
    for weight in weights:
        weight.grad = None


def _laid_out_as(weight: Tensor, values: Tensor) -> Tensor:
    """Return values in the order in which a weight lies in memory, and beside it.

    Fused optimizers go over memory as it lies, kernels are kept with channels last, and neither
    PyTorch's gradients nor what was read from a file need be.
    """
    if values.stride() == weight.stride() and values.device == weight.device:
        return values
    return torch.empty_like(weight, dtype=values.dtype).copy_(values)


def _remembered(where: str, optimizer: Optimizer, weights: Sequence[Tensor]) -> dict[str, Tensor]:
    found = {}
    for index, weight in enumerate(weights):
        for name, value in optimizer.state.get(weight, {}).items():
            if isinstance(value, Tensor):
                found[f"{OPTIMIZER}{index}.{name}"] = value
            elif isinstance(value, int | float):
                number = torch.tensor(value, dtype=torch.float64)
                found[f"{OPTIMIZER}{index}.{_NUMBER}{name}"] = number
            elif value is not None:
                raise GsnrError(
                    f"{where}: it remembers {name}, a {type(value).__name__}, which no checkpoint "
                    "holds. Use an optimizer that remembers tensors and numbers."
                )
    return found


def make_optimizer(
    settings: RuleSettings, weights: Sequence[Tensor]
) -> tuple[Optimizer, LRScheduler | None]:
    """Make an optimizer of some weights and the schedule of its learning rate.

    Raises:
        GsnrError: One of them is none, or does not take the arguments.
    """
    where, advice = settings.where, "Give the class of an optimizer, such as torch.optim.SGD."
    cls = load(where, settings.optimizer, advice)
    if not (isinstance(cls, type) and issubclass(cls, Optimizer)):
        raise GsnrError(f"{where}: this is no torch.optim.Optimizer. {advice}")
    closure = inspect.signature(cls.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise GsnrError(
            f"{where}: this optimizer asks for the loss several times a step (a closure), which "
            f"mini-batches do not give it. {advice}"
        )
    args = {"lr": settings.lr, **settings.args}
    one_pass = cls in _FUSED and not args.keys() & {"fused", "foreach", "differentiable"}
    make = partial(cast(Any, cls), fused=True) if one_pass else cls
    optimizer = _made(where, "optim.args", make, (weights,), args)
    path = SCHEDULES.get(settings.schedule, settings.schedule)
    if not path:
        return optimizer, None
    where = settings.where_schedule
    advice = f"Give one of {', '.join(SCHEDULES)}, or a class of torch.optim.lr_scheduler."
    cls = load(where, path, advice)
    is_schedule = isinstance(cls, type) and issubclass(cls, LRScheduler)
    if not is_schedule or cls is ReduceLROnPlateau:
        raise GsnrError(f"{where}: this is no schedule that follows from the epoch alone. {advice}")
    arguments = settings.schedule_args
    return optimizer, _made(where, "optim.schedule_args", cls, (optimizer,), arguments)


def _made(where: str, key: str, cls: Any, first: Sequence[Any], args: Mapping[str, Any]) -> Any:
    try:
        return call(where, cls, *first, **args)
    except UserCodeError as error:
        taken = [n for n in inspect.signature(cls).parameters if n not in ("params", "optimizer")]
        given = ", ".join(f"{name}={value}" for name, value in args.items()) or "no arguments"
        raise GsnrError(
            f"{where}: it cannot be made ({error}). It was given {given}; {key} may hold "
            f"{', '.join(taken)}."
        ) from None


def try_rule(settings: RuleSettings) -> None:
    """Take a step with an optimizer and its schedule.

    Raises:
        GsnrError: It fails, or keeps what no checkpoint could hold.
    """
    weight = torch.ones(3, dtype=torch.float64)
    optimizer, schedule = make_optimizer(settings, [weight])
    weight.grad = torch.ones_like(weight)
    before, own = _in_groups(optimizer), _own_attributes(optimizer)
    try:
        call(settings.where, optimizer.step)
        lost = [f"{name} in its param_groups" for name, _ in _in_groups(optimizer) - before]
        lost += [f"its attribute {name}" for name, _ in _own_attributes(optimizer) - own]
        lost += [f"{key!r} in its state" for key in optimizer.state if key is not weight]
        if schedule is not None and settings.epochs > 1:
            call(settings.where_schedule, schedule.step)
    except UserCodeError as error:
        raise GsnrError(f"{settings.where}: a step with it fails ({error}).") from None
    if lost:
        raise GsnrError(
            f"{settings.where}: a step changes {min(lost)}, which no checkpoint holds. Use an "
            "optimizer that keeps what it remembers of each parameter in its state."
        )
    _remembered(settings.where, optimizer, [weight])


def draws_random_numbers(settings: RuleSettings) -> bool:
    """Tell whether an optimizer's step draws random numbers."""
    if settings.optimizer.startswith("torch.optim."):
        return False
    weight = torch.ones(3, dtype=torch.float64)
    optimizer, _ = make_optimizer(settings, [weight])
    weight.grad = torch.ones_like(weight)
    with global_generators_restored():
        before = global_generators_state()
        call(settings.where, optimizer.step)
        return global_generators_state() != before


def _own_attributes(optimizer: Optimizer) -> set[tuple[str, str]]:
    """Return what an optimizer has beside what PyTorch gives every one, to be compared."""
    plain = torch.optim.SGD([torch.zeros(1)], fused=True)
    usual = vars(plain).keys() | {"step", "_opt_called"}
    return {(name, repr(value)) for name, value in vars(optimizer).items() if name not in usual}


def _in_groups(optimizer: Optimizer) -> set[tuple[str, str]]:
    """Return the options of an optimizer's groups of parameters, to be compared."""
    groups = optimizer.param_groups
    return {
        (name, repr(value)) for group in groups for name, value in group.items() if name != "params"
    }
