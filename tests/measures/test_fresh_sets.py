"""Other replicas' training sets at a replica's weights, against sample-by-sample gradients."""

import copy

import numpy as np
import pytest
import torch

from gsnr_sweep.measures import load_measures, measure_all, requirements_of
from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.training.ensemble import Ensemble
from tests.measures.networks import CPU, config_of, cross_entropy, mlp, sets_of

FUNCTIONS = {"fresh_sets": "gsnr_sweep.measures.fresh_sets.fresh_sets"}


def gradients_of(model, samples) -> np.ndarray:
    """[n, P] per-sample gradients, one backward pass each."""
    rows = []
    for i in range(len(samples)):
        loss = cross_entropy(model(samples.x[i : i + 1]), samples.y[i : i + 1]).sum()
        parts = torch.autograd.grad(loss, list(model.parameters()))
        rows.append(torch.cat([part.reshape(-1) for part in parts]).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("n_sets", [2, 4])
def test_sample_by_sample(n_sets: int) -> None:
    cfg = config_of("n=8", f"n_sets={n_sets}", "epochs=15", "measure_at=[end]", "lr=0.3")
    sets = sets_of(cfg)
    measures = load_measures(FUNCTIONS)
    ensemble = Ensemble(copy.deepcopy(mlp()), sets, "classification", cfg.training, CPU)
    at_end: list[torch.nn.Module] = []
    steps = ensemble.run(
        lambda epoch: (
            at_end.extend(copy.deepcopy(r.model) for r in ensemble.replicas)
            if epoch == 15
            else None
        ),
        wanted=requirements_of(measures),
    )
    (snapshot,) = steps
    values = measure_all(measures, snapshot)
    cross, own, fresh, own_variance, fresh_variance, between = ([] for _ in range(6))
    for m, model in enumerate(at_end):
        all_gradients = [gradients_of(model, samples) for samples in sets.train]
        means = [g.mean(0) for g in all_gradients]
        others = [means[k] for k in range(n_sets) if k != m]
        cross.append(means[m] @ np.mean(others, axis=0))
        own.append(means[m] @ means[m])
        fresh.append(np.mean([g @ g for g in others]))
        variances = [g.var(0, ddof=1).sum() for g in all_gradients]
        own_variance.append(variances[m])
        fresh_variance.append(np.mean([variances[k] for k in range(n_sets) if k != m]))
        if n_sets > 2:
            between.append(np.var(others, axis=0, ddof=1).sum())
    expected = {
        "osgr_fresh": sum(cross) / sum(own),
        "own_over_fresh_sq_norm": sum(own) / sum(fresh),
        "own_over_fresh_variance": sum(own_variance) / sum(fresh_variance),
    }
    if n_sets > 2:
        expected["between_over_within_variance"] = 8 * sum(between) / sum(fresh_variance)
    else:
        assert np.isnan(values["between_over_within_variance"])
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert values["osgr_fresh_se"] > 0


def test_a_single_set_has_no_other() -> None:
    cfg = config_of("n_sets=1")
    measures = load_measures(FUNCTIONS)
    ensemble = Ensemble(mlp(), sets_of(cfg), "classification", cfg.training, CPU)
    (snapshot,) = ensemble.run(wanted=requirements_of(measures))
    values = measure_all(measures, snapshot)
    assert "raise n_sets" in reason_of(values["osgr_fresh"])
