"""A step's decrease of the test loss to first order, and each set's own ratio, by plain loops."""

import copy

import numpy as np
import pytest
import torch

from gsnr_sweep.measures import load_measures, measure_all, requirements_of
from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.training.ensemble import Ensemble
from tests.measures.networks import CPU, config_of, cross_entropy, mlp, sets_of

FUNCTIONS = {
    "first_order": "gsnr_sweep.measures.first_order.first_order",
    "ratio_of_expectations": "gsnr_sweep.measures.ratio_of_expectations.ratio_of_expectations",
}


def loss_of(model: torch.nn.Module, samples) -> torch.Tensor:
    return cross_entropy(model(samples.x), samples.y).mean()


def gradient_of(model: torch.nn.Module, samples) -> torch.Tensor:
    parts = torch.autograd.grad(loss_of(model, samples), list(model.parameters()))
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("lr", [0.3, 1e-4])
def test_both_are_those_of_plain_loops(lr: float) -> None:
    cfg = config_of("n=8", "n_sets=3", "epochs=5", "measure_at=[0]", f"lr={lr}")
    sets = sets_of(cfg)
    measures = load_measures(FUNCTIONS)
    ensemble = Ensemble(copy.deepcopy(mlp()), sets, "classification", cfg.training, CPU)
    (snapshot,) = ensemble.run(wanted=requirements_of(measures))
    values = measure_all(measures, snapshot)
    test_falls, train_falls, products, noise_shares = [], [], [], []
    for samples in sets.train:
        model = copy.deepcopy(mlp())
        g, g_test = gradient_of(model, samples), gradient_of(model, sets.test)
        products.append(float(g @ g_test))
        rows = torch.stack(
            [gradient_of(model, part) for part in samples.parts(1)]
        )  # sample by sample
        noise_shares.append(float(rows.var(0, correction=0).sum() / (8 * (g @ g))))
        before = [loss_of(model, s).item() for s in (samples, sets.test)]
        torch.nn.utils.vector_to_parameters(
            torch.nn.utils.parameters_to_vector(model.parameters()) - lr * g, model.parameters()
        )
        after = [loss_of(model, s).item() for s in (samples, sets.test)]
        train_falls.append(before[0] - after[0])
        test_falls.append(before[1] - after[1])
    expected = {
        "taylor_ratio_test": sum(test_falls) / (lr * sum(products)),
        "osgr_lhs_of_sets": np.mean(np.divide(test_falls, train_falls)),
        "osgr_rhs_of_sets": 1 - np.mean(noise_shares),
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    if lr < 0.001:
        assert values["taylor_ratio_test"] == pytest.approx(1, abs=0.01)


def test_batch_normalization_has_no_first_order_of_its_own() -> None:
    cfg = config_of("n=8", "n_sets=2", "measure_at=[0]")
    parts = (torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
    network = torch.nn.Sequential(*parts, torch.nn.Linear(8, 4)).double()
    measures = load_measures({"first_order": FUNCTIONS["first_order"]})
    ensemble = Ensemble(network, sets_of(cfg, (3, 4, 4)), "classification", cfg.training, CPU)
    (snapshot,) = ensemble.run(wanted=requirements_of(measures))
    assert "statistics" in reason_of(measure_all(measures, snapshot)["taylor_ratio_test"])
