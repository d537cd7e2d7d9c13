"""When training ends before its last epoch."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.milestones import ZERO_ERROR
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import typed_config

CPU = torch.device("cpu")
N, N_SETS, EPOCHS = 12, 3, 60
State = dict[str, Tensor]
RULES = {
    "gd": ("lr=0.5",),
    "sgd": ("optim=sgd", "optim.batch_size=5", "lr=0.2"),
    "adam": ("optim=adam", "optim.batch_size=5", "lr=0.02"),
}


def _config(*overrides: str) -> Config:
    sizes = (f"n={N}", f"n_sets={N_SETS}", "n_test=5", f"epochs={EPOCHS}", "dtype=float64")
    cfg = typed_config(*sizes, "measure_at=[0]", *overrides)
    assert problems(cfg) == []
    return cfg


def _samples(n: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randint(0, 3, (n,), generator=generator))


SETS = RunSets([_samples(N, 20 + m) for m in range(N_SETS)], _samples(5, 99))


def _network(norm: bool = False) -> nn.Module:
    torch.manual_seed(3)
    middle = [nn.BatchNorm1d(16)] if norm else []
    return nn.Sequential(nn.Linear(6, 16), *middle, nn.ReLU(), nn.Linear(16, 3)).double()


def _ensemble(cfg: Config, norm: bool = False) -> Ensemble:
    return Ensemble(copy.deepcopy(_network(norm)), SETS, "classification", cfg.training, CPU)


def _run(cfg: Config, norm: bool = False) -> tuple[list[Snapshot], list[int], Ensemble]:
    ensemble, passed = _ensemble(cfg, norm), []
    return list(ensemble.run(passed.append)), passed, ensemble


def _curves(rule: str, norm: bool = False) -> list[tuple[float, float]]:
    """Largest training loss and error over the replicas, by epoch, of a training that goes on."""
    every = _config(*RULES[rule], "measure_at=every:1")
    snapshots, _, _ = _run(every, norm)
    return [(float(s.train_loss.max()), 1 - float(s.train_accuracy.min())) for s in snapshots]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("norm", [False, True])
def test_training_ends_at_the_first_epoch_that_meets_the_rules(rule: str, norm: bool) -> None:
    curves = _curves(rule, norm)
    limit = curves[30][0]
    cases = {
        (f"stop.train_loss={limit!r}",): lambda loss, error: loss <= limit,
        ("stop.train_error=0",): lambda loss, error: error == 0,
        ("stop.train_error=0.25",): lambda loss, error: error <= 0.25,
        (f"stop.train_loss={limit!r}", "stop.train_error=0"): (
            lambda loss, error: loss <= limit and error == 0
        ),
    }
    for stops, is_met in cases.items():
        first = next(epoch for epoch, curve in enumerate(curves) if is_met(*curve))
        snapshots, passed, ensemble = _run(_config(*RULES[rule], *stops), norm)
        assert [s.epoch for s in snapshots] == sorted({0, first})
        assert [s.is_end for s in snapshots][-1]
        assert passed == list(range(1, first + 1))
        assert ensemble.stopped_by(first) == " and ".join(stop.split("=")[0] for stop in stops)
        assert float(snapshots[-1].train_loss.max()) == pytest.approx(curves[first][0], rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_the_bound_may_come_first(rule: str) -> None:
    cfg = _config(*RULES[rule], "stop.train_loss=1e-9", "epochs=3", "measure_at=[1]")
    snapshots, passed, ensemble = _run(cfg)
    assert [(s.epoch, s.is_end) for s in snapshots] == [(1, False), (3, True)]
    assert passed == [1, 2, 3]
    assert ensemble.stopped_by(3) == "epochs"


@pytest.mark.parametrize("rule", RULES)
def test_what_ended_the_training_is_judged_before_its_last_measured_step(rule: str) -> None:
    """A measured step of gradient descent goes one beyond the training."""
    losses = [loss for loss, _ in _curves(rule)[:5]]
    between = (losses[3] + losses[4]) / 2
    assert losses[4] < between < losses[3]
    cfg = _config(*RULES[rule], "epochs=3", "measure_at=[3]", f"stop.train_loss={between!r}")
    snapshots, _, ensemble = _run(cfg)
    assert [s.epoch for s in snapshots] == [3]
    assert ensemble.stopped_by(3) == "epochs"


def test_without_rules_nothing_stops() -> None:
    snapshots, _, ensemble = _run(_config("lr=0.5", "epochs=4", "measure_at=[2,end]"))
    assert [(s.epoch, s.is_end) for s in snapshots] == [(2, False), (4, True)]
    assert ensemble.stopped_by(4) == ""


@pytest.mark.parametrize("rule", RULES)
def test_stopping_changes_no_weight(rule: str) -> None:
    """The judgement is a look: the same weights are passed with and without it."""
    judged = _ensemble(_config(*RULES[rule], "stop.train_loss=1e-9", "epochs=5"), norm=True)
    plain = _ensemble(_config(*RULES[rule], "epochs=5", "measure_at=[0,5]"), norm=True)
    list(judged.run())
    list(plain.run())
    for one, other in zip(judged.replicas, plain.replicas, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))


@pytest.mark.parametrize("rule", RULES)
def test_a_training_that_is_resumed_stops_at_the_same_epoch(rule: str) -> None:
    cfg = _config(*RULES[rule], "stop.train_error=0")
    whole, passed, _ = _run(cfg)
    assert passed
    for at in (passed[0], passed[-1]):
        first, kept = _ensemble(cfg), {}

        def keep(epoch: int, first: Ensemble = first, at: int = at, kept: State = kept) -> None:
            if epoch == at:
                kept.update({name: tensor.clone() for name, tensor in first.state().items()})

        list(first.run(keep))
        second = _ensemble(cfg)
        second.load_state(kept)
        again = list(second.run(first=at, measured=[0]))
        assert [s.epoch for s in again] == [passed[-1]]
        assert torch.equal(again[0].test_loss, whole[-1].test_loss)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stop.train_loss=-1", "stop.train_loss=-1"),
        ("stop.train_error=1", "stop.train_error=1"),
        ("stop.train_error=-0.1", "stop.train_error=-0.1"),
        ("stop.train_loss=nan", "only finite numbers"),
    ],
)
def test_what_is_no_rule_of_stopping(override: str, words: str) -> None:
    (problem,) = problems(typed_config(override))
    assert words in problem


def test_the_error_is_exact() -> None:
    cfg = _config()
    losses = _ensemble(cfg).replicas[0].losses(SETS.train[0])
    assert losses.error * N == round(losses.error * N)
    assert math.isclose(losses.error, 1 - losses.accuracy)


def test_a_regression_stops_by_its_loss() -> None:
    cfg = _config("lr=0.05", "stop.train_loss=0.5", "epochs=300")
    generator = torch.Generator().manual_seed(0)
    sets = RunSets([], _regression(5, generator))
    sets.train.extend(_regression(N, generator) for _ in range(N_SETS))
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    ensemble = Ensemble(network, sets, "regression", cfg.training, CPU)
    wanted = replace(Requirements(), milestones=frozenset([ZERO_ERROR]))
    *_, last = ensemble.run(wanted=wanted)
    assert last.is_end
    assert 0 < last.epoch < 300
    assert float(last.train_loss.max()) <= 0.5
    assert bool(last.milestones[ZERO_ERROR].isnan().all())


def _regression(n: int, generator: torch.Generator) -> Samples:
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    return Samples(x, x[:, :1] + torch.randn(n, 1, generator=generator, dtype=torch.float64))


# --- the first epoch without an error


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stops", [(), ("stop.train_loss=1e-9",)])
def test_first_zero_error_of_each_replica(rule: str, stops: tuple[str, ...]) -> None:
    every, wanted = _config(*RULES[rule], "measure_at=every:1", *stops), Requirements()
    snapshots = list(
        _ensemble(every).run(wanted=replace(wanted, milestones=frozenset([ZERO_ERROR])))
    )
    correct = torch.stack([s.train_accuracy for s in snapshots]) == 1  # [epochs, M]
    firsts = correct.int().argmax(0)  # of several largest the first
    assert correct.any(0).all()
    assert len(set(firsts.tolist())) > 1
    assert int(firsts.min()) > 0
    steps = 1 if rule == "gd" else 3
    for at in (int(firsts.min()) - 1, int(firsts.max())):
        expected = [f * steps if f <= at else math.nan for f in firsts.tolist()]
        found = snapshots[at].milestones[ZERO_ERROR]
        np.testing.assert_array_equal(found.numpy(), expected)


def test_zero_error_is_known_after_a_resume_that_came_later() -> None:
    cfg, wanted = _config(*RULES["sgd"], "epochs=40", "measure_at=[end]"), Requirements()
    wanted = replace(wanted, milestones=frozenset([ZERO_ERROR]))
    whole = _ensemble(cfg)
    kept: list[State] = []
    (snapshot,) = whole.run(
        lambda epoch: kept.append({n: t.clone() for n, t in whole.state().items()}),
        wanted=wanted,
    )
    second = _ensemble(cfg)
    second.load_state(kept[36])
    (resumed,) = second.run(first=37, wanted=wanted)
    assert bool((snapshot.milestones[ZERO_ERROR] < 37 * 3).all())
    assert torch.equal(snapshot.milestones[ZERO_ERROR], resumed.milestones[ZERO_ERROR])


def test_who_does_not_ask_pays_nothing() -> None:
    (snapshot,) = _ensemble(_config("epochs=1", "measure_at=[end]")).run()
    assert snapshot.milestones == {}
