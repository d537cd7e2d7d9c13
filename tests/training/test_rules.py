"""Rules of training against plain PyTorch loops with the same order of samples, in float64."""

import contextlib
import copy
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.checkpoint import Checkpoint
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.rules import try_rule
from tests.conftest import typed_config

CPU = torch.device("cpu")
N, N_SETS, EPOCHS = 11, 3, 4
TINY = (f"n={N}", f"n_sets={N_SETS}", "n_test=7", f"epochs={EPOCHS}", "measure_at=[0,2,4]")
MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]


def _config(*overrides: str) -> Config:
    small = (*TINY, "lr=0.05", "dtype=float64", "optim=sgd", "optim.batch_size=4")
    cfg = typed_config(*small, *overrides)
    assert problems(cfg) == []
    return cfg


def _samples(n: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randint(0, 4, (n,), generator=generator))


SETS = RunSets([_samples(N, 10 + m) for m in range(N_SETS)], _samples(7, 99))


def _network(kind: str = "one by one") -> nn.Module:
    """With ReLU alone the replicas' gradients are computed together."""
    torch.manual_seed(0)
    middle = {"together": [nn.ReLU()], "norm": [nn.BatchNorm1d(8), nn.Tanh()]}
    between = middle.get(kind, [nn.Tanh()])
    return nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 4)).double()


BOTH_WAYS = pytest.mark.parametrize("kind", ["together", "one by one"])


def _ensemble(cfg: Config, network: nn.Module | None = None) -> Ensemble:
    model = copy.deepcopy(network or _network())
    return Ensemble(model, SETS, "classification", cfg.training, CPU)


def _trained(cfg: Config, network: nn.Module | None = None) -> Ensemble:
    ensemble = _ensemble(cfg, network)
    list(ensemble.run())
    return ensemble


def _order(seed: int, m: int, epoch: int) -> Tensor:
    """The order of samples as it is written down: a stream for each seed, replica and epoch."""
    root = np.random.SeedSequence(seed, spawn_key=(5, m, epoch))
    return torch.from_numpy(np.random.Generator(np.random.Philox(root)).permutation(N))


def _plain_loop(
    m: int,
    make: MakeOptimizer,
    schedule: Callable[[Optimizer], LRScheduler] | None = None,
    clip: float | None = None,
    network: nn.Module | None = None,
    seed: int = 0,
    sets: RunSets = SETS,
) -> list[Tensor]:
    """What anybody would write."""
    model = copy.deepcopy(network or _network()).train()
    optimizer = make(list(model.parameters()))
    rates = schedule(optimizer) if schedule else None
    for epoch in range(EPOCHS):
        order = _order(seed, m, epoch)
        for start in range(0, N, 4):
            chosen = order[start : start + 4]
            optimizer.zero_grad()
            x, y = sets.train[m].x[chosen], sets.train[m].y[chosen]
            nn.functional.cross_entropy(model(x), y).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        if rates is not None:
            rates.step()
    return [parameter.detach() for parameter in model.parameters()]


RULES: dict[str, tuple[tuple[str, ...], MakeOptimizer]] = {
    "sgd": ((), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (
        ("optim.args.momentum=0.9", "optim.args.weight_decay=0.01"),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01),
    ),
    "nesterov": (
        ("optim.args.momentum=0.8", "optim.args.nesterov=true"),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True),
    ),
    "adam": (
        ("optim=adam", "optim.batch_size=4", "optim.args.betas=[0.8,0.9]"),
        lambda p: torch.optim.Adam(p, 0.05, betas=(0.8, 0.9)),
    ),
    "adamw": (("optim=adamw", "optim.batch_size=4"), lambda p: torch.optim.AdamW(p, 0.05)),
    "rmsprop": (
        ("optim=rmsprop", "optim.batch_size=4", "optim.args.momentum=0.5"),
        lambda p: torch.optim.RMSprop(p, 0.05, momentum=0.5),
    ),
    "custom": (
        ("optim=custom", "optim._target_=torch.optim.Adagrad", "optim.batch_size=4"),
        lambda p: torch.optim.Adagrad(p, 0.05),
    ),
    "averaged": (
        ("optim=custom", "optim._target_=torch.optim.ASGD", "optim.batch_size=4"),
        lambda p: torch.optim.ASGD(p, 0.05),
    ),
}


def _close(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@BOTH_WAYS
@pytest.mark.parametrize("rule", RULES)
def test_trajectories_are_those_of_a_plain_loop(rule: str, kind: str) -> None:
    overrides, make = RULES[rule]
    ensemble = _trained(_config(*overrides), _network(kind))
    assert ensemble.is_batched == (kind == "together")
    for m, replica in enumerate(ensemble.replicas):
        _close(replica.weights, _plain_loop(m, make, network=_network(kind)))


def _resumed(make: Callable[[], Ensemble], folder: Path) -> dict[str, Tensor]:
    """The state after a training that was gone on with from a checkpoint after two epochs."""
    first, kept = make(), {}
    for _ in first.run(lambda epoch: kept.update(first.state()) if epoch == 2 else None):
        if kept:
            break
    Checkpoint(2, kept, "a", "b", "c").write(folder)
    read = Checkpoint.read(folder)
    assert read is not None
    second = make()
    second.load_state(read.tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(second.run(first=2))
    return second.state()


def _convolutions() -> nn.Module:
    """Kept with channels last, and with compiled kernels where there are any."""
    torch.manual_seed(0)
    features = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*features, nn.Linear(36, 4))


IMAGES = RunSets(
    [Samples(torch.randn(N, 2, 8, 8), one.y) for one in SETS.train],
    Samples(torch.randn(7, 2, 8, 8), SETS.test.y),
)


@pytest.mark.parametrize("kernels", ["auto", "none"])
@pytest.mark.parametrize("rule", ["momentum", "adam", "rmsprop"])
def test_kernels_move_as_in_a_plain_loop_and_go_on_from_a_checkpoint(
    rule: str, kernels: str, tmp_path: Path
) -> None:
    """Whatever the order in which kernels, gradients and momentum lie in memory."""
    overrides, make = RULES[rule]
    cfg = _config(*overrides, "dtype=float32", f"kernels={kernels}")

    def make_ensemble() -> Ensemble:
        return Ensemble(_convolutions(), IMAGES, "classification", cfg.training, CPU)

    whole = make_ensemble()
    list(whole.run())
    for m, replica in enumerate(whole.replicas):
        expected = _plain_loop(m, make, network=_convolutions(), sets=IMAGES)
        for weight, exact in zip(replica.weights, expected, strict=True):
            # RMSprop divides by the root of small gradients: one rounding is seen at 3e-4.
            torch.testing.assert_close(weight, exact, rtol=0, atol=1e-3)
    again = _resumed(make_ensemble, tmp_path)
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.state().items())


def test_in_float32_an_optimizer_moves_the_weights_of_the_network_itself() -> None:
    """As in any script, which here is in float32 too; to float32's rounding."""
    make = RULES["momentum"][1]
    for kind in ("together", "one by one"):
        found = _trained(_config(*RULES["momentum"][0], "dtype=float32"), _network(kind).float())
        for m, replica in enumerate(found.replicas):
            expected = _plain_loop(m, make, network=_network(kind))
            for weight, own, exact in zip(
                replica.weights, replica.model.parameters(), expected, strict=True
            ):
                assert weight.dtype == own.dtype == torch.float32
                assert torch.equal(weight, own)
                torch.testing.assert_close(weight.double(), exact, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("overrides", "schedule"),
    [
        (("optim.schedule=cosine",), lambda o: CosineAnnealingLR(o, T_max=EPOCHS)),
        (
            ("optim.schedule=step", "+optim.schedule_args.step_size=2"),
            lambda o: StepLR(o, step_size=2),
        ),
        (
            (
                "optim.schedule=torch.optim.lr_scheduler.OneCycleLR",
                "+optim.schedule_args.max_lr=0.5",
                f"+optim.schedule_args.total_steps={EPOCHS}",
            ),
            lambda o: OneCycleLR(o, max_lr=0.5, total_steps=EPOCHS),
        ),
    ],
    ids=["cosine", "step", "one cycle"],
)
@BOTH_WAYS
def test_schedules_are_those_of_a_plain_loop(
    overrides: tuple[str, ...], schedule: Callable[[Optimizer], LRScheduler], kind: str
) -> None:
    ensemble = _trained(_config("optim.args.momentum=0.9", *overrides), _network(kind))
    for m, replica in enumerate(ensemble.replicas):
        make: MakeOptimizer = lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)  # noqa: E731
        _close(replica.weights, _plain_loop(m, make, schedule, network=_network(kind)))


@BOTH_WAYS
def test_a_large_gradient_is_clipped(kind: str) -> None:
    make, network = RULES["sgd"][1], _network(kind)
    clipped = _trained(_config("optim.clip_norm=0.2"), network).replicas[1].weights
    _close(clipped, _plain_loop(1, make, clip=0.2, network=network))
    assert not torch.equal(clipped[0], _trained(_config(), network).replicas[1].weights[0])


def test_batch_normalization_takes_the_statistics_of_the_mini_batch() -> None:
    network, make = _network("norm"), RULES["sgd"][1]
    ensemble = _trained(_config(), network)
    for m, replica in enumerate(ensemble.replicas):
        _close(replica.weights, _plain_loop(m, make, network=network))


def test_one_batch_of_all_is_gradient_descent() -> None:
    """To rounding: the order of the sum differs."""
    whole = _trained(_config(f"optim.batch_size={N}"))
    descended = _ensemble(typed_config(*TINY, "lr=0.05", "dtype=float64", "measure_at=[4]"))
    list(descended.run())  # the measured step after the last is taken, so compare before it
    for m in range(N_SETS):
        expected = copy.deepcopy(_network())
        optimizer = torch.optim.SGD(expected.parameters(), 0.05)
        for _ in range(EPOCHS):
            optimizer.zero_grad()
            train = SETS.train[m]
            nn.functional.cross_entropy(expected(train.x), train.y).backward()
            optimizer.step()
        _close(whole.replicas[m].weights, [p.detach() for p in expected.parameters()])


class Waits(StepLR):
    """Each step waits a while for another thread's to begin."""

    meets = threading.Barrier(2)

    def step(self, epoch: int | None = None) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.meets.wait(0.05)
        time.sleep(0.01 * torch.rand(()).item())
        super().step(epoch)


def test_filters_of_warnings_are_as_they_were_after_training_in_threads() -> None:
    path = f"optim.schedule={__name__}.Waits"
    before = list(warnings.filters)
    for _ in range(5):
        Waits.meets.reset()
        _trained(_config(path, "+optim.schedule_args.step_size=2", "threads=3"))
        assert list(warnings.filters) == before


# --- a measured step is virtual


@pytest.mark.parametrize("kind", ["together", "one by one", "norm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_measuring_changes_nothing(kind: str, dtype: str) -> None:
    """Bit for bit, whatever the schedule of measurements."""
    network = _network(kind)
    more = ("optim=adam", "optim.batch_size=4", f"dtype={dtype}")
    often = _trained(_config(*more, "measure_at=[0,1,2,3,4]"), network)
    once = _trained(_config(*more, "measure_at=[4]"), network)
    assert often.state().keys() == once.state().keys()
    for name, tensor in often.state().items():
        if "buffer" not in name:
            assert torch.equal(tensor, once.state()[name]), name


def test_a_snapshot_is_of_one_full_batch_step() -> None:
    cfg = _config("optim.args.momentum=0.9")
    for snapshot in _ensemble(cfg).run():
        for m, train in enumerate(SETS.train):
            model = _network()
            seen = _partial_loop(m, snapshot.epoch)
            for parameter, weight in zip(model.parameters(), seen, strict=True):
                parameter.data.copy_(weight)
            loss = nn.functional.cross_entropy(model(train.x), train.y)
            assert float(snapshot.train_loss[m]) == pytest.approx(loss.item(), rel=1e-10)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter -= cfg.lr * gradient
            after = nn.functional.cross_entropy(model(SETS.test.x), SETS.test.y)
            assert float(snapshot.test_loss_next[m]) == pytest.approx(after.item(), rel=1e-10)


def _partial_loop(m: int, epochs: int) -> list[Tensor]:
    model = _network()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for epoch in range(epochs):
        for chosen in _order(0, m, epoch).split(4):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            x, y = SETS.train[m].x[chosen], SETS.train[m].y[chosen]
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


# --- the same numbers, however they are come by


@pytest.mark.parametrize("more", ["measure_at=[4]", "threads=3", "measures.own_steps=5"])
def test_an_optimizer_that_draws_random_numbers_draws_the_same(more: str) -> None:
    langevin = ("optim=custom", f"optim._target_={__name__}.Langevin", "optim.batch_size=4")
    own = Requirements(own_steps=True)
    found = []
    for overrides in (langevin, (*langevin, more)):
        torch.rand(3)
        ensemble = _ensemble(_config(*overrides))
        list(ensemble.run(wanted=own))
        found.append(ensemble.state())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


@BOTH_WAYS
@pytest.mark.parametrize("rule", [*RULES, "cosine"])
def test_a_resumed_training_is_the_same_bit_for_bit(rule: str, kind: str, tmp_path: Path) -> None:
    overrides = ("optim.schedule=cosine",) if rule == "cosine" else RULES[rule][0]
    cfg, network = _config(*overrides), _network(kind)
    whole = _trained(cfg, network).state()
    again = _resumed(lambda: _ensemble(cfg, network), tmp_path)
    assert again.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name


@BOTH_WAYS
@pytest.mark.parametrize("more", ["threads=1", "threads=3", "chunk_size=4", "chunk_size=100"])
def test_neither_threads_nor_large_chunks_change_a_bit(more: str, kind: str) -> None:
    plain, other = (_trained(_config(*o), _network(kind)).state() for o in ((), (more,)))
    assert all(torch.equal(tensor, other[name]) for name, tensor in plain.items())


def test_seed_replica_and_epoch_decide_the_order() -> None:
    by_seed = [_trained(_config(f"seed={seed}")).replicas[0].weights[0] for seed in (0, 1, 0)]
    assert torch.equal(by_seed[0], by_seed[2])
    assert not torch.equal(by_seed[0], by_seed[1])
    orders = {tuple(_order(0, m, e).tolist()) for m in range(3) for e in range(3)}
    assert len(orders) == 9


# --- what is wrong


class Forgetful(torch.optim.SGD):
    """Remembers a text."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Note something."""
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["note"] = "a text"


class Broken(torch.optim.SGD):
    """Fails at its first step."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Fail."""
        raise ZeroDivisionError("no step today")


class Clocked(torch.optim.SGD):
    """Counts its steps in an attribute."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.t = 0

    def step(self) -> None:  # type: ignore[override]
        """Count."""
        self.t += 1
        super().step()


class Shared(torch.optim.SGD):
    """Counts its steps beside the parameters."""

    def step(self) -> None:  # type: ignore[override]
        """Count."""
        self.state["t"] = self.state.get("t", 0) + 1  # type: ignore[index]
        super().step()


class Langevin(torch.optim.SGD):
    """Adds noise to each step."""

    def step(self) -> None:  # type: ignore[override]
        """Take a step."""
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(torch.randn_like(parameter), alpha=1e-3)


class Counting(torch.optim.SGD):
    """Counts its steps where no checkpoint looks."""

    def step(self) -> None:  # type: ignore[override]
        """Count."""
        super().step()
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+optim.args.momentun=1"], "unexpected keyword argument 'momentun'"),
        (["optim.args.momentum=-1"], "Invalid momentum value: -1"),
        (["optim=custom", "optim._target_=torch.optim.LBFGS"], "several times a step"),
        (["optim=custom", "optim._target_=torch.nn.Linear"], "this is no torch.optim.Optimizer"),
        (["optim=custom", "optim._target_=nowhere.At.all"], "it cannot be imported"),
        (["optim=custom", f"optim._target_={__name__}.Broken"], "no step today"),
        (["optim=custom", f"optim._target_={__name__}.Forgetful"], "remembers note, a str"),
        (["optim=custom", f"optim._target_={__name__}.Counting"], "changes k in its param_groups"),
        (["optim=custom", f"optim._target_={__name__}.Clocked"], "changes its attribute t, which"),
        (["optim=custom", f"optim._target_={__name__}.Shared"], "changes 't' in its state, which"),
        (["optim=custom", "optim._target_=torch.optim.SparseAdam"], "dense gradients"),
        (["optim.schedule=step"], "missing 1 required positional argument: 'step_size'"),
        (["optim.schedule=linear"], "optim.schedule=linear"),
        (["optim.schedule=torch.optim.SGD"], "this is no schedule that follows from the epoch"),
        (
            ["optim.schedule=torch.optim.lr_scheduler.ReduceLROnPlateau"],
            "this is no schedule that follows from the epoch",
        ),
    ],
)
def test_what_is_no_rule_is_refused(overrides: list[str], words: str) -> None:
    cfg = _config(*overrides)
    assert cfg.rule is not None
    with pytest.raises(GsnrError) as refusal:
        try_rule(cfg.rule)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


class Plain(torch.optim.SGD):
    """Its step takes nothing."""

    def step(self) -> None:  # type: ignore[override]
        """Take a step."""
        super().step()


class Passing(torch.optim.SGD):
    """Its step takes anything."""

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step."""
        super().step(*args, **kwargs)


PYTORCHS = ("Adadelta", "Adafactor", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "NAdam", "RAdam")
PATHS = (
    f"{__name__}.Plain",
    f"{__name__}.Passing",
    f"{__name__}.Langevin",
    *(f"torch.optim.{name}" for name in PYTORCHS),
)


@pytest.mark.parametrize("path", [*PATHS, "torch.optim.RMSprop", "torch.optim.Rprop"])
def test_what_is_a_rule(path: str) -> None:
    cfg = _config("optim=custom", f"optim._target_={path}")
    assert cfg.rule is not None
    try_rule(cfg.rule)
