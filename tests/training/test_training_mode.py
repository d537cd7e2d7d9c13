"""Networks that are random, or normalize batches, where weights move on mini-batches."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import Checkpoint
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.requirements import Requirements
from tests.conftest import typed_config
from tests.training.test_rules import EPOCHS, N_SETS, SETS, TINY, N, _config, _order, _samples

CPU = torch.device("cpu")
OWN = Requirements(own_steps=True)
RUNNING = "measures.batch_norm=running"


class StochasticDepth(nn.Module):
    """Skips its layer for a sample at random, by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x + 0.5 * self.layer(x).tanh()
        return x + (torch.rand(len(x), 1, dtype=x.dtype) < 0.5) * self.layer(x).tanh()


class PythonNoise(nn.Module):
    """Draws from Python's and NumPy's generators."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + random.random() * np.random.rand()) if self.training else x


RANDOM = {
    "dropout": lambda: nn.Dropout(0.4),
    "stochastic depth": StochasticDepth,
    "noise": PythonNoise,
    "with batch normalization": lambda: nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.3)),
}


def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), RANDOM[name](), nn.Linear(8, 4)).double()


def _normalized(momentum: float | None = 0.3, **arguments: bool) -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8, momentum=momentum, **arguments)
    return nn.Sequential(nn.Linear(6, 8), norm, nn.Tanh(), nn.Linear(8, 4)).double()


def _ensemble(cfg: Config, network: nn.Module, sets: RunSets = SETS) -> Ensemble:
    return Ensemble(copy.deepcopy(network), sets, "classification", cfg.training, CPU)


def _trained(cfg: Config, network: nn.Module) -> Ensemble:
    ensemble = _ensemble(cfg, network)
    list(ensemble.run(wanted=OWN))
    return ensemble


def _seeded(m: int, step: int) -> None:
    """As it is written down: a stream for each seed, replica and step."""
    root = np.random.SeedSequence(0, spawn_key=(6, m, step))
    first, second = (int(word) for word in root.generate_state(2, np.uint64))
    torch.manual_seed(first >> 1)
    random.seed(first)
    np.random.seed(second % 2**32)


def _plain_loop(m: int, network: nn.Module, epochs: int = EPOCHS) -> nn.Module:
    model, step = copy.deepcopy(network).train(), 0
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for epoch in range(epochs):
        for chosen in torch.split(_order(0, m, epoch), 4):
            optimizer.zero_grad()
            _seeded(m, step)
            x, y = SETS.train[m].x[chosen], SETS.train[m].y[chosen]
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            step += 1
    return model.eval()


def _same_bits(one: Ensemble, other: Ensemble) -> None:
    found, expected = one.state(), other.state()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if not name.endswith((".mean", ".var")):  # what a set was last normalized by
            assert torch.equal(tensor, found[name]), name


@pytest.mark.parametrize("name", RANDOM)
def test_random_networks_train_as_in_a_plain_loop(name: str) -> None:
    """On in training; off in measuring, where nothing is drawn."""
    network = _network(name)
    ensemble = _ensemble(_config(), network)
    *_, last = ensemble.run()
    for m, replica in enumerate(ensemble.replicas):
        plain = _plain_loop(m, network)
        for found, expected in zip(replica.weights, plain.parameters(), strict=True):
            torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
        if "normalization" not in name:  # measured by other statistics than the plain loop's
            loss = nn.functional.cross_entropy(plain(SETS.test.x), SETS.test.y)
            assert float(last.test_loss[m]) == pytest.approx(loss.item(), rel=1e-10)


@pytest.mark.parametrize("name", RANDOM)
def test_what_is_drawn_depends_on_nothing_else(name: str) -> None:
    """Not on measuring, threads, chunks, or what others have drawn."""
    network, plain = _network(name), _trained(_config(), _network(name))
    torch.rand(3)
    others = ("threads=3", "chunk_size=1", "measure_at=[4]", "measure_at=[0,step:2,step:5,3]")
    for override in (*others, "measures.own_steps=4"):
        _same_bits(_trained(_config(override), network), plain)


def test_training_leaves_the_global_generators_alone() -> None:
    ensemble = _ensemble(_config(), _network("noise"))
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    list(ensemble.run(wanted=OWN))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2][1], np.random.get_state()[1])


@pytest.mark.parametrize("name", [*RANDOM, "running"])
def test_a_resumed_training_is_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    network = _normalized() if name == "running" else _network(name)
    cfg = _config(*([RUNNING] if name == "running" else []))
    whole, first = _trained(cfg, network), _ensemble(cfg, network)

    def keep(epoch: int) -> None:
        if epoch == 2:
            Checkpoint(2, first.state(), "a", "b", "c").write(tmp_path)

    list(first.run(keep, wanted=OWN))
    read = Checkpoint.read(tmp_path)
    assert read is not None
    second = _ensemble(cfg, network)
    second.load_state(read.tensors)
    list(second.run(first=2, wanted=OWN))
    _same_bits(second, whole)


# --- running statistics


@pytest.mark.parametrize("momentum", [0.3, 0.1, None])
@pytest.mark.parametrize("chunk", ["null", "2"])
def test_running_statistics_are_pytorchs(momentum: float | None, chunk: str) -> None:
    """Also where a mini-batch takes several passes; measured in PyTorch's evaluation mode."""
    network = _normalized(momentum)
    ensemble = _ensemble(_config(RUNNING, f"chunk_size={chunk}"), network)
    *_, last = ensemble.run(wanted=OWN)
    for m, replica in enumerate(ensemble.replicas):
        plain = _plain_loop(m, network)
        norm, expected = replica.model[1], plain[1]
        for name in ("running_mean", "running_var"):
            found = getattr(norm, name)
            torch.testing.assert_close(found, getattr(expected, name), rtol=1e-10, atol=1e-12)
        loss = nn.functional.cross_entropy(plain(SETS.test.x), SETS.test.y)
        assert float(last.test_loss[m]) == pytest.approx(loss.item(), rel=1e-9)
        gradients = torch.autograd.grad(
            nn.functional.cross_entropy(plain(SETS.train[m].x), SETS.train[m].y, reduction="sum"),
            list(plain.parameters()),
        )
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.testing.assert_close(last.gradient_sum[m], flat, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("chunk", ["null", "2"])
def test_the_virtual_step_goes_along_the_measured_gradient(chunk: str) -> None:
    """With running statistics fixed, the step's decrease is that of the per-sample gradients."""
    cfg = _config(RUNNING, f"chunk_size={chunk}", "lr=1e-6", "measure_at=[1,4]")
    for snapshot in _ensemble(cfg, _normalized()).run(wanted=OWN):
        power = snapshot.gradient.square().sum(1)
        torch.testing.assert_close(snapshot.step_sq_norm, power, rtol=1e-9, atol=0)
        decrease = (snapshot.train_loss - snapshot.train_loss_next) / (cfg.lr * power)
        torch.testing.assert_close(decrease, torch.ones_like(decrease), rtol=1e-3, atol=0)


def test_kernels_keep_them_up_too() -> None:
    """Convolutions in float32 go by compiled kernels, where there are some."""
    from gsnr_sweep.models.table3_cnn import Table3CNN

    torch.manual_seed(0)
    network = Table3CNN(2, (1, 16, 16), 4)
    generator = torch.Generator().manual_seed(1)
    train = [torch.randn(9, 1, 16, 16, generator=generator) for _ in range(2)]
    from gsnr_sweep.data.samples import Samples

    labels = torch.arange(9) % 4
    sets = RunSets([Samples(x, labels) for x in train], Samples(train[0][:5], labels[:5]))
    sizes = ("n=9", "n_sets=2", "n_test=5", "epochs=3", "measure_at=[3]", "lr=0.05", RUNNING)
    found = []
    for kernels in ("auto", "none"):
        batches = ("optim=sgd", "optim.batch_size=4", f"kernels={kernels}")
        cfg = typed_config(*sizes, *batches)
        ensemble = _ensemble(cfg, network, sets)
        list(ensemble.run())
        found.append({n: t for n, t in ensemble.state().items() if "running" in n})
    assert found[0]
    for name, tensor in found[1].items():
        torch.testing.assert_close(found[0][name], tensor, rtol=2e-4, atol=2e-5)


def test_the_training_sets_statistics_are_the_default() -> None:
    network = _normalized()
    usual, asked = _trained(_config(), network), _trained(_config(RUNNING), network)
    weights = [[replica.weights for replica in one.replicas] for one in (usual, asked)]
    for mine, its in zip(*weights, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))
    assert not any("running" in name for name in usual.state())


# --- what is wrong


@pytest.mark.parametrize("name", RANDOM)
def test_gradient_descent_is_not_random(name: str) -> None:
    cfg = typed_config(*TINY, "lr=0.05", "dtype=float64")
    with pytest.raises(GsnrError, match=r"train on mini-batches \(optim=sgd\)"):
        _ensemble(cfg, _network(name))


def test_gradient_descent_has_no_running_statistics() -> None:
    (problem,) = problems(typed_config(*TINY, RUNNING))
    assert problem.startswith("measures.batch_norm=running: with optim=gd")
    both = problems(typed_config(*TINY, RUNNING, "memory_limit=much", "measure_at=[x]"))
    assert [problem.partition("=")[0] for problem in both] == [
        *("measure_at", "memory_limit", "measures.batch_norm")
    ]
    (problem,) = problems(typed_config(*TINY, "measures.batch_norm=moving"))
    assert "Allowed: training_set, running" in problem


def test_layers_without_running_statistics() -> None:
    with pytest.raises(GsnrError, match="layer 1 has track_running_stats=False"):
        _ensemble(_config(RUNNING), _normalized(track_running_stats=False))


@pytest.mark.parametrize("running", [True, False])
def test_a_mini_batch_of_one_has_no_variance(running: bool) -> None:
    cfg = _config("optim.batch_size=5", *([RUNNING] if running else []))
    assert N % 5 == 1
    with pytest.raises(GsnrError, match=r"mini-batch of one sample .* optim.batch_size"):
        _trained(cfg, _normalized())


class OwnNoise(nn.Module):
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.generator.random()) if self.training else x


class Counts(nn.Module):
    """Does something else every other pass."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        self.passes += 1
        return x * (1 + self.passes % 2)


@pytest.mark.parametrize("layer", [OwnNoise, Counts])
def test_a_network_that_remembers_its_passes_is_refused(layer: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), layer()).double()
    with pytest.raises(GsnrError, match="training pass depends on how many came before it"):
        _ensemble(_config(), network)


def test_what_is_remembered_in_buffers_is_put_back() -> None:
    """Spectral normalization takes a power iteration a pass in training."""
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8))
    network = nn.Sequential(layer, nn.Tanh(), nn.Linear(8, 4)).double()
    often = _trained(_config("measure_at=[0,step:2,1,step:5,4]"), network)
    once = _trained(_config("measure_at=[4]"), network)
    _same_bits(often, once)


class Failing(nn.Module):
    """Fails in training mode alone."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise ZeroDivisionError("no training today")
        return x


def test_a_network_that_fails_in_training() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), Failing()).double()
    with pytest.raises(GsnrError, match="no training today"):
        _ensemble(_config(), network)


def test_sets_are_as_small_as_they_seem() -> None:
    assert (len(SETS.train), len(SETS.train[0])) == (N_SETS, N)
    assert len(_samples(3, 0)) == 3
