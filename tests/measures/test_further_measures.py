"""Measures of trained networks after Jiang et al. 2020 in a run of replicas."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from gsnr_sweep.errors import GsnrError, require_package
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.margin import gamma_of
from gsnr_sweep.measures.trained_network import TrainedNetwork
from gsnr_sweep.measures.undefined import reason_of
from tests.measures.complexity.references import reference
from tests.measures.complexity.test_flatness import JIANG
from tests.measures.networks import config_of, mlp
from tests.measures.test_trained_network import SGD, _measured, _network

SETTINGS = ComplexityConfig(flatness_draws=3, margin_epsilon=0.2)
FUNCTIONS = {
    name: f"gsnr_sweep.measures.{name}.{name}" for name in ("layer_norms", "fisher_rao", "flatness")
}


def trained(norm: bool = False) -> tuple[dict[str, float], TrainedNetwork, nn.Module]:
    """The values of a trained network, the network, and the one it was before."""
    start = _network(norm)
    values, ensemble = _measured(config_of(*SGD, "n_sets=1"), start, FUNCTIONS, SETTINGS)
    return values, TrainedNetwork.of(ensemble.replicas[0], SETTINGS), start


def test_norms_and_distances_by_hand() -> None:
    values, network, start = trained()
    w1, w2 = (network.model[k].weight.detach().numpy() for k in (0, 2))  # type: ignore[index, union-attr, operator]
    v1, v2 = (start[k].weight.detach().numpy() for k in (0, 2))  # type: ignore[index]
    gamma = gamma_of(network)
    spectral = [np.linalg.svd(w, compute_uv=False)[0] ** 2 for w in (w1, w2)]
    frobenius = [(w**2).sum() for w in (w1, w2)]
    moved = [((w - v) ** 2).sum() for w, v in ((w1, v1), (w2, v2))]
    ratio = sum(f / s for f, s in zip(frobenius, spectral, strict=True))
    expected = {
        "param_norm": sum(frobenius),
        "frobenius_over_spectral": ratio,
        "distance_from_init": sum(moved),
        "distance_from_init_spectral": sum(
            np.linalg.svd(w - v, compute_uv=False)[0] ** 2 for w, v in ((w1, v1), (w2, v2))
        ),
        "inverse_margin2": gamma**-2,
        "log10_sum_spectral": math.log10(2 * math.prod(spectral) ** 0.5),
        "log10_sum_l2_over_margin2": math.log10(2 * (math.prod(frobenius) / gamma**2) ** 0.5),
        "log10_spectral_orig_over_margin2": math.log10(math.prod(spectral) / gamma**2 * ratio),
        "log10_spectral_init_over_margin2": math.log10(
            math.prod(spectral)
            / gamma**2
            * sum(f / s for f, s in zip(moved, spectral, strict=True))
        ),
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-7)
    assert sum(moved) > 0.1


def test_batch_normalization_leaves_out_what_needs_folded_initial_weights() -> None:
    values, _, _ = trained(norm=True)
    for name in ("log10_spectral_init_over_margin2", "pac_bayes_init", "pac_bayes_orig_magnitude"):
        assert "no initial weights to compare with" in reason_of(values[name])
    for name in ("distance_from_init", "log10_spectral_orig_over_margin2", "pac_bayes_orig"):
        assert math.isfinite(values[name])


def test_fisher_rao_sample_by_sample() -> None:
    values, network, _ = trained()
    samples = network.samples
    found, outputs_only = [], []
    for i in range(len(samples)):
        outputs = network.model(samples.x[i : i + 1])
        outputs.retain_grad()
        network.model.zero_grad()
        loss = network.loss(outputs, samples.y[i : i + 1]).sum()
        loss.backward()
        pairs = [(p, p.grad) for p in network.model.parameters()]
        found.append(sum(float((p * g).sum()) for p, g in pairs if g is not None) ** 2)
        assert outputs.grad is not None
        outputs_only.append(float((outputs * outputs.grad).sum()) ** 2)
    assert values["fisher_rao"] == pytest.approx(np.mean(found), rel=1e-9)
    assert values["fisher_rao_outputs"] == pytest.approx(np.mean(outputs_only), rel=1e-9)


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_fisher_rao_of_the_reference(name: str) -> None:
    from gsnr_sweep.losses.loss import CROSS_ENTROPY
    from gsnr_sweep.measures.fisher_rao import fisher_rao

    model, samples, _ = reference(name)
    network = TrainedNetwork(model, samples, CROSS_ENTROPY, SETTINGS, 7)
    found = fisher_rao(network)["fisher_rao"]
    assert found == pytest.approx(JIANG[name]["fisher_rao"], rel=1e-9)


def test_flatness_is_the_same_every_time() -> None:
    first, second = trained()[0], trained()[0]
    names = [name for name in first if "flatness" in name or "pac_bayes" in name]
    assert len(names) == 8
    assert [first[name] for name in names] == [second[name] for name in names]
    assert all(first[name] > 0 for name in names if math.isfinite(first[name]))


def test_checkpoints_have_no_start_to_compare_with() -> None:
    _, network, _ = trained()
    from dataclasses import replace

    from gsnr_sweep.measures.layer_norms import layer_norms

    values = layer_norms(replace(network, initial={}))
    assert reason_of(values["distance_from_init"]) == "the initial weights are not known"
    assert math.isfinite(values["param_norm"])


def test_measured_at_the_end_alone() -> None:
    cfg = config_of(*SGD, "n_sets=1", "measure_at=[0,20,end]")
    from gsnr_sweep.measures import load_measures, measure_all, requirements_of
    from gsnr_sweep.training.ensemble import Ensemble
    from tests.measures.networks import CPU, sets_of

    for at, expected in (("all", [True] * 3), ("end", [False, False, True])):
        settings = ComplexityConfig(networks_at=at, flatness_draws=1)
        measures = load_measures({"layer_norms": FUNCTIONS["layer_norms"]}, settings)
        model = copy.deepcopy(mlp())
        ensemble = Ensemble(model, sets_of(cfg), "classification", cfg.training, CPU)
        found = [
            "param_norm" in measure_all(measures, snapshot)
            for snapshot in ensemble.run(wanted=requirements_of(measures))
        ]
        assert found == expected


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(GsnrError, match=r"package no_such_thing.*gsnr-sweep\[measures\]"):
        require_package("no_such_thing", "measures")


def test_hessian_against_the_whole_matrix() -> None:
    pytest.importorskip("curvlinops")
    from gsnr_sweep.measures.hessian import hessian

    _, network, _ = trained()
    found = hessian(network)
    parameters = dict(network.folded.named_parameters())
    flat = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
    x, y = next(network.samples.chunks(1000, torch.float64))

    def mean_loss(w: torch.Tensor) -> torch.Tensor:
        parts = torch.split(w, [p.numel() for p in parameters.values()])
        named = {n: part.view_as(p) for (n, p), part in zip(parameters.items(), parts, strict=True)}
        return network.loss(torch.func.functional_call(network.folded, named, (x,)), y).mean()

    matrix = torch.autograd.functional.hessian(mean_loss, flat)
    eigenvalues = torch.linalg.eigvalsh(matrix)  # type: ignore[arg-type]
    assert found["hessian_top_eigenvalue"] == pytest.approx(float(eigenvalues[-1]), rel=0.01)
    off = abs(found["hessian_trace"] - float(eigenvalues.sum()))
    assert off < 4 * found["hessian_trace_error"]
    assert found == hessian(network)


def test_weightwatcher_is_its_own_packages() -> None:
    pytest.importorskip("weightwatcher")
    from weightwatcher import WeightWatcher

    from gsnr_sweep.measures.weightwatcher import weightwatcher

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 40), nn.ReLU(), nn.Linear(40, 10)).eval()
    _, small, _ = trained()
    network = TrainedNetwork(model, small.samples, small.loss, SETTINGS, 7)
    network.__dict__["folded"] = model
    found = weightwatcher(network)
    expected = WeightWatcher(model=model).analyze()["alpha"].mean()
    assert found["weightwatcher_alpha"] == pytest.approx(expected, rel=1e-6)
    assert reason_of(weightwatcher(small)["weightwatcher_alpha"])
