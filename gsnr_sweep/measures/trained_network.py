"""Measures of a trained network with its training set, beside those of a step of M replicas."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.batchnorm import with_ordinary_batchnorm
from gsnr_sweep.measures.complexity.folding import folded
from gsnr_sweep.measures.complexity.margin import margins
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.undefined import Undefined
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.user_code import UserCodeError, call

if TYPE_CHECKING:
    from gsnr_sweep.data.samples import Samples
    from gsnr_sweep.gradients.parameters import Parameter
    from gsnr_sweep.losses.loss import Loss
    from gsnr_sweep.training.replica import Replica
    from gsnr_sweep.training.snapshot import Snapshot

    Value = float | list[float]
    Values = Mapping[str, Value]

NO_START = "the initial weights are not known"
NOT_FOLDED = "with batch normalization folded there are no initial weights to compare with"
_BatchNorm = nn.modules.batchnorm._BatchNorm
PROBE = "trained network"
"""Under which name a snapshot holds what was found of each replica, by measure."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode and the samples that it was trained on.

    Attributes:
        model: A copy that no training sees, with ``torch.nn`` batch normalization whose running
            statistics are those that the network is measured with.
        samples: The training set, or its clean part.
        loss: Of each sample.
        settings: Of the measures.
        chunk_size: Samples in a pass through the network.
        initial: The weights before training, by parameter name.
    """

    model: nn.Module
    samples: Samples
    loss: Loss
    settings: ComplexityConfig
    chunk_size: int
    initial: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, replica: Replica, settings: ComplexityConfig) -> TrainedNetwork:
        """Copy a replica's network as it is now."""
        model = with_ordinary_batchnorm(copy.deepcopy(replica.model)).eval()
        chunk_size = replica.engine.chunks.losses
        samples = replica.train.clean_part if settings.on == "clean" else replica.train
        return cls(model, samples, replica.loss, settings, chunk_size, replica.initial)

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's weights and activations."""
        return next(self.model.parameters()).dtype

    @property
    def example(self) -> Tensor:
        """[1, ...] one standardized input, float64 unless it is a token."""
        return self.samples.batch(0, 1, torch.float64)[0]

    @cached_property
    def folded(self) -> nn.Module:
        """The same function without batch normalization, in the network's dtype."""
        return folded(self.model, self.example, dtype=self.dtype).eval()

    @property
    def normalizes(self) -> bool:
        """Whether the network has batch normalization."""
        return any(isinstance(module, _BatchNorm) for module in self.model.modules())

    @cached_property
    def outputs(self) -> Tensor:
        """[N, outputs] f(x_i) of the samples, float64."""
        with torch.no_grad():
            chunks = self.samples.chunks(self.chunk_size, self.dtype)
            return torch.cat([self.model(x).double() for x, _ in chunks])

    @cached_property
    def margins(self) -> Tensor:
        """[N] f(x_i)[y_i] − max_{k≠y_i} f(x_i)[k]."""
        return margins(self.outputs, self.samples.y)


Function = Callable[[TrainedNetwork], "Values"]
Cost = Callable[[ComplexityConfig], "PassCounts"]


@dataclass(frozen=True)
class PassCounts:
    """What a measure costs, in forward passes of one sample.

    Attributes:
        by_sample: For each sample of the training set.
        fixed: Beside them, whatever its size.
    """

    by_sample: float = 0.0
    fixed: float = 0.0


@dataclass(frozen=True, eq=False)
class NetworkMeasure:
    """A measure of a trained network.

    Attributes:
        function: From a network to its values by metric name.
        cost: Of it, by settings.
        check: Raises a GsnrError for a network that it is not defined for, given a copy of the
            network and one input.
    """

    function: Function
    cost: Cost
    check: Callable[[nn.Module, Tensor], object] | None

    def __call__(self, network: TrainedNetwork) -> Values:
        """Measure a network."""
        return self.function(network)


def of_network(
    *,
    passes: Cost = lambda _: PassCounts(1.0),
    check: Callable[[nn.Module, Tensor], object] | None = None,
) -> Callable[[Function], NetworkMeasure]:
    """Mark a function of a `TrainedNetwork` as a measure, as a decorator.

    A run of M replicas calls it for each of them and records the mean of each value, with
    ``NAME_se``, its standard error over the replicas, for M ≥ 2. A value that is `Undefined` for
    one of them is undefined for the run.

    Args:
        passes: What it costs, by settings, for estimates.
        check: Raises a GsnrError for a network that the measure is not defined for, before anything
            is trained.
    """
    return lambda function: NetworkMeasure(function, passes, check)


@dataclass(frozen=True, eq=False)
class Look:
    """Applies all measures of trained networks of a run to one replica.

    Attributes:
        measures: By the name that the config gives them.
        settings: Of the measures.
    """

    measures: Mapping[str, NetworkMeasure]
    settings: ComplexityConfig

    def __call__(
        self, replica: Replica, followed: tuple[Parameter, ...]
    ) -> dict[str, Values | UserCodeError]:
        """Return each measure's values, or what it raised."""
        del followed
        network = TrainedNetwork.of(replica, self.settings)
        found: dict[str, Values | UserCodeError] = {}
        for name, measure in self.measures.items():
            try:
                found[name] = call(f"measures.functions.{name}", measure, network)
            except UserCodeError as error:
                found[name] = error
        return found

    def bound(self, name: str) -> OfReplicas:
        """Return one of the measures as one of a snapshot."""
        at_end = frozenset({PROBE} if self.settings.networks_at == "end" else ())
        requirements = Requirements(probes={PROBE: self}, at_end=at_end)
        return OfReplicas(name, self.measures[name], requirements)


@dataclass(frozen=True, eq=False)
class OfReplicas:
    """A measure of a trained network, joined over the M replicas of a snapshot.

    Attributes:
        name: As the config calls it.
        measure: Of one network.
        requirements: What the snapshot must hold.
    """

    name: str
    measure: NetworkMeasure
    requirements: Requirements

    def __call__(self, snapshot: Snapshot) -> dict[str, Value]:
        """Return means over the replicas, and their standard errors; nothing if not measured."""
        if PROBE not in snapshot.probed:
            return {}
        return joined(list(self._found(snapshot)))

    def _found(self, snapshot: Snapshot) -> Iterator[Values]:
        for by_measure in snapshot.probed[PROBE]:
            found = by_measure[self.name]
            if isinstance(found, UserCodeError):
                raise found
            yield found


def joined(found: Sequence[Values]) -> dict[str, Value]:
    """Join the values of M networks.

    Args:
        found: M dictionaries of the same names; lists of one name have the same length.

    Returns:
        Means, of lists item by item; for M ≥ 2 also ``NAME_se``, the standard errors of the means
        of numbers. What is undefined for one network is undefined with its reason.
    """
    values: dict[str, Value] = {}
    for name in found[0]:
        own = [each[name] for each in found]
        if len(own) == 1:
            values[name] = own[0]
        elif isinstance(own[0], list):
            values[name] = torch.tensor(own, dtype=torch.float64).mean(0).tolist()
        else:
            values |= _mean_and_error(name, own)
    return values


def _mean_and_error(name: str, own: Sequence[Any]) -> dict[str, float]:
    undefined = [value for value in own if isinstance(value, Undefined)]
    if undefined:
        reason = f"in {len(undefined)} of {len(own)} replicas {undefined[0].reason}"
        return {name: Undefined(reason)}
    numbers = torch.tensor([float(value) for value in own], dtype=torch.float64)
    error = float(numbers.std()) / math.sqrt(len(own))
    return {name: float(numbers.mean()), f"{name}_se": error}


def cost_by_measure(
    measures: Mapping[str, NetworkMeasure], settings: ComplexityConfig, n: int
) -> dict[str, float]:
    """Return what each measure costs with n training samples, in forward passes of a sample."""
    costs = {name: measure.cost(settings) for name, measure in measures.items()}
    return {name: cost.by_sample * n + cost.fixed for name, cost in costs.items()}


def check_network(
    measures: Mapping[str, NetworkMeasure], model: nn.Module, example: Tensor, task: str
) -> None:
    """Refuse a network that one of the measures is not defined for.

    Args:
        measures: By name.
        model: A copy of the network.
        example: [1, ...] one input.
        task: Of the data.

    Raises:
        GsnrError: There is such a measure.
    """
    for name, measure in measures.items():
        where = f"measures.functions.{name}"
        if task == "regression":
            raise GsnrError(
                f"{where}: margins and what is divided by them need class labels, but these data "
                "are a regression. Leave it out (measures=paper has none of these), or choose data "
                "with labels."
            )
        if measure.check is None:
            continue
        try:
            call(where, measure.check, model, example)
        except GsnrError as error:
            raise GsnrError(f"{where}: {error}") from None
