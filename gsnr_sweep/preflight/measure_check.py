"""Networks and measures of the user's own tried on a tiny training before anything is launched.

Two replicas take one step on a few of the run's samples, in the run's dtype, and the next step is
measured. What is wrong with the network, or with a measure's code or its values, ends the launch;
what may be due to so few samples, such as a division by zero, does not.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsnr_sweep.config.schema import Config, RuleConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import load_measures, requirements_of
from gsnr_sweep.measures.registry import Measure, checked_values, network_measures
from gsnr_sweep.measures.requires import NotRequiredError
from gsnr_sweep.measures.trained_network import check_network
from gsnr_sweep.models.build import build_model, describe_model
from gsnr_sweep.models.mlp import MLP
from gsnr_sweep.preflight.examples import example_sets, examples, without_confusion
from gsnr_sweep.preflight.global_state import unchanged_global_state
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.replica import Replica
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.snapshot import Snapshot
from gsnr_sweep.user_code import UserCodeError, call, is_ours

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec
    from gsnr_sweep.measures.registry import Value
    from gsnr_sweep.preflight.model_check import ModelCost

_REPLICAS, _SAMPLES, _TEST_SAMPLES = 2, 8, 64
# A network beyond these takes longer than half a second, so that a small one stands in for it.
_MOST_WEIGHTS, _MOST_FLOPS = 200_000, 20e6
_STAND_IN_WIDTH = 4
_SLOW_S = 2.0
_MOST_REMEMBERED = 64  # a launcher checks the points of its sweep again

# What a measure may raise on a few samples and not on many, and what it cannot owe to another
# network's layers.
_OF_FEW_SAMPLES = (ArithmeticError, ValueError, IndexError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
_OF_ANY_NETWORK = (NameError, TypeError, AttributeError, ImportError, NotRequiredError)


def try_measures(cfg: Config, spec: DataSpec, cost: ModelCost) -> tuple[str, ...]:
    """Train a network that is not in the package a little; apply measures that are not, either.

    Each set of measures is tried once for a classification and once for a regression, and once for
    each network of the user's own.

    Args:
        cfg: A run that is to make them.
        spec: Its data.
        cost: Of its network.

    Returns:
        What is doubtful: values that are not finite, and measures that take long.

    Raises:
        GsnrError: The network cannot be trained; a measure fails, returns something else than
            values by metric name, or changes what is not its own; or two of them return the same
            metric.
    """
    functions, network = cfg.measures.functions, own_network(cfg)
    if not network and all(map(is_ours, functions.values())):
        return ()
    loaded = load_measures(functions, cfg.measures.of_networks.for_trial())
    measures = tuple(_Measure(name, functions[name], found) for name, found in loaded.items())
    cheap = cost.n_parameters <= _MOST_WEIGHTS and cost.forward_flops <= _MOST_FLOPS
    training = repr((cfg.loss, cfg.optim, cfg.measures.batch_norm))
    about, wanted = (spec.task, training, network), requirements_of(loaded)
    trial = _Trial(measures, *about, wanted, cfg, spec, cheap)
    problem, doubts = _outcome_of(trial)
    if problem:
        raise GsnrError(problem)
    return doubts


def check_network_measures(cfg: Config, spec: DataSpec) -> None:
    """Refuse a network that a measure of trained networks is not defined for.

    Raises:
        GsnrError: There is such a measure.
    """
    wanted = network_measures(load_measures(cfg.measures.functions, cfg.measures.of_networks))
    if not wanted:
        return
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0).eval()
    x, _ = examples(cfg, spec, 1)
    example = x.double() if x.is_floating_point() else x
    check_network(wanted, model.double(), example, spec.task)


def own_network(cfg: Config) -> str:
    """Return what a network of the user's own is tried with, widths apart; empty for ours."""
    if is_ours(cfg.model._target_):
        return ""
    return repr((cfg.model, cfg.data, cfg.dtype))


class _Measure:
    """A measure and what the config calls it; the same one only if it is the same function."""

    def __init__(self, name: str, path: str, function: Measure) -> None:
        self.where = f"measures.functions.{name}={path}"
        self.is_own = not is_ours(path)
        self.function = function

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Measure):
            return NotImplemented
        return self.where == other.where and self.function is other.function

    def __hash__(self) -> int:
        return hash(self.where)

    def apply(
        self, trial: _Trial, snapshot: Snapshot, failed: dict[str, UserCodeError]
    ) -> Mapping[str, Value]:
        """Apply it as a run does and return its values; none if it may fail here.

        Raises:
            GsnrError: It fails as it would in a run, or returns something else.
        """
        try:
            if error := failed.get(getattr(self.function, "__name__", "")):
                raise error
            with unchanged_global_state(self.where):
                returned = call(self.where, self.function, snapshot)
        except UserCodeError as error:
            if (self.is_own or trial.network) and _is_its_own(error.__cause__, trial.own_network):
                told = _describe(error, snapshot)
                raise GsnrError(f"{self.where}: it fails on a tiny training ({told}).") from None
            return {}
        return checked_values(self.where, returned)

    def doubts(self, values: Mapping[str, Value], seconds: float) -> Iterator[str]:
        """Say what refuses no measure and may be unexpected."""
        if undefined := [name for name, value in values.items() if not _is_finite(value)]:
            yield (
                f"{self.where}: on a tiny training {', '.join(undefined)} is not finite; a run "
                "notes such values and leaves them out of tables"
            )
        if seconds > _SLOW_S:
            yield f"{self.where}: it takes {seconds:.0f} s on a tiny training"


@dataclass(frozen=True)
class _Trial:
    """Measures and a kind of data; may be a key, for which any run of that kind stands for all.

    Attributes:
        measures: All of a run, those of the package included.
        task: Of the data.
        training: Loss and rule of the run, written out.
        network: As `own_network` says.
        wanted: What the measures require.
        cfg: The run.
        spec: Its data.
        own_network: Whether the run's own network is small enough.
    """

    measures: tuple[_Measure, ...]
    task: str
    training: str
    network: str
    wanted: Requirements = field(compare=False)
    cfg: Config = field(compare=False)
    spec: DataSpec = field(compare=False)
    own_network: bool = field(compare=False)

    def snapshot(self, failed: dict[str, UserCodeError]) -> Snapshot:
        """Train and measure; probes that fail are entered by name."""
        cfg, spec = self.cfg, self.spec
        if self.own_network:
            model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed=0)
            followed = cfg.measures.parameters
        else:
            model, followed = MLP(_STAND_IN_WIDTH, spec.input_shape, spec.n_outputs), []
        sets = example_sets(cfg, spec, _SAMPLES, _TEST_SAMPLES, _REPLICAS)
        tiny = replace(
            without_confusion(cfg), n=len(sets.train[0]), n_test=len(sets.test), n_sets=_REPLICAS
        )
        epochs = min(cfg.epochs, 1)
        tiny = replace(tiny, epochs=epochs, measure_at=[epochs], threads=1)
        if isinstance(cfg.optim, RuleConfig):  # several steps, none of them on a lone sample
            batch_size = min(cfg.optim.batch_size, len(sets.train[0]) // 2)
            tiny = replace(tiny, optim=replace(cfg.optim, batch_size=batch_size))
        tiny = replace(tiny, measures=replace(cfg.measures, parameters=followed))
        probes = {n: _noting(n, probe, failed) for n, probe in self.wanted.probes.items()}
        ensemble = Ensemble(model, sets, spec.task, tiny.training, torch.device("cpu"))
        return next(ensemble.run(wanted=replace(self.wanted, probes=probes)))


def _noting(
    name: str, probe: Callable[..., Any], failed: dict[str, UserCodeError]
) -> Callable[..., Any]:
    def look(replica: Replica, *arguments: Any) -> Any:
        where = f"the probe of measure {name}"
        before = _tensors(replica.model.state_dict())
        try:
            with unchanged_global_state(where):
                probed = call(where, probe, replica, *arguments)
            if _changed(before, replica.model.state_dict()):
                raise UserCodeError("its probe changes the replica's weights")
        except GsnrError as error:
            failed[name] = error if isinstance(error, UserCodeError) else UserCodeError(str(error))
            return None
        return probed

    return look


@lru_cache(maxsize=_MOST_REMEMBERED)
def _outcome_of(trial: _Trial) -> tuple[str, tuple[str, ...]]:
    """Return what is wrong with the network or the measures, empty for nothing, and doubts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few samples much is undefined
        try:
            return "", tuple(_doubts(trial))
        except GsnrError as error:
            return str(error), ()


def _doubts(trial: _Trial) -> Iterator[str]:
    """Train and measure.

    Raises:
        GsnrError: Something is wrong.
    """
    failed: dict[str, UserCodeError] = {}
    model = describe_model(trial.cfg.model)
    try:
        snapshot = call(model, trial.snapshot, failed)
    except UserCodeError as error:
        if trial.network and trial.own_network:
            raise GsnrError(f"{model}: a tiny training of it fails ({error}).") from None
        return  # no fault of a measure's: the run will say
    owners: dict[str, _Measure] = {}
    for measure in trial.measures:
        before, started = _tensors(vars(snapshot)), time.perf_counter()
        values = measure.apply(trial, snapshot, failed)
        if measure.is_own:
            yield from measure.doubts(values, time.perf_counter() - started)
        if changed := _changed(before, vars(snapshot)):
            raise GsnrError(
                f"{measure.where}: it changes the snapshot's {', '.join(changed)}, which other "
                "measures read. Let it change a clone()."
            )
        for metric in values:
            first = owners.setdefault(metric, measure)
            if first is not measure:
                mine, its = (measure, first) if measure.is_own else (first, measure)
                raise GsnrError(
                    f"{mine.where}: metric {metric!r} is one of {its.where} too. Rename it."
                )


def _is_finite(value: Value) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(math.isfinite(one) for one in values)


def _tensors(values: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in values.items() if isinstance(value, Tensor)}


def _changed(before: Mapping[str, Tensor], values: Mapping[str, Any]) -> list[str]:
    """Name the tensors that are not what they were."""
    return [
        name
        for name, old in before.items()
        if old.shape != values[name].shape
        or not torch.allclose(old, values[name], 0, 0, equal_nan=True)
    ]


def _is_its_own(error: BaseException | None, own_network: bool) -> bool:
    """Tell whether a measure would fail in a run too, as far as can be said."""
    if error is None or isinstance(error, NotRequiredError) or not isinstance(error, Exception):
        return True
    if isinstance(error, StopIteration | RecursionError | MemoryError):
        return True
    if isinstance(error, _OF_FEW_SAMPLES) or "out of range" in str(error):
        return False
    return own_network or (isinstance(error, _OF_ANY_NETWORK) and "NoneType" not in str(error))


def _describe(error: UserCodeError, snapshot: Snapshot) -> str:
    """Say what was raised, and how to ask for what the snapshot does not hold."""
    told = str(error)
    asked = {"signs": "positive", "weights": "weights", "gradient_change": "next_gradient"}
    absent = [option for option, name in asked.items() if getattr(snapshot, name) is None]
    if "NoneType" not in told or not absent:
        return told
    options = " or ".join(f"@requires({option}=True)" for option in absent)
    return f"{told}; what costs extra time is None unless it is asked for by {options}"
