"""Measures of trained networks in a run: what they see, how they are joined, what is refused."""

import copy
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import load_measures, measure_all, requirements_of
from gsnr_sweep.measures.complexity.margin import margin_at, margins
from gsnr_sweep.measures.complexity.norms import norm_measures
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.registry import network_measures
from gsnr_sweep.measures.trained_network import (
    PassCounts,
    TrainedNetwork,
    check_network,
    cost_by_measure,
    joined,
    of_network,
)
from gsnr_sweep.measures.undefined import Undefined, reason_of
from gsnr_sweep.records.record import Measurement
from gsnr_sweep.training.ensemble import Ensemble
from tests.measures.networks import CPU, config_of, sets_of

FUNCTIONS = {
    "errors": "gsnr_sweep.measures.errors.errors",
    "margin": "gsnr_sweep.measures.margin.margin",
    "norms_over_margin": "gsnr_sweep.measures.norms_over_margin.norms_over_margin",
    "max_sharpness": "gsnr_sweep.measures.max_sharpness.max_sharpness",
    "expected_sharpness": "gsnr_sweep.measures.expected_sharpness.expected_sharpness",
}
SETTINGS = ComplexityConfig(
    max_sharpness_steps=20, sharpness_alpha=0.01, sharpness_draws=5, margin_epsilon=0.2
)
SGD = ("optim=sgd", "optim.batch_size=4", "n=8", "epochs=40", "measure_at=[end]", "lr=0.3")


def _network(norm: bool) -> nn.Module:
    torch.manual_seed(1)
    middle = [nn.BatchNorm1d(9)] if norm else []
    return nn.Sequential(nn.Linear(3, 9), *middle, nn.ReLU(), nn.Linear(9, 4)).double()


def _measured(
    cfg: Config,
    network: nn.Module,
    functions: Mapping[str, str] = FUNCTIONS,
    settings: ComplexityConfig = SETTINGS,
    sets: RunSets | None = None,
) -> tuple[dict[str, Any], Ensemble]:
    measures = load_measures(dict(functions), settings)
    model = copy.deepcopy(network)
    ensemble = Ensemble(model, sets or sets_of(cfg), "classification", cfg.training, CPU)
    (snapshot,) = ensemble.run(wanted=requirements_of(measures))
    return measure_all(measures, snapshot), ensemble


def _by_hand(weights: list[Tensor], train: Samples, norm: bool) -> dict[str, float]:
    """Norms over margin of linear–(norm)–ReLU–linear in NumPy, statistics of the training set."""
    w1, b1, *affine, w2, b2 = (w.detach().numpy() for w in weights)
    x, y = train.x.numpy(), train.y.numpy()
    if norm:
        gamma, beta = affine
        z = x @ w1.T + b1
        scale = gamma / np.sqrt(z.var(0) + 1e-5)
        w1, b1 = scale[:, None] * w1, scale * (b1 - z.mean(0)) + beta
    f = np.maximum(x @ w1.T + b1, 0) @ w2.T + b2
    own = f[np.arange(len(y)), y]
    f[np.arange(len(y)), y] = -np.inf
    margins = own - f.max(1)
    margin = np.percentile(margins, 20)
    paths = [
        *(w2[k, j] * w1[j, i] for k in range(4) for j in range(9) for i in range(3)),
        *(w2[k, j] * b1[j] for k in range(4) for j in range(9)),
        *b2,
    ]
    both = (np.linalg.svd(w, compute_uv=False)[0] for w in (w1, w2))
    return {
        "margin_p20": margin,
        "margin_min": margins.min(),
        "train_error": (margins < 0).mean(),
        "margin_median": np.median(margins),
        "log10_l2_over_margin2": math.log10((w1**2).sum() * (w2**2).sum() / margin**2),
        "log10_l1_path_over_margin2": 2 * math.log10(np.abs(paths).sum() / margin),
        "log10_l2_path_over_margin2": math.log10(np.square(paths).sum() / margin**2),
        "log10_spectral_over_margin2": 2 * math.log10(math.prod(both) / margin),
    }


@pytest.mark.parametrize("norm", [False, True])
def test_replicas_are_measured_as_they_are_and_averaged(norm: bool) -> None:
    cfg = config_of(*SGD, "n_sets=3", "optim.args.momentum=0.5")
    values, ensemble = _measured(cfg, _network(norm))
    sets = sets_of(cfg)
    each = [
        _by_hand(replica.weights, train, norm)
        for replica, train in zip(ensemble.replicas, sets.train, strict=True)
    ]
    for name in each[0]:
        own = np.array([one[name] for one in each])
        assert values[name] == pytest.approx(own.mean(), rel=1e-9, abs=1e-9)
        if name == "train_error":
            continue
        assert values[f"{name}_se"] == pytest.approx(own.std(ddof=1) / math.sqrt(3), rel=1e-7)
    assert len(values["expected_sharpness"]) == len(values["log10_kl"]) == 21


@pytest.mark.parametrize("norm", [False, True])
def test_threads_change_nothing(norm: bool) -> None:
    one, many = (
        _measured(config_of(*SGD, "n_sets=6", f"threads={threads}"), _network(norm))[0]
        for threads in (1, 6)
    )
    assert one.keys() == many.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(many[name], value, name)


@pytest.mark.parametrize("norm", [False, True])
def test_convolutional_networks_in_their_own_memory_format(norm: bool) -> None:
    """Kernels lie in channels-last memory where there is no batch normalization."""
    torch.manual_seed(2)
    middle = [nn.BatchNorm2d(5)] if norm else []
    network = nn.Sequential(
        *(nn.Conv2d(2, 5, 3), *middle, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 4))
    ).double()
    cfg = config_of(*SGD, "n_sets=1")
    sets = sets_of(cfg, (2, 6, 6))
    values, ensemble = _measured(cfg, network, sets=sets)
    (replica,), (train,) = ensemble.replicas, sets.train
    plain = copy.deepcopy(network).train()
    torch.nn.utils.vector_to_parameters(
        torch.cat([w.reshape(-1) for w in replica.weights]), plain.parameters()
    )
    if norm:  # statistics of the whole training set, biased variance
        own = plain[1]
        own.momentum = 1.0
        plain(train.x)
        own.running_var = own.running_var * (8 * 16 - 1) / (8 * 16)
    plain.eval()
    expected = norm_measures(plain, train.x[:1]).values
    outputs = plain(train.x).detach()
    gamma = margin_at(margins(outputs, train.y), 0.2)
    for name in ("l2", "l1_path", "l2_path", "spectral"):
        by_hand = (expected[name] - 2 * math.log(gamma)) / math.log(10)
        assert values[f"log10_{name}_over_margin2"] == pytest.approx(by_hand, rel=1e-8, abs=1e-8)
    assert values["max_sharpness"] > 0


def test_one_replica_has_no_standard_error() -> None:
    values, _ = _measured(config_of(*SGD, "n_sets=1"), _network(norm=False))
    assert "margin_min" in values
    assert not any(f"{name}_se" in values for name in values if name != "expected_sharpness")


@pytest.mark.parametrize("rule", [SGD, ("lr=0.3", "epochs=3", "measure_at=[3]")])
@pytest.mark.parametrize("norm", [False, True])
def test_training_sees_nothing_of_it(norm: bool, rule: tuple[str, ...]) -> None:
    """Bit for bit, whatever draws random numbers in the measures."""
    cfg = config_of(*rule, "measure_at=[1,3]", "epochs=6")
    with_measures = load_measures(FUNCTIONS, SETTINGS)
    states = []
    for wanted in (None, requirements_of(with_measures)):
        sets = sets_of(cfg)
        ensemble = Ensemble(_network(norm), sets, "classification", cfg.training, CPU)
        torch.manual_seed(3)
        list(ensemble.run(wanted=wanted))
        states.append((ensemble.state(), torch.get_rng_state()))
    (plain, before), (measured, after) = states
    assert torch.equal(before, after)
    for name, tensor in plain.items():
        if "buffer" not in name:
            assert torch.equal(tensor, measured[name]), name


def test_the_clean_part_leaves_the_confusion_set_out() -> None:
    cfg = config_of("n_sets=1", "epochs=0", "n=7")
    drawn = sets_of(cfg)
    train = drawn.train[0]
    marked = Samples(train.x, train.y, clean=4)
    network = _network(norm=False)
    found = {}
    for on in ("union", "clean"):
        settings = ComplexityConfig(on=on)
        values, _ = _measured(
            cfg, network, {"margin": FUNCTIONS["margin"]}, settings, RunSets([marked], drawn.test)
        )
        found[on] = values["margin_min"]
    f = network(train.x).detach()
    own = f.gather(1, train.y[:, None])[:, 0]
    margins = own - f.scatter(1, train.y[:, None], -torch.inf).amax(1)
    assert found == {
        "union": pytest.approx(float(margins.min())),
        "clean": pytest.approx(float(margins[:4].min())),
    }
    assert found["union"] != found["clean"]


# --- what is not defined


def test_without_a_positive_margin_there_is_a_reason() -> None:
    cfg = config_of("n_sets=2", "epochs=0")
    values, _ = _measured(cfg, _network(norm=False))
    assert values["margin_p20"] < 0
    name = "log10_l2_over_margin2"
    assert math.isnan(values[name])
    told = r"in \d of 2 replicas the margin γ = -\d.* is not positive: too many samples"
    measurement = Measurement.from_values(0, values)
    assert name in measurement.nonfinite
    assert re.match(told, measurement.reasons[name])
    assert f"{name}_se" not in values


def test_joining() -> None:
    assert joined([{"a": 1.0, "b": [1.0, 2.0]}]) == {"a": 1.0, "b": [1.0, 2.0]}
    both = joined([{"a": 1.0, "b": [1.0, 2.0]}, {"a": 3.0, "b": [3.0, 6.0]}])
    assert both == {"a": 2.0, "a_se": pytest.approx(1.0), "b": [2.0, 4.0]}
    lost = joined([{"a": 1.0}, {"a": Undefined("no margin")}, {"a": Undefined("other")}])
    assert list(lost) == ["a"]
    assert reason_of(lost["a"]) == "in 2 of 3 replicas no margin"


@pytest.mark.parametrize("norm", [False, True])
def test_settings_of_a_trial_are_as_good_as_free_and_change_nothing_else(norm: bool) -> None:
    settings = ComplexityConfig(margin_epsilon=0.2, norm_bias="none")
    values, _ = _measured(config_of(*SGD), _network(norm), settings=settings.for_trial())
    assert len(values["expected_sharpness"]) == 2
    assert values["max_sharpness"] >= 0
    assert "margin_p20" in values


# --- a measure of one's own


@of_network(passes=lambda settings: PassCounts(2.0, 5.0 * settings.sharpness_draws))
def mean_margin(network: TrainedNetwork) -> dict[str, float]:
    """A measure that reads the margins."""
    return {"margin_mean": float(network.margins.mean())}


@of_network()
def fails(network: TrainedNetwork) -> dict[str, float]:
    """A measure with a mistake."""
    raise KeyError(len(network.samples))


def test_a_measure_of_ones_own() -> None:
    own = {"mean_margin": f"{__name__}.mean_margin", "margin": FUNCTIONS["margin"]}
    values, _ = _measured(config_of(*SGD), _network(norm=False), own)
    assert values["margin_min"] <= values["margin_mean"]


def test_one_that_fails_is_named() -> None:
    own = {"broken": f"{__name__}.fails", "margin": FUNCTIONS["margin"]}
    with pytest.raises(GsnrError, match=r"^measures.functions.broken: it fails \(KeyError: 8, "):
        _measured(config_of(*SGD), _network(norm=False), own)


def test_costs_are_counted() -> None:
    loaded = load_measures({"mine": f"{__name__}.mean_margin"}, SETTINGS)
    assert cost_by_measure(network_measures(loaded), SETTINGS, 100) == {"mine": 225.0}


# --- refused before anything is trained


def _refused(network: nn.Module, task: str = "classification") -> str:
    measures = network_measures(load_measures(FUNCTIONS, SETTINGS))
    with pytest.raises(GsnrError) as found:
        check_network(measures, network.double(), torch.zeros(1, 3, dtype=torch.float64), task)
    return str(found.value)


def test_layers_without_a_norm_are_named() -> None:
    told = _refused(nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 4)))
    assert told.startswith("measures.functions.norms_over_margin: 1 (LayerNorm): ")


def test_a_regression_has_no_margin() -> None:
    told = _refused(_network(norm=False), "regression")
    assert told.startswith("measures.functions.margin: ")
    assert "measures=paper has none of these" in told


def test_others_pass() -> None:
    measures = network_measures(load_measures(FUNCTIONS, SETTINGS))
    for norm in (False, True):
        example = torch.zeros(1, 3, dtype=torch.float64)
        check_network(measures, _network(norm).eval(), example, "classification")
