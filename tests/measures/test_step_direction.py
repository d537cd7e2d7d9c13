"""The direction of the step with batch normalization, against plain formulas, sample by sample."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.measures import load_measures, measure_all, requirements_of
from gsnr_sweep.measures import osgr_step_rhs as step_rhs
from gsnr_sweep.measures.osgr_step_rhs import Spread
from gsnr_sweep.measures.undefined import reason_of
from gsnr_sweep.models.table3_cnn import Table3CNN
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.measures.networks import CLASSES, CPU, INPUTS, config_of, cross_entropy, mlp, sets_of

FUNCTIONS = {
    name: f"gsnr_sweep.measures.{name}.{name}"
    for name in ("osgr_lhs", "osgr_rhs", "fresh_sets", "step_direction", "osgr_step_rhs")
}
Weights = dict[str, Tensor]


def normalized() -> nn.Sequential:
    """Two hidden layers with batch normalization, smooth, in float64."""
    torch.manual_seed(0)
    layers = [nn.Linear(INPUTS, 6), nn.BatchNorm1d(6), nn.Tanh()]
    layers += [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, CLASSES)]
    model = nn.Sequential(*layers).double()
    with torch.no_grad():
        for norm in (model[1], model[4]):
            norm.weight.normal_(1, 0.3)
            norm.bias.normal_(0, 0.3)
    return model


def statistics(w: Weights, x: Tensor) -> list[Tensor]:
    """Mean and biased variance of both layers' inputs over a set, as functions of the weights."""
    h = x @ w["0.weight"].T + w["0.bias"]
    first = [h.mean(0), h.var(0, correction=0)]
    h = torch.tanh(_normalized(h, w, 1, *first))
    h = h @ w["3.weight"].T + w["3.bias"]
    return [*first, h.mean(0), h.var(0, correction=0)]


def _normalized(h: Tensor, w: Weights, layer: int, mean: Tensor, var: Tensor) -> Tensor:
    return (h - mean) / (var + 1e-5).sqrt() * w[f"{layer}.weight"] + w[f"{layer}.bias"]


def losses(w: Weights, samples: Samples, s: list[Tensor]) -> Tensor:
    """Losses of samples, normalized by given statistics."""
    h = torch.tanh(_normalized(samples.x @ w["0.weight"].T + w["0.bias"], w, 1, *s[:2]))
    h = torch.tanh(_normalized(h @ w["3.weight"].T + w["3.bias"], w, 4, *s[2:]))
    return cross_entropy(h @ w["6.weight"].T + w["6.bias"], samples.y)


def flat_gradient(loss: Tensor, w: Weights) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(w.values()))])


def evaluated_gradients(w: Weights, samples: Samples, train: Samples) -> np.ndarray:
    """[n, P] gradient of each sample's loss through the training set's statistics."""
    rows = []
    for i in range(len(samples)):
        one = Samples(samples.x[i : i + 1], samples.y[i : i + 1])
        rows.append(flat_gradient(losses(w, one, statistics(w, train.x)).sum(), w).numpy())
    return np.stack(rows)


def weights_of(model: nn.Module) -> Weights:
    return {n: p.detach().clone().requires_grad_() for n, p in model.named_parameters()}


def moved(w: Weights, direction: Tensor, by: float) -> Weights:
    parts = torch.split(direction, [p.numel() for p in w.values()])
    return {n: (p + by * u.view_as(p)).detach() for (n, p), u in zip(w.items(), parts, strict=True)}


def trained(
    *overrides: str, model: nn.Module | None = None, names: tuple[str, ...] = tuple(FUNCTIONS)
) -> tuple[list[Weights], RunSets, Snapshot, dict[str, float | list[float]]]:
    """Weights at the end of a training, its sets, the snapshot there and what was measured."""
    settings = ("n=8", "n_sets=3", "epochs=15", "measure_at=[end]", "lr=0.3")
    cfg = config_of(*settings, *overrides)
    sets, measures = sets_of(cfg), load_measures({name: FUNCTIONS[name] for name in names})
    at_end: list[Weights] = []
    network = copy.deepcopy(normalized() if model is None else model)
    ensemble = Ensemble(network, sets, "classification", cfg.training, CPU)

    def keep(epoch: int) -> None:
        if epoch == cfg.epochs:
            at_end.extend(weights_of(r.model) for r in ensemble.replicas)

    (snapshot,) = ensemble.run(keep, wanted=requirements_of(measures))
    return at_end, sets, snapshot, measure_all(measures, snapshot)


def test_the_oracle_is_the_network() -> None:
    model, x = normalized(), torch.randn(9, INPUTS).double()
    w, y = weights_of(model), torch.arange(9) % CLASSES
    expected = cross_entropy(functional_call(model.train(), w, (x,)), y)
    torch.testing.assert_close(losses(w, Samples(x, y), statistics(w, x)), expected)


def test_what_a_loss_falls_by_is_its_slope_through_the_training_sets_statistics() -> None:
    """Central differences of the losses as they are evaluated, against each candidate."""
    model = normalized()
    w, sets = weights_of(model), sets_of(config_of("n=9", "n_sets=2", "n_test=11"))
    train, test = sets.train[0], sets.test
    s = statistics(w, train.x)
    fixed = [each.detach() for each in s]
    step = flat_gradient(losses(w, train, s).mean(), w)

    def slope(samples: Samples) -> float:
        ends = []
        for by in (1e-5, -1e-5):
            v = moved(w, step, by)
            ends.append(float(losses(v, samples, statistics(v, train.x)).mean()))
        return (ends[0] - ends[1]) / 2e-5

    def along(samples: Samples, s: list[Tensor]) -> float:
        return float(flat_gradient(losses(w, samples, s).mean(), w) @ step)

    assert slope(train) == pytest.approx(float(step @ step), rel=1e-6)
    assert slope(train) != pytest.approx(along(train, fixed), rel=0.05)
    assert slope(test) == pytest.approx(along(test, statistics(w, train.x)), rel=1e-6)
    assert slope(test) != pytest.approx(along(test, fixed), rel=0.05)
    assert slope(test) != pytest.approx(along(test, statistics(w, test.x)), rel=0.05)
    assert slope(sets.train[1]) == pytest.approx(
        along(sets.train[1], statistics(w, train.x)), rel=1e-6
    )


@pytest.mark.parametrize("overrides", [(), ("n_sets=2",), ("chunk_size=3",)])
def test_sample_by_sample(overrides: tuple[str, ...]) -> None:
    at_end, sets, _, values = trained(*overrides)
    fresh, own, measured, cosines = [], [], [], []
    for m, w in enumerate(at_end):
        d = evaluated_gradients(w, sets.train[m], sets.train[m]).mean(0)
        fixed = [each.detach() for each in statistics(w, sets.train[m].x)]
        g = flat_gradient(losses(w, sets.train[m], fixed).mean(), w).numpy()
        others = [samples for k, samples in enumerate(sets.train) if k != m]
        means = [evaluated_gradients(w, samples, sets.train[m]).mean(0) for samples in others]
        fresh.append(d @ np.mean(means, axis=0))
        own.append(d @ d)
        measured.append(g @ g)
        cosines.append(d @ g / np.sqrt((d @ d) * (g @ g)))
    expected = {
        "step_grad_cosine": np.mean(cosines),
        "step_grad_sq_ratio": sum(own) / sum(measured),
        "osgr_step_fresh": sum(fresh) / sum(own),
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert values["step_grad_cosine"] < 0.97
    left_out = [sum(np.delete(fresh, m)) / sum(np.delete(own, m)) for m in range(len(own))]
    variance = np.var(left_out) * (len(own) - 1)
    assert values["osgr_step_fresh_se"] == pytest.approx(np.sqrt(variance), rel=1e-8)


def test_slopes_vary_as_the_gradients_of_samples_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_rhs, "_SIGNS", 400)
    at_end, sets, snapshot, values = trained(names=("osgr_step_rhs",))
    found: list[Spread] = snapshot.probed["osgr_step_rhs"]
    noise, power = [], []
    for w, samples, one in zip(at_end, sets.train, found, strict=True):
        f = evaluated_gradients(w, samples, samples)
        signs = np.concatenate(list(_first_signs(w)))
        assert float(one.moving[0]) == pytest.approx(np.var(f @ signs), rel=1e-9)
        assert one.step_sq_norm == pytest.approx(f.mean(0) @ f.mean(0), rel=1e-9)
        noise.append(f.var(0).sum() / 8)
        power.append(f.mean(0) @ f.mean(0))
    assert values["osgr_step_rhs"] == pytest.approx(1 - sum(noise) / sum(power), abs=0.05)
    assert values["osgr_step_rhs_se"] > 0


def _first_signs(w: Weights) -> Iterator[np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    for p in w.values():
        drawn = torch.randint(0, 2, p.shape, generator=generator, dtype=torch.float64)
        yield (2 * drawn - 1).flatten().numpy()


def test_the_control_variate_is_a_regression() -> None:
    rng = np.random.default_rng(0)
    fixed = rng.normal(5, 1, 16)
    moving = 0.4 * fixed + rng.normal(2, 0.1, 16)
    spread = Spread(1.0, torch.from_numpy(moving), torch.from_numpy(fixed))
    expected = np.polyval(np.polyfit(fixed, moving, 1), 5.5)
    assert float(spread.noise(torch.tensor(5.5).double())) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("variance", ["plugin", "unbiased"])
@pytest.mark.parametrize(
    "setting",
    ["without normalization", "with running statistics"],
)
def test_where_statistics_do_not_move_all_are_the_usual_ones(variance: str, setting: str) -> None:
    running = ("optim=sgd", "optim.batch_size=4", "measures.batch_norm=running", "epochs=3")
    overrides, model = (running, None) if "running" in setting else ((), mlp())
    _, _, _, values = trained(f"measures.variance={variance}", *overrides, model=model)
    pairs = [("osgr_step_fresh", "osgr_fresh"), ("osgr_step_rhs", "osgr_rhs")]
    for one, other in pairs + [(f"{a}_se", f"{b}_se") for a, b in pairs]:
        assert values[one] == pytest.approx(values[other], rel=1e-10), one
    for name in ("step_grad_cosine", "step_grad_sq_ratio"):
        assert values[name] == pytest.approx(1, rel=1e-12)


def test_looking_moves_nothing() -> None:
    plain = trained(names=("osgr_lhs", "osgr_rhs"))[3]
    both = trained()[3]
    assert {name: both[name] for name in plain} == plain


def test_a_single_set_has_no_other() -> None:
    values = trained("n_sets=1", names=("step_direction",))[3]
    assert "raise n_sets" in reason_of(values["osgr_step_fresh"])
    assert 0 < values["step_grad_cosine"] < 1


def test_compiled_kernels_step_along_the_same_direction() -> None:
    """In float32 the kernels have the gradient, and autograd the slopes."""
    cfg = config_of("n=12", "epochs=0", "dtype=float32", "lr=1e-3")
    sets, measures = sets_of(cfg, (3, 16, 16)), load_measures(FUNCTIONS)
    torch.manual_seed(0)
    ensemble = Ensemble(
        Table3CNN(2, (3, 16, 16), CLASSES), sets, "classification", cfg.training, CPU
    )
    replica = ensemble.replicas[0]
    direction = replica.gradient()
    slopes = replica.engine.slopes(direction, [replica.train], replica.train)
    assert float(slopes.mean()) == pytest.approx(
        float(sum(g.square().sum() for g in direction)), rel=1e-4
    )
    (snapshot,) = ensemble.run(wanted=requirements_of(measures))
    assert 0 < measure_all(measures, snapshot)["step_grad_cosine"] < 1
