"""`osgr` against a run's record, and against plain PyTorch in float64."""

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gsnr_sweep import gradient_statistics, osgr
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets, draw_sets
from gsnr_sweep.data.seeding import Stream, torch_seed
from gsnr_sweep.engine.settings import EngineSettings
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures.osgr_diff import osgr_diff
from gsnr_sweep.measures.osgr_lhs import osgr_lhs
from gsnr_sweep.measures.osgr_rhs import noise_and_power, osgr_rhs
from gsnr_sweep.models.build import build_model
from gsnr_sweep.runs.runner import run_point
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.settings import TrainingSettings
from gsnr_sweep.training.snapshot import Snapshot
from tests.api.networks import cnn, gradients_one_by_one
from tests.conftest import MakeConfig


def draw(n: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 4)
    return x, (x[:, 0] + 0.5 * torch.randn(n) > 0).long()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()


def test_both_sides_against_plain_pytorch() -> None:
    models, sets, (x_test, y_test), lr = [], [draw(20) for _ in range(3)], draw(31), 1e-2
    start = network()
    for x, y in sets:
        models.append(network())
        models[-1].load_state_dict(start.state_dict())
        optimizer = torch.optim.SGD(models[-1].parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(models[-1](x.double()), y).backward()
            optimizer.step()
    found = osgr(models, sets, (x_test, y_test), lr=lr, batch_size=7)
    tops, bottoms, noise, power = [], [], [], []
    for model, (x, y) in zip(models, sets, strict=True):
        each = gradients_one_by_one(
            model, x, y, lambda o, t: F.cross_entropy(o, t, reduction="none")
        )
        every = torch.cat([g.flatten(1) for g in each.values()], dim=1)
        noise.append(every.var(0, correction=0).sum() / len(x))
        power.append(every.mean(0).square().sum())
        before = [
            float(F.cross_entropy(model(a.double()), b)) for a, b in ((x_test, y_test), (x, y))
        ]
        model.zero_grad()
        F.cross_entropy(model(x.double()), y).backward()
        torch.optim.SGD(model.parameters(), lr=lr).step()
        after = [
            float(F.cross_entropy(model(a.double()), b)) for a, b in ((x_test, y_test), (x, y))
        ]
        tops.append(after[0] - before[0])
        bottoms.append(after[1] - before[1])
    assert found.lhs == pytest.approx(sum(tops) / sum(bottoms), rel=1e-9)
    assert found.rhs == pytest.approx(1 - float(sum(noise) / sum(power)), rel=1e-9)
    assert found.diff == pytest.approx(found.lhs - found.rhs)
    assert found.taylor_ratio == pytest.approx(1, abs=0.01)
    assert found.n == 20


@pytest.mark.parametrize("data", ["toy", "digits"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_those_of_a_runs_record(
    make_config: MakeConfig, tmp_path: Path, data: str, dtype: str
) -> None:
    cfg = make_config(f"data={data}", f"dtype={dtype}", "n_sets=3", "epochs=0", "measure_at=[0]")
    record = run_point(cfg, tmp_path).record
    source = distribution(cfg.data)
    sets = draw_sets(source, cfg.sampling)
    seed = torch_seed(cfg.seed, Stream.INITIAL_WEIGHTS)
    spec = source.spec
    model = build_model(cfg.model, cfg.ch, spec.input_shape, spec.n_outputs, seed)
    kind = getattr(torch, dtype)
    tensors = [one.batch(0, len(one), kind) for one in (*sets.train, sets.test)]
    loss = nn.CrossEntropyLoss() if data == "digits" else nn.MSELoss(reduction="sum")
    found = osgr(model, tensors[:-1], tensors[-1], lr=cfg.lr, loss=loss, dtype=kind)
    (measured,) = record.measurements
    near = 1e-9 if dtype == "float64" else 1e-3
    for name in ("lhs", "lhs_se", "rhs", "rhs_se", "diff", "diff_se"):
        expected = measured.metrics[f"osgr_{name}"]
        assert getattr(found, name) == pytest.approx(expected, rel=near, abs=near / 10), name
    statistics = gradient_statistics(model, tensors[0], loss, dtype=kind)
    assert statistics.osgr() == pytest.approx(1 - _share(found.snapshot, 0), rel=near)


def _share(snapshot: Snapshot, m: int) -> float:
    noise, power = noise_and_power(snapshot)
    return float(noise[m] / power[m])


@pytest.mark.parametrize("chunk", [None, 5])
def test_trained_weights_and_batch_normalization_are_as_in_a_run(chunk: int | None) -> None:
    model, _ = cnn()
    draws = [(torch.randn(n, 2, 8, 8).double(), torch.randint(0, 4, (n,))) for n in (12, 12, 9)]
    sets = RunSets([Samples(*draw) for draw in draws[:2]], Samples(*draws[2]))
    engine = EngineSettings(n=12, kernels="none", chunk_size=chunk)
    settings = TrainingSettings(2, 3, (3,), 0.05, engine, dtype="float64")
    ensemble = Ensemble(copy.deepcopy(model), sets, "classification", settings, torch.device("cpu"))
    (snapshot,) = ensemble.run(wanted=Requirements(weights=True))
    assert snapshot.weights is not None
    models = [copy.deepcopy(model) for _ in range(2)]
    for one, weights in zip(models, snapshot.weights, strict=True):
        nn.utils.vector_to_parameters(weights, one.parameters())
    found = osgr(models, draws[:2], draws[2], lr=0.05, batch_norm="training_set", batch_size=chunk)
    expected = {**osgr_lhs(snapshot), **osgr_rhs(snapshot), **osgr_diff(snapshot)}
    for name, value in expected.items():
        assert getattr(found, name.removeprefix("osgr_")) == pytest.approx(value, rel=1e-7), name
    torch.testing.assert_close(found.snapshot.train_loss_next, snapshot.train_loss_next)


def test_loaders_may_shuffle_but_the_test_set_may_not() -> None:
    torch.manual_seed(0)
    model, train, test = network(), TensorDataset(*draw(20)), TensorDataset(*draw(11))
    expected = osgr(model, [train.tensors], test)
    found = osgr(model, [DataLoader(train, 6, shuffle=True)], DataLoader(test, 4))
    assert found.lhs == pytest.approx(expected.lhs, rel=1e-9)
    assert found.rhs == pytest.approx(expected.rhs, rel=1e-9)
    assert math.isnan(found.lhs_se)
    with pytest.raises(GsnrError, match="test_set: it gives its samples in another order"):
        osgr(model, train.tensors, DataLoader(test, 4, shuffle=True))


class Augmented(TensorDataset):
    def __getitem__(self, place: int) -> tuple[Tensor, ...]:
        x, y = super().__getitem__(place)
        return x + 0.1 * torch.randn(x.shape), y


def test_random_augmentation_is_refused_where_it_would_be_wrong() -> None:
    train, model = Augmented(*draw(20)), network()
    assert gradient_statistics(model, train).n == 20
    with pytest.raises(GsnrError, match=r"train_sets\[1\]: it gives other samples each time"):
        osgr(model, [draw(20), train], draw(10))


REFUSED = {
    "an iterator": (lambda: {"test_set": iter([draw(5)])}, "test_set: this is an iterator"),
    "sizes": (lambda: {"train_sets": [draw(9), draw(8)]}, "they hold 9, 8 samples"),
    "none": (lambda: {"train_sets": []}, "train_sets: there are none"),
    "no sets": (lambda: {"train_sets": 3}, "train_sets: this is of type int"),
    "too few models": (lambda: {"models": [network()]}, "there are 1 for 2 training sets"),
    "no models": (lambda: {"models": 3}, "there are a int for 2 training sets"),
    "other networks": (
        lambda: {"models": [network(), nn.Linear(4, 2).double()]},
        "have other shapes than",
    ),
    "lr": (lambda: {"lr": 0.0}, "lr=0.0: a positive number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_answered_in_a_paragraph(name: str) -> None:
    make, said = REFUSED[name]
    given = {"models": network(), "train_sets": [draw(9), draw(9)], "test_set": draw(5)}
    with pytest.raises(GsnrError, match=said) as error:
        osgr(**{**given, **make()})
    assert "\n" not in str(error.value)


def test_models_and_sets_are_left_as_they_are() -> None:
    models, sets = [network() for _ in range(2)], [draw(10) for _ in range(2)]
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in models]
    first = osgr(models, sets, draw(10))
    assert all(
        torch.equal(v, b[k])
        for m, b in zip(models, before, strict=True)
        for k, v in m.state_dict().items()
    )
    assert all(p.grad is None for m in models for p in m.parameters())
    assert math.isfinite(first.lhs_se)
