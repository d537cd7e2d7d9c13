"""The conditions of Theorem 1 against loops over explicit matrices and reference values."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.complexity.conditions import (
    Conditions,
    c1_ratios,
    conditions,
    product_norms,
    smallest_c2,
)
from tests.measures.complexity.references import left_as_it_was, noise_samples, reference

WIDTHS = (5, 7, 4, 6, 3)


def _network(bias: bool = True, widths: tuple[int, ...] = WIDTHS, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers[:-1]).double().eval()


def _matrices(model: nn.Sequential) -> tuple[list[np.ndarray], list[np.ndarray]]:
    layers = [module for module in model if isinstance(module, nn.Linear)]
    return (
        [layer.weight.detach().numpy() for layer in layers],
        [np.zeros(len(w.weight)) if w.bias is None else w.bias.detach().numpy() for w in layers],
    )


def _forward(
    weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray
) -> list[np.ndarray]:
    """Pre-activations of one sample."""
    found = []
    for weight, bias in zip(weights, biases, strict=True):
        found.append(weight @ x + bias)
        x = np.maximum(found[-1], 0)
    return found


def _diagonals(pre_activations: list[np.ndarray]) -> list[np.ndarray]:
    """D_1, …, D_d as matrices."""
    *hidden, last = pre_activations
    return [np.diag((z > 0).astype(float)) for z in hidden] + [np.eye(len(last))]


def _ratio(
    weights: list[np.ndarray], d: list[np.ndarray], x: np.ndarray, a: int, c: int, b: int
) -> float:
    """C1's ratio of one sample, from the definition of A_{a..b}."""

    def norm(first: int, last: int) -> float:
        product = x[:, None] if first == 0 else np.eye(weights[first - 1].shape[1])
        for i in range(max(first, 1), last + 1):
            product = d[i - 1] @ weights[i - 1] @ product
        return math.sqrt(sum(float(v) ** 2 for v in product.flatten()))

    right = norm(c + 1, b) * norm(a, c)
    width = weights[c].shape[1]  # h_c
    return math.sqrt(width) * norm(a, b) / right if right else math.inf


# --- C1


@pytest.mark.parametrize("bias", [False, True])
def test_c1_by_explicit_products(bias: bool) -> None:
    model, samples = _network(bias), noise_samples(6, 5)
    weights, biases = _matrices(model)
    found = conditions(model, samples)
    depth = len(weights)
    triples = {(a, c, b) for b in range(depth + 1) for c in range(b) for a in range(c)}
    assert found.c1.keys() == triples
    worst = {True: 0.0, False: 0.0}
    for n, x in enumerate(samples.x.numpy()):
        d = _diagonals(_forward(weights, biases, x))
        for a, c, b in triples:
            expected = _ratio(weights, d, x, a, c, b)
            assert float(found.c1[a, c, b][n]) == pytest.approx(expected, rel=1e-9)
            worst[a == 0] = max(worst[a == 0], 1 / expected)
    assert found.inverse_mu_vectors == pytest.approx(worst[True], rel=1e-9)
    assert found.inverse_mu_matrices == pytest.approx(worst[False], rel=1e-9)
    assert found.inverse_mu == pytest.approx(max(worst.values()), rel=1e-9)


def test_c1_of_the_reference() -> None:
    """Strictly a < c < b is the theorem's; loosely c = a counts, too, where A_{a..a} is a layer."""
    model, samples, values = reference("mlp")
    expected = values["conditions"]
    found = conditions(model, samples)
    smallest = torch.stack(list(found.c1.values())).amin(0)
    assert smallest.tolist() == pytest.approx(expected["mu_per_sample_strict"], rel=1e-9)
    assert 1 / found.inverse_mu == pytest.approx(expected["mu_min_strict"], rel=1e-9)

    weights = [layer.weight.detach() for layer in model if isinstance(layer, nn.Linear)]
    norms = []
    for x in samples.x:
        first = weights[0] @ x
        active = [first > 0, weights[1] @ first.relu() > 0]
        norms.append(product_norms(weights, active, x))
    loose = c1_ratios(torch.stack(norms), (4, 5, 4, 3), strict=False)
    of_first = {",".join(map(str, triple)): float(r[0]) for triple, r in loose.items()}
    assert of_first == pytest.approx(expected["c1_first_sample"], rel=1e-9)
    lowest = min(float(r.min()) for (a, c, _), r in loose.items() if a < c or a > 0)
    assert lowest == pytest.approx(expected["mu_min_loose"], rel=1e-9)


def test_single_units_multiply_exactly() -> None:
    """With one unit a layer every norm is a product of absolute values: every ratio is 1."""
    model = _network(bias=False, widths=(1, 1, 1, 1, 1))
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data.abs_()
    found = conditions(model, Samples(torch.tensor([[2.0]]), torch.zeros(1)))
    assert found.inverse_mu == pytest.approx(1, rel=1e-12)


def test_orthogonal_layers_are_random_alignment() -> None:
    """If all units are active, orthogonal W_i of width h have ‖A_{a..b}‖_F = √h, or ‖x‖ if a = 0.

    The ratio is √h √h / (√h √h) = 1 for matrices, and √h ‖x‖ / (√h ‖x‖) = 1 for vectors.
    """
    model = _network(bias=False, widths=(4, 4, 4, 4))
    order = torch.eye(4, dtype=torch.float64)[[2, 0, 3, 1]]
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data = order.clone()
    found = conditions(model, Samples(torch.rand(3, 4) + 0.1, torch.zeros(3)))
    assert found.inverse_mu_vectors == pytest.approx(1, rel=1e-7)
    assert found.inverse_mu_matrices == pytest.approx(1, rel=1e-12)


def test_two_layers_have_no_products_of_matrices() -> None:
    found = conditions(_network(widths=(5, 4, 3)), noise_samples(3, 5))
    assert found.c1.keys() == {(0, 1, 2)}
    assert math.isnan(found.inverse_mu_matrices)


def test_a_dead_layer() -> None:
    """No unit of layer 2 is active: C1 compares zero with zero, and C3 cannot hold."""
    model = _network(bias=False)
    model[2].weight.data = -model[2].weight.data.abs()
    found = conditions(model, noise_samples(4, 5))
    assert all(bool((ratios == torch.inf).all()) for ratios in found.c1.values())
    assert found.inverse_mu == 0
    assert bool((found.c3[:, 1] == torch.inf).all())
    assert bool((found.c2[:, 2] == torch.inf).all())  # the next layer gets zeros
    assert found.c2_shares[:, 2].tolist() == [[1.0] * 3] * 4


def test_an_output_of_zero() -> None:
    """Layer 2 cancels what layer 1 gives: no μ is small enough."""
    model = _network(bias=False, widths=(1, 2, 1))
    model[0].weight.data = torch.ones(2, 1, dtype=torch.float64)
    model[2].weight.data = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    found = conditions(model, Samples(torch.ones(1, 1), torch.zeros(1)))
    assert found.inverse_mu == math.inf
    assert bool((found.output_change == math.inf).all())


# --- C2 and C3


def test_c2_is_the_largest_share_over_threshold() -> None:
    """Of all thresholds, only those at the values can be the worst; a fine grid comes close."""
    values = torch.randn(4, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = smallest_c2(values)
    for row, c2 in zip(values.numpy(), found.tolist(), strict=True):
        size = abs(row)
        at_values = max((size <= u).mean() / u for u in size)
        assert c2 == pytest.approx(at_values, rel=1e-12)
        grid = np.linspace(1e-4, 2 * size.max(), 200_001)
        on_grid = ((size[:, None] <= grid).mean(0) / grid).max()
        assert 0.97 * c2 <= on_grid <= c2 * (1 + 1e-12)


def test_c2_in_units_of_the_layers_root_mean_square() -> None:
    model, samples = _network(), noise_samples(6, 5)
    weights, biases = _matrices(model)
    found = conditions(model, samples, deltas=(0.05, 0.5))
    for n, x in enumerate(samples.x.numpy()):
        for i, z in enumerate(_forward(weights, biases, x)[:-1]):
            unit = math.sqrt(sum(float(v) ** 2 for v in z) / len(z))
            shares = [sum(abs(v) <= delta * unit for v in z) / len(z) for delta in (0.05, 0.5)]
            assert found.c2_shares[n, i].tolist() == pytest.approx(shares)
            worst = max(sum(abs(v) <= abs(u) for v in z) / len(z) / abs(u) * unit for u in z)
            assert float(found.c2[n, i]) == pytest.approx(worst, rel=1e-9)
            largest = max(s / delta for s, delta in zip(shares, (0.05, 0.5), strict=True))
            assert float(found.c2_at_deltas[n, i]) == pytest.approx(largest)
    assert bool((found.c2 >= found.c2_at_deltas - 1e-12).all())


def test_c2_of_the_reference() -> None:
    model, samples, values = reference("mlp")
    expected = values["conditions"]["c2_share_layer1_first_sample"]
    found = conditions(model, samples, deltas=[float(delta) for delta in expected])
    assert found.c2_shares[0, 0].tolist() == pytest.approx(list(expected.values()))


def test_c3_by_loops() -> None:
    model, samples = _network(), noise_samples(6, 5)
    weights, biases = _matrices(model)
    found = conditions(model, samples)
    for i, weight in enumerate(weights):
        rows = [math.sqrt(sum(float(v) ** 2 for v in row)) for row in weight]
        mean = sum(rows) / len(rows)
        assert float(found.row_norms[i]) == pytest.approx(max(rows) / mean, rel=1e-9)
        for n, x in enumerate(samples.x.numpy()):
            d = _diagonals(_forward(weights, biases, x))[i]
            norm = np.linalg.norm(d @ weight)
            expected = math.sqrt(len(rows)) * max(rows) / norm if norm else math.inf
            assert float(found.c3[n, i]) == pytest.approx(expected, rel=1e-9)
    assert bool((found.c3 >= found.c3_all_active - 1e-12).all())


def test_c3_of_the_reference() -> None:
    """Its C_3 is the one of all units active."""
    model, samples, values = reference("mlp")
    found = conditions(model, samples)
    rows, all_active = zip(*values["conditions"]["c3"], strict=True)
    assert found.row_norms.tolist() == pytest.approx(rows, rel=1e-9)
    assert found.c3_all_active.tolist() == pytest.approx(all_active, rel=1e-9)


# --- perturbations


def test_flips_and_changes_by_loops() -> None:
    model, samples = _network(), noise_samples(4, 5)
    weights, biases = _matrices(model)
    found = conditions(model, samples, gammas=(0.2, 0.7), draws=2, seed=5)
    generator = torch.Generator().manual_seed(5)
    for draw in range(2):
        noise = [
            torch.randn(w.shape, generator=generator, dtype=torch.float64).numpy() for w in weights
        ]
        for g, gamma in enumerate((0.2, 0.7)):
            moved = [
                w + gamma * np.linalg.norm(w) / math.sqrt(w.shape[0] * w.shape[1]) * z
                for w, z in zip(weights, noise, strict=True)
            ]
            flips, changes, pooled = np.zeros(3), [], 0
            for x in samples.x.numpy():
                before, after = _forward(weights, biases, x), _forward(moved, biases, x)
                for i in range(3):
                    changed = sum((before[i] > 0) != (after[i] > 0))
                    flips[i] += changed / len(before[i]) / 4
                    pooled += changed
                apart = np.linalg.norm(after[-1] - before[-1])
                changes.append(apart / np.linalg.norm(before[-1]))
            assert found.flips[draw, g].tolist() == pytest.approx(flips, abs=1e-12)
            assert float(found.pooled_flips[draw, g]) == pytest.approx(pooled / 4 / (7 + 4 + 6))
            assert float(found.output_change[draw, g]) == pytest.approx(np.mean(changes), rel=1e-9)
    assert float(found.flips.max()) > 0


def test_flips_of_the_first_layer_are_those_of_a_normal_distribution() -> None:
    """z = w · x moves by N(0, σ² ‖x‖²): its sign flips with probability Φ(−|z| / (σ ‖x‖))."""
    model, samples = _network(bias=False), noise_samples(3, 5)
    weight = _matrices(model)[0][0]
    draws, gamma = 3000, 0.5
    found = conditions(model, samples, gammas=(gamma,), draws=draws)
    sigma = gamma * np.linalg.norm(weight) / math.sqrt(weight.size)
    expected = np.mean(
        [
            0.5 * math.erfc(abs(float(z)) / (sigma * np.linalg.norm(x)) / math.sqrt(2))
            for x in samples.x.numpy()
            for z in weight @ x
        ]
    )
    error = float(found.flips[:, 0, 0].std()) / math.sqrt(draws)
    assert abs(float(found.flips[:, 0, 0].mean()) - expected) < 3 * error
    assert error < 0.05 * expected


def test_flips_of_the_reference() -> None:
    """50 of its own draws: they agree with 2000 of ours within three of its standard errors."""
    model, samples, values = reference("mlp")
    flips, change = values["conditions"]["flips_first_sample_gamma01"]
    first = Samples(samples.x[:1], samples.y[:1])
    found = conditions(model, first, gammas=(0.1,), draws=2000)
    for layer in range(2):
        error = float(found.flips[:, 0, layer].std()) / math.sqrt(50)
        assert abs(float(found.flips[:, 0, layer].mean()) - flips[layer]) <= 3 * error
    error = float(found.output_change.std()) / math.sqrt(50)
    assert abs(float(found.output_change.mean()) - change) < 3 * error


def test_small_perturbations_change_the_output_in_proportion() -> None:
    found = conditions(_network(), noise_samples(5, 5), gammas=(1e-6, 2e-6), draws=3)
    ratio = found.output_change[:, 1] / found.output_change[:, 0]
    assert ratio.tolist() == pytest.approx([2, 2, 2], rel=1e-4)
    assert float(found.flips.max()) == 0


# --- what it promises


def _everything(found: Conditions) -> dict[str, Any]:
    tensors = ("c2", "c2_shares", "c3", "row_norms", "flips", "output_change")
    return {**found.c1, **{name: getattr(found, name) for name in tensors}}


def _assert_same(one: Conditions, other: Conditions, **tolerance: float) -> None:
    first, second = _everything(one), _everything(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        torch.testing.assert_close(values, second[name], **tolerance, msg=str(name))


def test_scaled_layers_and_inputs_change_nothing() -> None:
    """Every quantity is relative, so without biases positive factors cancel."""
    model, samples = _network(bias=False), noise_samples(5, 5)
    before = conditions(model, samples, seed=3)
    for factor, layer in zip((10.0, 0.1, 3.0, 0.02), model[::2], strict=True):
        layer.weight.data *= factor
    scaled = Samples(1000 * samples.x, samples.y)
    _assert_same(conditions(model, scaled, seed=3), before, rtol=1e-9, atol=1e-12)


def test_renumbered_units_change_nothing_but_the_draws() -> None:
    model, samples = _network(), noise_samples(5, 5)
    before = conditions(model, samples)
    order = torch.tensor([6, 2, 0, 5, 1, 4, 3])
    model[0].weight.data = model[0].weight.data[order]
    model[0].bias.data = model[0].bias.data[order]
    model[2].weight.data = model[2].weight.data[:, order]
    after = conditions(model, samples)
    for name, values in _everything(before).items():
        if name not in ("flips", "output_change"):
            torch.testing.assert_close(_everything(after)[name], values)


def test_float32() -> None:
    model, samples = _network(), noise_samples(5, 5)
    exact, fast = (
        conditions(model, samples, gammas=(0.1,), dtype=dtype)
        for dtype in (torch.float64, torch.float32)
    )
    for name, values in _everything(fast).items():
        assert values.dtype is torch.float64
        if name not in ("flips", "output_change"):  # other random numbers
            torch.testing.assert_close(values, _everything(exact)[name], rtol=1e-4, atol=0)


def test_the_seed_decides() -> None:
    model, samples = _network(), noise_samples(5, 5)
    first, again, other = (conditions(model, samples, seed=seed) for seed in (1, 1, 2))
    _assert_same(first, again, rtol=0, atol=0)
    assert not torch.equal(first.output_change, other.output_change)


def test_the_network_is_left_as_it_was() -> None:
    model = _network().train()
    with left_as_it_was(model):
        conditions(model, noise_samples(5, 5))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gammas": (0.1, 0.0)}, r"gammas=\[0.1, 0.0\]: give one or more finite numbers above 0"),
        ({"gammas": ()}, r"gammas=\[\]"),
        ({"deltas": (math.nan,)}, r"deltas=\[nan\]"),
        ({"draws": 0}, "draws=0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(GsnrError, match=said):
        conditions(_network(), noise_samples(5, 5), **settings)


def test_an_overflow() -> None:
    model = _network(bias=False)
    for layer in model[::2]:
        layer.weight.data *= 1e15
    assert conditions(model, noise_samples(5, 5)).inverse_mu > 0
    with pytest.raises(GsnrError, match=r"not finite.*take dtype=torch.float64"):
        conditions(model, noise_samples(5, 5), dtype=torch.float32)
