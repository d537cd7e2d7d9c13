"""The first term of eq. (28) against loops over weights, samples and parameters."""

import copy
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.measures import requirements_of
from gsnr_sweep.measures.first_term import MOST_WEIGHTS, LayerTerms, first_term
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.gradients.oracles import gradient_descent, per_sample_gradients
from tests.measures.networks import CPU, config_of, cross_entropy, mlp, sets_of

IMAGES = (2, 6, 6)


def _snapshots(model: nn.Module, *overrides: str, shape: tuple[int, ...] = (3,)) -> list[Snapshot]:
    cfg = config_of(*overrides)
    sets = sets_of(cfg, shape)
    ensemble = Ensemble(copy.deepcopy(model), sets, "classification", cfg.training, CPU)
    return list(ensemble.run(wanted=requirements_of({"first_term": first_term})))


def _terms(model: nn.Module, *overrides: str, shape: tuple[int, ...] = (3,)) -> list[LayerTerms]:
    """Those of the only replica at the initial weights."""
    (shot,) = _snapshots(model, "n_sets=1", *overrides, shape=shape)
    (found,) = shot.probed["first_term"]
    return found


def _sets(*overrides: str, shape: tuple[int, ...] = (3,)) -> RunSets:
    return sets_of(config_of(*overrides), shape)


def _brute_force(model: nn.Sequential, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """−W_s,c/n² Σ_j (Σ_i ∂L_i/∂o_i,c ∂a_i,s/∂θ_j)², every derivative one by one.

    θ_j runs over the trained parameters in front of the layer.
    """
    terms = {}
    for place, (name, layer) in enumerate(model.named_children()):
        earlier = [p for before in model[:place] for p in before.parameters() if p.requires_grad]
        if not isinstance(layer, nn.Linear) or not layer.weight.requires_grad or not earlier:
            continue
        n_outputs, n_inputs = layer.weight.shape
        n_earlier = sum(p.numel() for p in earlier)
        sums = np.zeros((n_outputs, n_inputs, n_earlier))
        for i in range(len(x)):
            a = model[:place](x[i : i + 1])[0]
            o = layer(a)
            loss = cross_entropy(model[place + 1 :](o[None]), y[i : i + 1]).sum()
            (delta,) = torch.autograd.grad(loss, o, retain_graph=True)
            for s in range(n_inputs):
                parts = torch.autograd.grad(a[s], earlier, retain_graph=True)
                derivatives = torch.cat([part.flatten() for part in parts])
                for c in range(n_outputs):
                    for j in range(n_earlier):
                        sums[c, s, j] += float(delta[c]) * float(derivatives[j])
        weights = layer.weight.detach().numpy()
        terms[name] = -weights / len(x) ** 2 * (sums**2).sum(2)
    return terms


def _place(model: nn.Module, name: str) -> int:
    """Where a parameter begins among the flattened trained ones."""
    place = 0
    for other, parameter in model.named_parameters():
        if other == name:
            return place
        place += parameter.numel() if parameter.requires_grad else 0
    raise KeyError(name)


def _assert_equal(found: list[LayerTerms], model: nn.Sequential, x: Tensor, y: Tensor) -> None:
    expected = _brute_force(model, x, y)
    assert [layer.layer for layer in found] == list(expected)
    for layer in found:
        right = expected[layer.layer].flatten()
        start = _place(model, f"{layer.layer}.weight")
        assert layer.places.tolist() == list(range(start, start + len(right)))
        np.testing.assert_allclose(layer.terms.numpy(), right, rtol=1e-9, atol=1e-15)
        assert np.abs(right).max() > 1e-6


def _three_layers() -> nn.Sequential:
    """fc2 has 72 weights: they are not all pulled back at once."""
    return mlp(9, 8)


def _network_with(*hidden: tuple[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(hidden)).double()


def _frozen_first() -> nn.Sequential:
    model = mlp(5, 4)
    model.fc1.requires_grad_(False)
    return model


def _frozen_bias() -> nn.Sequential:
    model = mlp(5, 4)
    model.fc1.bias.requires_grad_(False)
    return model


def _frozen_second() -> nn.Sequential:
    model = mlp(5, 4)
    model.fc2.requires_grad_(False)
    return model


def _convolution() -> nn.Sequential:
    torch.manual_seed(0)
    return _network_with(
        ("conv", nn.Conv2d(2, 3, 3)), ("pool", nn.MaxPool2d(2)), ("relu", nn.ReLU()),
        ("flatten", nn.Flatten()), ("fc", nn.Linear(12, 4)),
    )  # fmt: skip


CASES = {
    "three layers": (_three_layers, (3,)),
    "frozen first layer": (_frozen_first, (3,)),
    "frozen bias": (_frozen_bias, (3,)),
    "frozen second layer": (_frozen_second, (3,)),
    "convolution": (_convolution, IMAGES),
}


@pytest.mark.parametrize("chunk", ["null", "1", "3"])
@pytest.mark.parametrize("name", CASES)
def test_terms_are_those_of_loops_over_weights_samples_and_parameters(
    name: str, chunk: str
) -> None:
    factory, shape = CASES[name]
    train = _sets(shape=shape).train[0]
    found = _terms(factory(), f"chunk_size={chunk}", shape=shape)
    _assert_equal(found, factory(), train.x, train.y)


def test_terms_with_batch_normalization_hold_its_statistics_fixed() -> None:
    torch.manual_seed(0)
    model = _network_with(
        ("fc1", nn.Linear(3, 5)), ("bn", nn.BatchNorm1d(5)), ("relu", nn.ReLU()),
        ("fc2", nn.Linear(5, 4)),
    )  # fmt: skip
    train = _sets().train[0]
    found = _terms(model, "chunk_size=3")
    hidden = model.fc1(train.x).detach()
    model.bn.running_mean, model.bn.running_var = hidden.mean(0), hidden.var(0, correction=0)
    _assert_equal(found, model.eval(), train.x, train.y)


def test_a_network_of_one_layer_has_no_earlier_parameters() -> None:
    assert _terms(_network_with(("fc1", nn.Linear(3, 4)))) == []


def test_of_a_wide_layer_a_sample_is_taken_the_same_everywhere() -> None:
    model, other = mlp(20, 15), mlp(20, 15)
    shots = _snapshots(model, "n=3", "epochs=1", "measure_at=[0,1]")
    found = [layers for shot in shots for layers in shot.probed["first_term"]]
    assert len(found) == 4
    fc2 = [layers[0] for layers in found]
    assert {layer.layer for layer in fc2} == {"fc2"}
    places = fc2[0].places.tolist()
    assert len(set(places)) == MOST_WEIGHTS < model.fc2.weight.numel()
    assert all(layer.places.tolist() == places for layer in fc2)
    start = _place(model, "fc2.weight")
    assert places == sorted(places)
    assert start <= places[0] < places[-1] < start + model.fc2.weight.numel()
    train = _sets("n=3").train[0]
    right = _brute_force(other, train.x, train.y)["fc2"].flatten()
    chosen = [place - start for place in places]
    np.testing.assert_allclose(fc2[0].terms.numpy(), right[chosen], rtol=1e-9, atol=1e-15)


def test_terms_do_not_depend_on_the_threads() -> None:
    one, three = (
        _snapshots(_three_layers(), "n_sets=3", f"threads={threads}")[0] for threads in (1, 3)
    )
    for ours, others in zip(one.probed["first_term"], three.probed["first_term"], strict=True):
        for layer, other in zip(ours, others, strict=True):
            assert torch.equal(layer.terms, other.terms)
    assert first_term(one) == first_term(three)


def test_looking_at_the_term_does_not_change_the_training() -> None:
    (watched,) = _snapshots(_three_layers())
    cfg = config_of()
    ensemble = Ensemble(_three_layers(), sets_of(cfg), "classification", cfg.training, CPU)
    (plain,) = ensemble.run()
    assert torch.equal(plain.train_loss_next, watched.train_loss_next)
    assert torch.equal(plain.gradient_sum, watched.gradient_sum)
    assert all(not m._forward_hooks for r in ensemble.replicas for m in r.model.modules())


# --- compared with the whole change


def _changes(model: nn.Module, x: Tensor, y: Tensor, lr: float) -> np.ndarray:
    """Δg of one step of plain gradient descent [P]."""
    model = copy.deepcopy(model)
    before = per_sample_gradients(model, x, y, cross_entropy).mean(0)
    gradient_descent(model, x, y, cross_entropy, lr, 1)
    after = per_sample_gradients(model, x, y, cross_entropy).mean(0)
    return (after - before).numpy()


def test_the_measure_compares_the_term_with_the_change_of_the_gradient() -> None:
    cfg, model = config_of("n_sets=3"), mlp(6, 5)
    (shot,) = _snapshots(model, "n_sets=3")
    collected: dict[str, list[float]] = {}
    for train in sets_of(cfg).train:
        change = _changes(model, train.x, train.y, cfg.lr)
        for name, terms in _brute_force(model, train.x, train.y).items():
            start = _place(model, f"{name}.weight")
            pairs = list(zip(cfg.lr * terms.flatten(), change[start:], strict=False))
            kept = [(a, b) for a, b in pairs if a != 0 and b != 0]
            same = sum((a > 0) == (b > 0) for a, b in kept) / len(kept)
            a, b = np.array(pairs).T
            size = np.abs(a).sum() / np.abs(b).sum()
            for kind, value in (
                ("same_sign", same), ("corr", np.corrcoef(a, b)[0, 1]), ("size", size),
            ):  # fmt: skip
                collected.setdefault(f"first_term_{kind}/{name}", []).append(value)
    expected = {name: sum(values) / len(values) for name, values in collected.items()}
    for kind in ("same_sign", "corr", "size"):
        by_layer = [expected[f"first_term_{kind}/{name}"] for name in ("fc2", "fc3")]
        expected[f"first_term_{kind}"] = sum(by_layer) / 2
    assert first_term(shot) == pytest.approx(expected, rel=1e-6)


def test_the_term_is_opposite_to_its_weight() -> None:
    (shot,) = _snapshots(_three_layers(), "n_sets=1")
    weights = torch.cat([p.detach().flatten() for p in _three_layers().parameters()])
    for layer in shot.probed["first_term"][0]:
        product = layer.terms * weights[layer.places]
        assert bool((product <= 0).all())
        assert bool((product < 0).any())


def test_dead_units_have_no_sign() -> None:
    model = mlp(6, 5)
    with torch.no_grad():
        model.fc1.bias.fill_(-100.0)  # every unit of the first layer is dead
    (shot,) = _snapshots(model)
    found = first_term(shot)
    assert math.isnan(found["first_term_same_sign/fc2"])
    assert math.isnan(found["first_term_corr/fc2"])
    assert math.isnan(found["first_term_size/fc2"])


def test_a_network_without_such_layers_has_no_values() -> None:
    (shot,) = _snapshots(_network_with(("fc1", nn.Linear(3, 4))))
    assert first_term(shot) == {}


class _Positions(nn.Sequential):
    """A linear layer that is called with samples, positions and features."""

    def __init__(self) -> None:
        super().__init__(
            nn.Unflatten(1, (3, 1)), nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 4), nn.Flatten(),
            nn.Linear(12, 4),
        )  # fmt: skip


def test_layers_over_positions_are_passed_over() -> None:
    """Eq. (28) is about fully connected layers; the others must not stop a run."""
    torch.manual_seed(0)
    assert [layer.layer for layer in _terms(_Positions().double())] == ["5"]
