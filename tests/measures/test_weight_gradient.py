"""Fig. 7's values against loops over weights, and the gradients they need against plain PyTorch."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from gsnr_sweep.gradients.parameters import Parameter
from gsnr_sweep.measures import requirements_of
from gsnr_sweep.measures.weight_gradient import weight_gradient
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.gradients.oracles import gradient_descent, per_sample_gradients
from tests.measures.networks import CPU, config_of, cross_entropy, mlp, plain_and_watched, sets_of
from tests.measures.snapshots import snapshot

PARAMETERS = (
    Parameter("conv.weight", 0, 12, (2, 1, 2, 3)),
    Parameter("conv.bias", 12, 14, (2,)),
    Parameter("norm.weight", 14, 16, (2,)),
    Parameter("fc.weight", 16, 46, (3, 10)),
    Parameter("fc.bias", 46, 49, (3,)),
)
MATRICES = {"conv": range(12), "fc": range(16, 46)}
M, P = 3, 49


def _shot(w: np.ndarray, g: np.ndarray, after: np.ndarray, **fields: Any) -> Snapshot:
    made = {"weights": w, "step_gradient": g, "next_gradient": after}
    tensors = {name: torch.from_numpy(values) for name, values in made.items()}
    return snapshot(
        np.zeros((len(w), 5, w.shape[1])), **{"parameters": PARAMETERS, **tensors, **fields}
    )


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, g_t and g_{t+1} [M, P]: fc's W are ten times smaller; some W and g are zero."""
    rng = np.random.default_rng(3)
    w, g, after = (rng.normal(size=(M, P)) for _ in range(3))
    w[:, 16:46] /= 10
    after -= 0.5 * w
    w[0, [1, 20, 21]] = 0
    g[1, [0, 2, 30]] = 0
    return w, g, after


def _largest(w: np.ndarray, places: range) -> list[int]:
    by_size = sorted(places, key=lambda j: -abs(w[j]))
    return by_size[: max(1, len(places) // 10)]


def _expected(w: np.ndarray, g: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """The values of one group of weights after the other, a replica at a time."""
    values: dict[str, float] = {}
    for suffix, layers in {"": list(MATRICES), "/conv": ["conv"], "/fc": ["fc"]}.items():
        for kind in ("", "_top10"):
            correlations, shares = [], []
            for m in range(len(w)):
                places = [
                    j
                    for layer in layers
                    for j in (_largest(w[m], MATRICES[layer]) if kind else MATRICES[layer])
                ]
                change = [after[m, j] - g[m, j] for j in places]
                if len(places) > 1:
                    correlations.append(np.corrcoef(change, [w[m, j] for j in places])[0, 1])
                signed = [j for j in places if w[m, j] != 0 and g[m, j] != 0]
                if signed:
                    shares.append(sum(w[m, j] * g[m, j] < 0 for j in signed) / len(signed))
            mean = [sum(v) / len(v) if v else math.nan for v in (correlations, shares)]
            values[f"corr_dg_w{kind}{suffix}"], values[f"opposite_sign{kind}{suffix}"] = mean
    return values


def test_values_are_those_of_loops_over_the_weights(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    found = weight_gradient(_shot(*arrays))
    assert found == pytest.approx(_expected(*arrays), rel=1e-9, nan_ok=True)


def test_a_single_weight_has_no_correlation(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Of the kernel's 12 weights one is the largest tenth."""
    assert math.isnan(weight_gradient(_shot(*arrays))["corr_dg_w_top10/conv"])


def test_biases_and_gains_do_not_count(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    w, g, after = (values.copy() for values in arrays)
    for values in (w, g, after):
        values[:, 12:16] += 100
        values[:, 46:] -= 100
    assert weight_gradient(_shot(w, g, after)) == pytest.approx(
        weight_gradient(_shot(*arrays)), nan_ok=True
    )


def test_each_layer_has_its_own_tenth(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """fc's weights are all smaller than conv's largest, and three of them count nevertheless."""
    w, _, after = arrays
    g = np.sign(w)
    g[:, 16:46] *= -1  # opposite to W in fc alone
    found = weight_gradient(_shot(w, g, after))
    assert found["opposite_sign_top10"] == pytest.approx(3 / 4)
    assert (found["opposite_sign_top10/conv"], found["opposite_sign_top10/fc"]) == (0, 1)


def test_a_replica_where_nothing_varies_is_left_out(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    w, g, after = (values.copy() for values in arrays)
    after[2] = g[2]  # no change at all
    g[1] = 0
    found = weight_gradient(_shot(w, g, after))
    kept = _expected(w[:2], g[:2], after[:2])
    assert found["corr_dg_w"] == pytest.approx(kept["corr_dg_w"], rel=1e-9)
    kept_signs = _expected(w[[0, 2]], g[[0, 2]], arrays[2][[0, 2]])["opposite_sign"]
    assert found["opposite_sign"] == pytest.approx(kept_signs, rel=1e-9)
    dead = weight_gradient(_shot(w, 0 * g, 0 * g))
    assert all(map(math.isnan, dead.values()))


def test_a_network_without_matrices() -> None:
    only_gain = (Parameter("gain", 0, 4, (4,)),)
    w = np.ones((2, 4))
    found = weight_gradient(_shot(w, w, 2 * w, parameters=only_gain))
    assert len(found) == 4
    assert all(map(math.isnan, found.values()))


def test_a_layer_with_two_matrices() -> None:
    """Recurrent layers own several; all of them are the layer's."""
    two = (Parameter("lstm.a", 0, 6, (2, 3)), Parameter("lstm.b", 6, 10, (2, 2)))
    w, g, after = np.random.default_rng(0).normal(size=(3, 2, 10))
    found = weight_gradient(_shot(w, g, after, parameters=two))
    assert found["corr_dg_w/lstm"] == pytest.approx(found["corr_dg_w"])
    assert found["opposite_sign/lstm"] == pytest.approx(found["opposite_sign"])


def test_a_snapshot_without_what_is_needed() -> None:
    with pytest.raises(ValueError, match="requires"):
        weight_gradient(snapshot(np.zeros((1, 5, 4))))


# --- what the measure reads


@pytest.mark.parametrize("chunk", ["null", "4"])
def test_weights_and_both_gradients_are_those_of_plain_pytorch(chunk: str) -> None:
    cfg = config_of(f"chunk_size={chunk}", "epochs=3", "measure_at=[0,2,3]", "n_sets=2")
    sets = sets_of(cfg)
    ensemble = Ensemble(mlp(), sets, "classification", cfg.training, CPU)
    wanted = requirements_of({"weight_gradient": weight_gradient})
    close = {"rtol": 1e-9, "atol": 1e-12}
    for shot in ensemble.run(wanted=wanted):
        for m, train in enumerate(sets.train):
            model = mlp()
            gradient_descent(model, train.x, train.y, cross_entropy, cfg.lr, shot.epoch)
            flat = torch.cat([p.detach().flatten() for p in model.parameters()])
            torch.testing.assert_close(shot.weights[m], flat, **close)
            for found in (shot.step_gradient, shot.next_gradient):
                rows = per_sample_gradients(model, train.x, train.y, cross_entropy)
                torch.testing.assert_close(found[m], rows.mean(0), **close)
                gradient_descent(model, train.x, train.y, cross_entropy, cfg.lr, 1)


def test_measuring_the_change_does_not_change_the_training() -> None:
    wanted = requirements_of({"weight_gradient": weight_gradient})
    for one, other in plain_and_watched(wanted):
        assert one.weights is one.step_gradient is one.next_gradient is None
        assert torch.equal(one.train_loss_next, other.train_loss_next)
        assert torch.equal(one.gradient_sum, other.gradient_sum)
