"""Training beside a confusion set: plain PyTorch on n + K samples, as one set, in float64."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets, draw_sets
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.measures.osgr_rhs import osgr_rhs
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import typed_config
from tests.gradients.oracles import gradient_descent, per_sample_gradients

CPU = torch.device("cpu")
N, K = 12, 7
TINY = (f"n={N}", f"data.confusion={K}", "n_sets=2", "n_test=9", "epochs=3", "dtype=float64")


def _config(*overrides: str) -> Config:
    cfg = typed_config(*TINY, "measure_at=[0,3]", "lr=0.05", *overrides)
    assert problems(cfg) == []
    return cfg


def _network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(784, 5), nn.ReLU(), nn.Linear(5, 10))
    return nn.Sequential(*layers).double()


def _sets(cfg: Config) -> RunSets:
    return draw_sets(distribution(cfg.data), cfg.sampling)


def _joined(cfg: Config, m: int) -> tuple[Tensor, Tensor]:
    """The n samples of a run without a confusion set, and the others behind them."""
    clean = _sets(_config("data.confusion=0")).train[m]
    whole = _sets(cfg).train[m]
    others = Samples(whole.x[N:], whole.y[N:], whole.standardization)
    both = [samples.batch(0, len(samples), torch.float64) for samples in (clean, others)]
    x, y = (torch.cat(parts) for parts in zip(*both, strict=True))
    assert len(x) == N + K
    return x, y


def _losses(outputs: Tensor, y: Tensor) -> Tensor:
    return CROSS_ENTROPY(outputs, y)


def _run(cfg: Config) -> list[Snapshot]:
    ensemble = Ensemble(_network(), _sets(cfg), "classification", cfg.training, CPU)
    return list(ensemble.run())


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chunk", ["null", "5"])
def test_gradient_descent_and_moments_are_those_of_all_samples(chunk: str) -> None:
    cfg = _config(f"chunk_size={chunk}")
    snapshots = _run(cfg)
    assert [shot.epoch for shot in snapshots] == [0, 3]
    for shot in snapshots:
        assert shot.n == N + K
        ratios: list[tuple[Tensor, Tensor]] = []
        for m in range(2):
            x, y = _joined(cfg, m)
            model = copy.deepcopy(_network())
            gradient_descent(model, x, y, _losses, cfg.lr, int(shot.epoch))
            rows = per_sample_gradients(model, x, y, _losses)
            _close(shot.gradient[m], rows.sum(0) / (N + K))
            _close(shot.plugin_variance[m], rows.var(0, correction=0))
            _close(shot.train_loss[m], _losses(model(x), y).mean())
            ratios.append((rows.mean(0).square(), rows.var(0, correction=0)))
        # eq. (19): 1 - (1/n) E_D[σ²] / E_D[g²], weighted by the share of g² in all of it
        squares, variances = (torch.stack(kind).mean(0) for kind in zip(*ratios, strict=True))
        expected = 1 - float(variances.sum() / squares.sum()) / (N + K)
        assert math.isclose(float(osgr_rhs(shot)["osgr_rhs"]), expected, rel_tol=1e-9)


def test_mini_batches_go_through_all_samples() -> None:
    """Momentum, batches of 8 of 19 samples in an order that seed, m and epoch decide."""
    cfg = _config("optim=sgd", "optim.batch_size=8", "optim.args.momentum=0.9")
    assert cfg.training.steps_an_epoch == 3
    *_, last = _run(cfg)
    for m in range(2):
        x, y = _joined(cfg, m)
        model = _network()
        optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=0.9)
        for epoch in range(3):
            place = np.random.SeedSequence(cfg.seed, spawn_key=(5, m, epoch))
            order = np.random.Generator(np.random.Philox(place)).permutation(N + K)
            for batch in torch.split(torch.from_numpy(order), 8):
                optimizer.zero_grad()
                _losses(model(x[batch]), y[batch]).mean().backward()
                optimizer.step()
        rows = per_sample_gradients(model, x, y, _losses)
        _close(last.gradient_sum[m], rows.sum(0))
        _close(last.train_loss[m], _losses(model(x), y).mean())


def test_training_stops_when_the_confusion_set_is_learned_too() -> None:
    """One-hot inputs in a linear network, where the labels of both parts can be read off."""
    x = torch.eye(N + K, dtype=torch.float64)
    y = torch.arange(N + K) % 4
    cfg = _config("stop.train_error=0", "epochs=0", "n_sets=1", "measure_at=[0]")
    model = nn.Linear(N + K, 4).double()
    stopped = []
    for learned in (N, N + K):
        with torch.no_grad():
            model.bias.zero_()
            answers = torch.where(torch.arange(N + K) < learned, y, (y + 1) % 4)
            model.weight.copy_(torch.nn.functional.one_hot(answers, 4).T)
        sets = RunSets([Samples(x, y, clean=N)], Samples(x[:9], y[:9]))
        ensemble = Ensemble(copy.deepcopy(model), sets, "classification", cfg.training, CPU)
        stopped.append(ensemble.stopped_by(0))
    assert stopped == ["epochs", "stop.train_error"]


def test_measures_can_tell_the_clean_part() -> None:
    cfg = _config()
    ensemble = Ensemble(_network(), _sets(cfg), "classification", cfg.training, CPU)
    for m, replica in enumerate(ensemble.replicas):
        x, y = _joined(cfg, m)
        assert replica.train.clean == N
        _close(replica.losses(replica.train).per_sample, _losses(_network()(x), y))
        _close(
            replica.losses(replica.train.clean_part).per_sample, _losses(_network()(x[:N]), y[:N])
        )
