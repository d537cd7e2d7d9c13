"""`gradient_statistics` against autograd sample by sample, in float64."""

import logging

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

from gsnr_sweep import GradientStatistics, gradient_statistics
from gsnr_sweep.gradients import Method
from tests.api.networks import EACH, case, gradients_one_by_one

EXACT = {"rtol": 1e-8, "atol": 1e-13}


def each(outputs: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(outputs, y, reduction="none")


@pytest.mark.parametrize("name", EACH)
def test_moments_are_those_of_autograd_sample_by_sample(name: str) -> None:
    model, x, y = case(name)
    expected = gradients_one_by_one(model, x, y, each)
    found = gradient_statistics(model, (x, y), batch_size=4)
    assert found.n == len(x)
    assert found.mean.keys() == expected.keys() == dict(model.named_parameters()).keys()
    for key, gradients in expected.items():
        torch.testing.assert_close(found.mean[key], gradients.mean(0), **EXACT)
        variance = gradients.var(0, correction=0)
        torch.testing.assert_close(found.variance[key], variance, **EXACT)
        assert found.mean[key].dtype is torch.float64
        # Of what is zero but for rounding, as a key's bias in attention, so is the ratio.
        alive = ~found.gsnr[key].isnan() & (variance > 1e-24)
        ratio = (gradients.mean(0).square() / variance)[alive]
        torch.testing.assert_close(found.gsnr[key][alive], ratio, rtol=1e-6, atol=1e-12)
        dead = found.gsnr[key].isnan()
        assert bool((variance[dead] <= 1e-12 * gradients.square().mean(0)[dead]).all())
    every = torch.cat([g.flatten(1) for g in expected.values()], dim=1)
    noise = every.var(0, correction=0).sum() / len(x)
    right = 1 - float(noise / every.mean(0).square().sum())
    assert found.osgr() == pytest.approx(right, rel=1e-8)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_moments_are_those_of_torch_func(name: str) -> None:
    model, x, y = case(name)
    model.eval()

    def loss(parameters: dict[str, Tensor], sample: Tensor, target: Tensor) -> Tensor:
        outputs = functional_call(model, parameters, (sample.unsqueeze(0),))
        return F.cross_entropy(outputs, target.unsqueeze(0))

    parameters = {key: p.detach() for key, p in model.named_parameters()}
    expected = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x.double(), y)
    found = gradient_statistics(model, (x, y))
    for key, gradients in expected.items():
        torch.testing.assert_close(found.variance[key], gradients.var(0, correction=0), **EXACT)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
def test_float32_takes_the_kernels_and_stays_close(name: str) -> None:
    model, x, y = case(name)
    exact, rounded = gradient_statistics(model, (x, y)), gradient_statistics(model.float(), (x, y))
    assert rounded.method in {"compiled kernels", Method.LAYERWISE.value}
    for kind in ("mean", "variance"):
        a, b = (
            torch.cat([t.flatten() for t in getattr(one, kind).values()])
            for one in (exact, rounded)
        )
        assert float((a - b).norm()) <= 1e-3 * float(a.norm())


def test_the_kernels_are_used_where_there_are_some() -> None:
    from gsnr_sweep.engine.cpu.kernels import load_kernels

    if load_kernels("auto") is None:
        pytest.skip("no compiled kernels in this installation")
    model, x, y = case("cnn")
    assert gradient_statistics(model.float(), (x, y)).method == "compiled kernels"


def test_running_statistics_or_those_of_the_set() -> None:
    model, x, y = case("cnn")
    running = gradient_statistics(model, (x, y))
    own = gradient_statistics(model, DataLoader(TensorDataset(x, y), 4), batch_norm="training_set")
    with torch.no_grad():  # running statistics that are the set's own
        model[1].momentum = 1.0
        model(x.double())
        activations = model[0](x.double())
        model[1].running_var.copy_(activations.var((0, 2, 3), correction=0))
    expected = gradient_statistics(model, (x, y))
    for key in expected.mean:
        torch.testing.assert_close(own.mean[key], expected.mean[key], rtol=1e-7, atol=1e-12)
    assert not torch.allclose(running.mean["0.weight"], expected.mean["0.weight"])


def test_batch_norm_that_has_seen_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    fresh = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    gradient_statistics(fresh, (torch.randn(9, 3), torch.randint(0, 2, (9,))))
    assert "batch normalization has seen no batch yet" in caplog.text


def test_half_precision_is_computed_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    model, x, y = case("mlp")
    model = model.bfloat16()
    with caplog.at_level(logging.INFO):
        found = gradient_statistics(model, (x.bfloat16(), y))
    assert "half precision (torch.bfloat16): gradients are computed in float32" in caplog.text
    expected = gradient_statistics(model.float(), (x.bfloat16().float(), y))
    torch.testing.assert_close(found.variance["0.weight"], expected.variance["0.weight"])
    assert next(model.parameters()).dtype is torch.float32


def test_why_a_network_goes_the_slow_way_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model, x, y = case("lstm")
    with caplog.at_level(logging.INFO):
        gradient_statistics(model, (x, y))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("per-sample gradients by ")
    assert "lstm does not return one output a sample" in said


def test_unbiased_variance() -> None:
    model, x, y = case("mlp")
    plugin = gradient_statistics(model, (x, y))
    unbiased = gradient_statistics(model, (x, y), variance="unbiased")
    factor = len(x) / (len(x) - 1)
    for key in plugin.variance:
        torch.testing.assert_close(unbiased.variance[key], plugin.variance[key] * factor)


def test_frozen_parameters_are_left_out() -> None:
    model, x, y = case("mlp")
    model[0].requires_grad_(False)
    assert gradient_statistics(model, (x, y)).mean.keys() == {"3.weight", "3.bias"}


@pytest.fixture(scope="module")
def statistics() -> GradientStatistics:
    model, x, y = case("mlp")
    with torch.no_grad():
        model[0].weight[0], model[0].bias[0] = 0, -1  # a dead unit
    return gradient_statistics(model, (x, y))


def test_tables_hold_the_same_numbers(statistics: GradientStatistics) -> None:
    table, layers = statistics.to_dataframe(), statistics.by_layer()
    own = table[table["parameter"] == "3.weight"]
    assert own["index"].tolist() == list(range(9 * 4))
    assert own["mean"].tolist() == statistics.mean["3.weight"].flatten().tolist()
    first = table[table["parameter"].str.startswith("0.")]
    assert layers.loc["0", "parameters"] == len(first) == 63
    assert layers.loc["0", "alive_fraction"] == first["gsnr"].notna().mean() < 1
    assert layers.loc["0", "gsnr_mean"] == pytest.approx(first["gsnr"].mean())
    assert layers.loc["0", "grad_var_sum"] == pytest.approx(first["variance"].sum())
    assert layers[["loss_share", "gap_share"]].sum().tolist() == pytest.approx([1, 1])
    right = 1 - layers["grad_var_sum"].sum() / (statistics.n * layers["grad_sq_norm"].sum())
    assert statistics.osgr() == pytest.approx(right)
    assert isinstance(layers, pd.DataFrame)


def test_summary_and_repr(statistics: GradientStatistics) -> None:
    values = statistics.summary()
    assert values["osgr_rhs"] == statistics.osgr()
    gsnr = torch.cat([t.flatten() for t in statistics.gsnr.values()])
    assert values["gsnr_mean"] == pytest.approx(float(gsnr.nanmean()))
    assert {"train_loss", "gsnr_mean/0", "gsnr_median", "grad_sq_norm"} <= values.keys()
    assert repr(statistics).startswith("GradientStatistics(n=13, parameters=103, alive=")


def test_no_number_is_made_of_nothing() -> None:
    model, x, _ = case("mlp")
    zero = gradient_statistics(model, (x, torch.zeros(13)), loss=lambda o, _: 0 * o.sum(1))
    assert torch.cat([t.flatten() for t in zero.gsnr.values()]).isnan().all()
