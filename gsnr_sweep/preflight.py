"""Every check that can be made before anything is launched or written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from gsnr_sweep import config
from gsnr_sweep.config import Config, DataConfig, ModelConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.grid import GridPoint
from gsnr_sweep.locate import reason

_MOST_SHOWN = 5


@dataclass(frozen=True)
class CheckedPoint:
    """A grid point that can run.

    Attributes:
        label: The overrides that set it apart.
        cfg: Its typed config.
        n_parameters: Trained parameters of one replica.
        flops: Estimated floating-point operations of the whole run.
    """

    label: str
    cfg: Config
    n_parameters: int
    flops: float


def check(points: Sequence[GridPoint]) -> list[CheckedPoint]:
    """Check all points of a grid.

    Raises:
        GsnrError: At least one cannot run; the text names every different problem once, with the
            grid point where it was met first.
    """
    checked: list[CheckedPoint] = []
    found: dict[str, list[str]] = {}
    for point in points:
        try:
            cfg = config.from_omegaconf(point.cfg)
            wrong = config.problems(cfg)
            if not wrong:
                checked.append(_check_with_data(point.label, cfg))
        except GsnrError as error:
            wrong = [str(error)]
        for problem in wrong:
            found.setdefault(problem, []).append(point.label)
    if found:
        raise GsnrError(_report(found, len(points)))
    return checked


def prepare(points: Sequence[CheckedPoint]) -> None:
    """Fetch the data that the points need, each data set once.

    Raises:
        GsnrError: Some data are not there and cannot be fetched.
    """
    from gsnr_sweep.data import distribution

    for data in {_key(point.cfg.data): point.cfg.data for point in points}.values():
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


def _check_with_data(label: str, cfg: Config) -> CheckedPoint:
    from gsnr_sweep.data import distribution
    from gsnr_sweep.device import choose_device
    from gsnr_sweep.measures import load_measures

    spec = distribution(cfg.data).spec
    for key, limit, pool in (("n", spec.n_train, "training"), ("n_test", spec.n_test, "test")):
        size = getattr(cfg, key)
        if limit is not None and size > limit:
            raise GsnrError(
                f"{key}={size}: data={spec.name} has {limit} {pool} samples. Give {key}={limit} or "
                "less."
            )
    if cfg.p_random > 0 and spec.task == "regression":
        raise GsnrError(
            f"p_random={cfg.p_random}: data={spec.name} is a regression and has no labels to "
            "randomize. Set p_random=0."
        )
    if spec.task == "classification" and spec.n_outputs < 2:
        raise GsnrError(f"data={spec.name} has a single class; at least two are needed.")
    choose_device(cfg.device)
    load_measures(cfg.measures.functions)
    n_parameters, flops = _check_model(
        _key(cfg.model), cfg.ch, spec.input_shape, spec.n_outputs, spec.task
    )
    passes = _sample_passes(cfg)
    return CheckedPoint(label, cfg, n_parameters, flops * passes)


def _sample_passes(cfg: Config) -> float:
    """Count passes of a sample through the network, in units of a forward pass."""
    training = 3 * cfg.epochs * cfg.n
    measuring = len(cfg.measure_at) * (6 * cfg.n + 2 * cfg.n_test)
    return float(cfg.n_sets * (training + measuring))


@lru_cache(maxsize=256)
def _check_model(
    model_json: str, ch: int, input_shape: tuple[int, ...], n_outputs: int, task: Any
) -> tuple[int, float]:
    """Build the model, try it on noise; return its parameters and FLOPs of a forward pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from gsnr_sweep.ensemble.ensemble import choose_moments_method, prepare_network
    from gsnr_sweep.models import build_model

    model_config = ModelConfig(**json.loads(model_json))
    model = build_model(model_config, ch, input_shape, n_outputs, seed=0)
    network = prepare_network(model, torch.float32, torch.device("cpu"))
    x = torch.randn(3, *input_shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            outputs = network(x)
    except Exception as error:
        raise GsnrError(
            f"model={model_config.name} does not take this data's inputs of shape {input_shape}: "
            f"{reason(error)}. Choose a model that fits the data."
        ) from None
    if not isinstance(outputs, torch.Tensor) or outputs.shape != (3, n_outputs):
        shape = tuple(getattr(outputs, "shape", ()))
        raise GsnrError(
            f"model={model_config.name} returns {shape} for 3 samples where (3, {n_outputs}) is "
            "needed: one output a class (or target)."
        )
    regression = task == "regression"
    targets = torch.zeros(3, n_outputs) if regression else torch.arange(3) % n_outputs
    choose_moments_method(network, x, targets, task)
    n_parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return n_parameters, counter.get_total_flops() / 3


def _key(section: ModelConfig | DataConfig) -> str:
    return json.dumps(asdict(section), sort_keys=True, default=str)
