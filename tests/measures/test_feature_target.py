"""Correlation of features with targets (Table 1) against NumPy, feature by feature."""

import copy
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.measures import requirements_of
from gsnr_sweep.measures.feature_target import feature_target
from gsnr_sweep.records.record import Measurement
from gsnr_sweep.training.ensemble import Ensemble
from tests.gradients.oracles import gradient_descent
from tests.measures.networks import CLASSES, CPU, config_of, cross_entropy, mlp, sets_of

FC2 = "feature_target/fc2.weight"


def _found(
    model: nn.Module, sets: RunSets, *overrides: str, task: str = "regression"
) -> list[dict[str, float | list[float]]]:
    cfg = config_of("measures.parameters=[fc2.weight]", *overrides)
    ensemble = Ensemble(copy.deepcopy(model), sets, task, cfg.training, CPU)  # type: ignore[arg-type]
    shots = ensemble.run(wanted=requirements_of({"feature_target": feature_target}))
    return [feature_target(shot) for shot in shots]


def _hidden(model: nn.Module, samples: Samples) -> np.ndarray:
    """Features of the first layer, by hand."""
    weight, bias = (p.detach().numpy() for p in model.fc1.parameters())
    return np.maximum(samples.x.numpy() @ weight.T + bias, 0)


@pytest.mark.parametrize("chunk", ["null", "1", "3"])
@pytest.mark.parametrize("targets", [1, 2])
def test_features_with_the_targets_of_a_regression(targets: int, chunk: str) -> None:
    model, sets = mlp(6, outputs=targets), sets_of(config_of("n=30"), regression=targets)
    (found,) = _found(model, sets, "n=30", f"chunk_size={chunk}")
    expected = [
        np.mean([np.corrcoef(_hidden(model, d)[:, s], d.y.numpy()[:, c])[0, 1] for d in sets.train])
        for c in range(targets)
        for s in range(6)
    ]
    assert found.keys() == {FC2}
    assert found[FC2] == pytest.approx(expected, rel=1e-9)


def test_features_with_each_class() -> None:
    sizes = ("n=40", "n_sets=3")
    model, sets = mlp(6), sets_of(config_of(*sizes))
    (found,) = _found(model, sets, *sizes, task="classification")
    expected = [
        np.mean([np.corrcoef(_hidden(model, d)[:, s], d.y.numpy() == c)[0, 1] for d in sets.train])
        for c in range(CLASSES)
        for s in range(6)
    ]
    assert found[FC2] == pytest.approx(expected, rel=1e-9)


def test_features_are_those_before_the_step() -> None:
    sizes = ("n=20", "n_sets=1", "epochs=2", "measure_at=[0,2]")
    model, sets = mlp(6), sets_of(config_of(*sizes))
    found = _found(model, sets, *sizes, task="classification")
    train = sets.train[0]
    for values in found:
        features = _hidden(model, train)
        expected = [np.corrcoef(features[:, s], train.y.numpy() == 1)[0, 1] for s in range(6)]
        assert values[FC2][6:12] == pytest.approx(expected, rel=1e-9)
        gradient_descent(model, train.x, train.y, cross_entropy, 0.1, 2)


def _with_constant_feature(value: float) -> nn.Module:
    model = mlp(6, outputs=1)
    with torch.no_grad():
        model.fc1.weight[4] = 0
        model.fc1.bias[4] = value
    return model


@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_a_feature_that_does_not_vary_has_no_correlation(value: float) -> None:
    """A dead unit, and one that is always equally active."""
    sets = sets_of(config_of("n=32"), regression=1)
    (found,) = _found(_with_constant_feature(value), sets, "n=32")
    assert [math.isnan(v) for v in found[FC2]] == [s == 4 for s in range(6)]
    assert Measurement.from_values(0, found).arrays[FC2][4] is None


@pytest.mark.parametrize("value", [0.1, 0.3, 1.7])
def test_a_constant_that_does_not_add_up_exactly_has_none_either(value: float) -> None:
    sets = sets_of(config_of("n=200"), regression=1)
    (found,) = _found(_with_constant_feature(value), sets, "n=200")
    assert math.isnan(found[FC2][4])


def test_a_class_that_does_not_occur() -> None:
    sets = sets_of(config_of("n=30"))
    sets.train[1].y[:] = sets.train[1].y.clamp(max=2)
    sets.train[0].y[:] = sets.train[0].y.clamp(max=2)
    (found,) = _found(mlp(6), sets, "n=30", task="classification")
    assert all(map(math.isnan, found[FC2][18:24]))
    assert not any(map(math.isnan, found[FC2][:6]))


def test_only_layers_that_speak_of_the_targets_are_looked_at() -> None:
    """Of what is followed, fc1 has 6 outputs for 4 classes, and fc2's bias is no matrix."""
    sets = sets_of(config_of())
    (found,) = _found(mlp(6), sets, "measures.parameters=[fc1,fc2]", task="classification")
    assert found.keys() == {FC2}
    (found,) = _found(mlp(6), sets, "measures.parameters=[]", task="classification")
    assert found == {}


def test_inputs_of_more_axes_are_flattened() -> None:
    torch.manual_seed(0)
    layers = OrderedDict(conv=nn.Conv2d(1, 2, 3), flatten=nn.Flatten(), fc2=nn.Linear(18, 4))
    model = nn.Sequential(layers).double()
    sets = sets_of(config_of("n_sets=1"), (1, 5, 5))
    (found,) = _found(model, sets, "n_sets=1", task="classification")
    train = sets.train[0]
    features = model.conv(train.x).flatten(1).detach().numpy()
    expected = [np.corrcoef(features[:, s], train.y.numpy() == 0)[0, 1] for s in range(18)]
    assert found[FC2][:18] == pytest.approx(expected, rel=1e-9)
