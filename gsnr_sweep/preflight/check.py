"""Every check that can be made before anything is launched or written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gsnr_sweep.config.grid import GridPoint
from gsnr_sweep.config.schema import Config, MeasuresConfig
from gsnr_sweep.config.validation import TRUE_LABELS, problems, randomized
from gsnr_sweep.data.settings import CustomDataConfig, DataConfig, NpzConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.preflight.size_check import check_sets

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec
    from gsnr_sweep.measures.trained_network import NetworkMeasure
    from gsnr_sweep.preflight.model_check import Fit, ModelCost
    from gsnr_sweep.training.requirements import Requirements

T = TypeVar("T")

_MOST_SHOWN = 5
_OWN_PASSES = 3  # losses after own steps, an epoch, and one step of the whole training set


@dataclass(frozen=True)
class CheckedPoint:
    """A grid point that can run.

    Attributes:
        label: The overrides that set it apart.
        overrides: All its overrides but those of Hydra itself.
        cfg: Its typed config.
        n_parameters: Trained parameters of one replica.
        flops: Estimated floating-point operations of the whole run.
        forward_flops: Floating-point operations of one sample's forward pass.
        data: What its data are.
        doubts: What may be unexpected, in words.
    """

    label: str
    overrides: tuple[str, ...]
    cfg: Config
    n_parameters: int
    flops: float
    forward_flops: float
    data: DataSpec | None = None
    doubts: tuple[str, ...] = ()


def check(points: Sequence[GridPoint]) -> list[CheckedPoint]:
    """Check all points of a grid.

    Raises:
        GsnrError: At least one cannot run; the text names every different problem once, with the
            grid point where it was met first.
    """
    checked: list[CheckedPoint] = []
    found: dict[str, list[str]] = {}
    for point, outcome in zip(points, _check_points(points), strict=True):
        if isinstance(outcome, CheckedPoint):
            checked.append(outcome)
        else:
            for problem in outcome:
                found.setdefault(problem, []).append(point.label)
    if found:
        raise GsnrError(_report(found, len(points)))
    return checked


def prepare(points: Sequence[CheckedPoint]) -> None:
    """Fetch the data that the points need, each data set once.

    Raises:
        GsnrError: Some data are not there and cannot be fetched.
    """
    from gsnr_sweep.data.registry import distribution

    alike = (replace(point.cfg.data, confusion=0) for point in points)
    for data in {repr(data): data for data in alike}.values():
        distribution(data).prepare()


def _report(found: dict[str, list[str]], total: int) -> str:
    lines = []
    for problem, labels in list(found.items())[:_MOST_SHOWN]:
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        where = f" (grid point {labels[0]}{more} of {total})" if total > 1 else ""
        lines.append(problem + where)
    if len(found) > _MOST_SHOWN:
        lines.append(f"… and {len(found) - _MOST_SHOWN} further problems.")
    return "\n".join(lines)


def _check_points(points: Sequence[GridPoint]) -> list[CheckedPoint | list[str]]:
    """Check narrow networks first: the first of its kind is tried thoroughly, which takes time."""
    inspections = _Inspections()
    widths = [point.cfg.ch if point.cfg else 0 for point in points]
    narrow_first = sorted(range(len(points)), key=widths.__getitem__)
    outcomes = {i: _check_point(points[i], inspections) for i in narrow_first}
    return [outcomes[i] for i in range(len(points))]


def _check_point(point: GridPoint, inspections: _Inspections) -> CheckedPoint | list[str]:
    """Return the point if it can run, else what is wrong with it."""
    if point.cfg is None:
        return [point.problem]
    wrong = problems(point.cfg)
    if wrong:
        return wrong
    try:
        cost, doubts = _check_with_data(point.cfg, inspections)
    except GsnrError as error:
        return [str(error)]
    return CheckedPoint(
        label=point.label,
        overrides=point.overrides,
        cfg=point.cfg,
        n_parameters=cost.n_parameters,
        flops=cost.forward_flops * sample_passes(point.cfg),
        forward_flops=cost.forward_flops,
        data=inspections.data(point.cfg.data),
        doubts=doubts,
    )


def _check_with_data(cfg: Config, inspections: _Inspections) -> tuple[ModelCost, tuple[str, ...]]:
    """Return what the model costs, and what may be unexpected."""
    spec = inspections.data(cfg.data)
    named = f"data={spec.name}"
    if isinstance(cfg.data, CustomDataConfig):
        named = f"data._target_={cfg.data._target_}"
    for key, limit, pool in (("n", spec.n_train, "training"), ("n_test", spec.n_test, "test")):
        size = getattr(cfg, key)
        if limit is not None and size > limit:
            raise GsnrError(
                f"{key}={size}: {named} has {limit} {pool} samples. Give {key}={limit} or less."
            )
    _check_confusion(cfg, spec, named)
    check_sets(cfg, spec)
    if cfg.p_random > 0 and spec.task == "regression":
        raise GsnrError(
            f"{randomized(cfg)}: {named} is a regression and has no labels to randomize. "
            f"{TRUE_LABELS[cfg.random_labels]}{_noted(spec)}"
        )
    if cfg.stop.train_error is not None and spec.task == "regression":
        raise GsnrError(
            f"stop.train_error={cfg.stop.train_error}: {named} is a regression, which has no "
            "misclassified samples. Give stop.train_loss."
        )
    if spec.task == "classification" and spec.n_outputs < 2:
        raise GsnrError(f"{named} has a single class; at least two are needed.")
    for name in cfg.preset.figures:
        inspections.figure(name)
    for path in cfg.preset.claims:
        inspections.claim(path)
    inspections.device(cfg.device)
    inspections.rule(cfg)
    inspections.measures(cfg.measures)
    cost = inspections.model(cfg, spec)
    if cfg.measures.parameters:
        from gsnr_sweep.gradients.parameters import followed_parameters

        followed_parameters(cost.parameters, cfg.measures.parameters)
    tried = replace(cfg, ch=inspections.width(cfg, spec))
    inspections.network(tried, spec)
    of_tried = inspections.model(tried, spec)
    return cost, spec.doubts + inspections.own_code(tried, spec, of_tried)


def _check_confusion(cfg: Config, spec: DataSpec, named: str) -> None:
    """Refuse a confusion set of samples without labels, or larger than what the n samples leave.

    Raises:
        GsnrError: This is one.
    """
    size, limit = cfg.data.confusion, spec.n_train
    if size and spec.task == "regression":
        raise GsnrError(
            f"data.confusion={size}: {named} is a regression and has no labels to draw at random. "
            f"Leave data.confusion out.{_noted(spec)}"
        )
    if limit is not None and cfg.train_size > limit:
        raise GsnrError(
            f"data.confusion={size}: a training set is n={cfg.n} samples and {size} others, "
            f"{cfg.train_size} in all, and {named} has {limit} training samples. Give "
            f"data.confusion={limit - cfg.n} or less, or a smaller n."
        )


def _noted(spec: DataSpec) -> str:
    return "".join(f" Note: {doubt}" for doubt in spec.doubts)


def _tried_data(cfg: DataConfig) -> DataSpec:
    from gsnr_sweep.data.registry import distribution

    source = distribution(cfg)
    if isinstance(cfg, CustomDataConfig):
        from gsnr_sweep.data.custom import try_draws

        try_draws(cfg)
    elif isinstance(cfg, NpzConfig):
        source.prepare()  # reads the arrays through; fetches nothing
    return source.spec


class _Inspections:
    """Looks at the data, devices, measures and models of a grid, at each different one once."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}
        self._tried: set[Fit] = set()

    def data(self, cfg: DataConfig) -> DataSpec:
        return self._once(repr(cfg), lambda: _tried_data(cfg))

    def device(self, name: str) -> None:
        from gsnr_sweep.runs.device import choose_device

        self._once(("device", name), lambda: choose_device(name))

    def rule(self, cfg: Config) -> None:
        from gsnr_sweep.training.rules import try_rule

        if (rule := cfg.rule) is not None:
            self._once(("rule", repr(rule)), lambda: try_rule(rule))

    def measures(self, cfg: MeasuresConfig) -> None:
        from gsnr_sweep.measures import load_measures

        self._once(repr(cfg), lambda: load_measures(cfg.functions, cfg.of_networks))

    def network(self, cfg: Config, spec: DataSpec) -> None:
        from gsnr_sweep.preflight.measure_check import check_network_measures
        from gsnr_sweep.runs.device import on_one_core

        key = ("network", repr(cfg.model), repr(cfg.measures.functions), spec)
        self._once(key, lambda: on_one_core(check_network_measures, cfg, spec))

    def own_code(self, cfg: Config, spec: DataSpec, cost: ModelCost) -> tuple[str, ...]:
        from gsnr_sweep.preflight.measure_check import own_network, try_measures
        from gsnr_sweep.runs.device import on_one_core

        key = (
            "own measures",
            repr(cfg.measures),
            spec.task,
            own_network(cfg),
            repr(cfg.loss),
            repr(cfg.optim),
        )
        return self._once(key, lambda: on_one_core(try_measures, cfg, spec, cost))

    def figure(self, name: str) -> None:
        from gsnr_sweep.papers.extension import is_dotted, try_figure
        from gsnr_sweep.papers.registry import figure_problem

        if problem := figure_problem(name):
            raise GsnrError(f"preset.figures=[{name}]: {problem}")
        if is_dotted(name):
            self._once(("figure", name), lambda: try_figure(name))

    def claim(self, path: str) -> None:
        from gsnr_sweep.papers.extension import try_claim

        self._once(("claim", path), lambda: try_claim(path))

    def fit(self, cfg: Config, spec: DataSpec) -> Fit:
        from gsnr_sweep.preflight.model_check import Fit

        rule = cfg.rule
        lone = rule is not None and rule.has_lone_sample(cfg.train_size)
        trained = (cfg.dtype, cfg.training.may_be_random, lone, cfg.measures.batch_norm)
        about = (repr(cfg.model), repr(cfg.loss), *trained, repr(cfg.data), spec)
        return self._once(about, lambda: Fit.of(cfg, spec))

    def width(self, cfg: Config, spec: DataSpec) -> int:
        from gsnr_sweep.preflight.model_check import width_to_try

        fit = self.fit(cfg, spec)
        return self._once(("width", fit, cfg.ch), lambda: width_to_try(fit, cfg.ch))

    def model(self, cfg: Config, spec: DataSpec) -> ModelCost:
        from gsnr_sweep.preflight.model_check import cost_of_width, try_model
        from gsnr_sweep.runs.device import on_one_core

        fit = self.fit(cfg, spec)
        look = cost_of_width if fit in self._tried else try_model
        cost = self._once((fit, cfg.ch), lambda: on_one_core(look, fit, cfg.ch))
        self._tried.add(fit)
        return cost

    def _once(self, key: Hashable, look: Callable[[], T]) -> T:
        if key not in self._found:
            try:
                self._found[key] = look()
            except GsnrError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, GsnrError):
            raise GsnrError(str(found))
        return cast(T, found)


def sample_passes(cfg: Config, first: int = 0) -> float:
    """Count passes of a sample through the network, in units of a forward pass.

    Args:
        cfg: A run.
        first: Epochs that it has behind it.
    """
    return sum(passes_by_part(cfg, first).values())


def passes_by_part(cfg: Config, first: int = 0) -> dict[str, float]:
    """Count them apart for ``training``, measured ``steps``, and measures of trained networks.

    Args:
        cfg: A run.
        first: Epochs that it has behind it.
    """
    n = cfg.train_size
    training = 3 * max(cfg.epochs - first, 0) * n
    if cfg.stop.rules:
        training += max(cfg.epochs - first, 0) * n // cfg.n_sets  # mostly one replica is asked
    wanted, of_networks = _asked(cfg.measures)
    a_measurement = (6 + wanted.passes) * n + (2 + wanted.probe_test_passes) * cfg.n_test
    if cfg.rule is not None and wanted.own_steps:
        own_epochs = max(1.0, cfg.measures.own_steps / cfg.rule.steps_an_epoch(n))
        a_measurement += (3 * own_epochs + _OWN_PASSES * 2) * n + _OWN_PASSES * cfg.n_test
    if wanted.milestones and not cfg.stop.rules:
        training += max(cfg.epochs - first, 0) * n
    measured = sum(epoch >= first for epoch in cfg.measured_epochs)
    count, looks = cfg.n_sets * measured, cfg.n_sets * network_looks(cfg, measured)
    return {
        "training": float(cfg.n_sets * training),
        "steps": float(count * a_measurement),
        **{name: looks * cost for name, cost in network_costs(cfg, of_networks).items()},
    }


def network_looks(cfg: Config, measured: int) -> int:
    """Return at how many of so many measured epochs trained networks are measured."""
    return min(measured, 1) if cfg.measures.of_networks.networks_at == "end" else measured


def network_costs(
    cfg: Config, measures: Mapping[str, NetworkMeasure] | None = None
) -> dict[str, float]:
    """Return what each measure of a trained network costs once, in forward passes of a sample."""
    from gsnr_sweep.measures.trained_network import cost_by_measure

    measures = measures or _asked(cfg.measures)[1]
    return cost_by_measure(measures, cfg.measures.of_networks, cfg.train_size)


def _asked(cfg: MeasuresConfig) -> tuple[Requirements, Mapping[str, NetworkMeasure]]:
    return _asked_by(tuple(sorted(cfg.functions.items())))


@lru_cache(maxsize=64)
def _asked_by(
    functions: tuple[tuple[str, str], ...],
) -> tuple[Requirements, Mapping[str, NetworkMeasure]]:
    """Return what measures of steps require, and the measures of trained networks."""
    from gsnr_sweep.measures import load_measures, requirements_of
    from gsnr_sweep.measures.registry import network_measures
    from gsnr_sweep.training.requirements import Requirements

    try:
        loaded = load_measures(dict(functions))
    except GsnrError:  # said elsewhere
        return Requirements(), {}
    of_networks = network_measures(loaded)
    steps = {name: each for name, each in loaded.items() if name not in of_networks}
    return requirements_of(steps), of_networks
