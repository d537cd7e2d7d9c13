"""The training rule's own steps and their side of eq. (19), sample by sample in float64."""

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gsnr_sweep.config.schema import Config
from gsnr_sweep.config.validation import problems
from gsnr_sweep.data.sampling import RunSets
from gsnr_sweep.measures.osgr_lhs import osgr_lhs
from gsnr_sweep.measures.osgr_own import osgr_own_lhs, osgr_own_rhs
from gsnr_sweep.measures.osgr_rhs import osgr_rhs
from gsnr_sweep.training.ensemble import Ensemble
from gsnr_sweep.training.preconditioner import preconditioner
from gsnr_sweep.training.requirements import Requirements
from gsnr_sweep.training.snapshot import Snapshot
from tests.conftest import typed_config
from tests.gradients.oracles import per_sample_gradients
from tests.training.test_rules import EPOCHS, N_SETS, RULES, SETS, N, _config, _network, _order

CPU = torch.device("cpu")
OWN = Requirements(own_steps=True)
BATCH = 4
STEPS_AN_EPOCH = math.ceil(N / BATCH)
KNOWN = ("sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "custom")


def _ensemble(cfg: Config, sets: RunSets = SETS) -> Ensemble:
    model = copy.deepcopy(_network())
    return Ensemble(model, sets, "classification", cfg.training, CPU)


def _measured(cfg: Config) -> list[Snapshot]:
    return list(_ensemble(cfg).run(wanted=OWN))


class _Loop:
    """A plain PyTorch loop that can go on from any step."""

    def __init__(self, m: int, make: Callable[[list[nn.Parameter]], Optimizer]) -> None:
        self.model, self.m, self.step = copy.deepcopy(_network()), m, 0
        self.optimizer = make(list(self.model.parameters()))

    def take(self, steps: int) -> None:
        for _ in range(steps):
            epoch, place = divmod(self.step, STEPS_AN_EPOCH)
            chosen = _order(0, self.m, epoch)[place * BATCH : (place + 1) * BATCH]
            self.optimizer.zero_grad()
            x, y = SETS.train[self.m].x[chosen], SETS.train[self.m].y[chosen]
            nn.functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()
            self.step += 1

    def losses(self) -> tuple[float, float]:
        """Training and test loss."""
        return tuple(
            nn.functional.cross_entropy(self.model(of.x), of.y).item()
            for of in (SETS.train[self.m], SETS.test)
        )

    def ahead(self, steps: int) -> tuple[float, float]:
        other = copy.deepcopy(self)  # optimizer and weights together
        other.take(steps)
        return other.losses()


def _ratio(before: list[tuple[float, float]], after: list[tuple[float, float]]) -> float:
    train = sum(a[0] - b[0] for a, b in zip(after, before, strict=True))
    return sum(a[1] - b[1] for a, b in zip(after, before, strict=True)) / train


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("own_steps", [1, 2, 5])
def test_own_steps_are_those_that_training_takes_next(rule: str, own_steps: int) -> None:
    overrides, make = RULES[rule]
    schedule = "measure_at=[0,step:4,2,step:7,step:11,end]"
    cfg = _config(*overrides, schedule, f"measures.own_steps={own_steps}")
    steps = [0, 4, 6, 7, 11, 12]
    loops = [_Loop(m, make) for m in range(N_SETS)]
    snapshots = _measured(cfg)
    assert [s.step for s in snapshots] == steps
    assert [s.epoch for s in snapshots] == [0, 4 / 3, 2, 7 / 3, 11 / 3, 4]
    for snapshot in snapshots:
        for loop in loops:
            loop.take(snapshot.step - loop.step)
        before = [loop.losses() for loop in loops]
        found = osgr_own_lhs(snapshot)
        after = _ratio(before, [loop.ahead(own_steps) for loop in loops])
        assert found["osgr_own_lhs"] == pytest.approx(after, rel=1e-8)
        epoch = _ratio(before, [loop.ahead(STEPS_AN_EPOCH) for loop in loops])
        assert found["osgr_own_lhs_epoch"] == pytest.approx(epoch, rel=1e-8)
        if own_steps == STEPS_AN_EPOCH:
            assert found["osgr_own_lhs"] == found["osgr_own_lhs_epoch"]


@pytest.mark.parametrize("rule", KNOWN)
def test_both_sides_of_a_step_by_the_preconditioner(rule: str) -> None:
    """Replica by replica, sample by sample, parameter by parameter."""
    overrides, make = RULES[rule]
    loops = [_Loop(m, make) for m in range(N_SETS)]
    for snapshot in _measured(_config(*overrides, "measure_at=[0,1,step:5,4]")):
        noise, power, before, after = 0.0, 0.0, [], []
        for loop in loops:
            loop.take(snapshot.step - loop.step)
            train = SETS.train[loop.m]
            gradients = per_sample_gradients(
                loop.model,
                train.x,
                train.y,
                lambda o, y: nn.functional.cross_entropy(o, y, reduction="none"),
            )
            mean = gradients.mean(0)
            rates = _rates(rule, loop, mean)
            if rates is None:
                continue
            for j, rate in enumerate(rates.tolist()):
                noise += rate * float(gradients[:, j].var(correction=0)) / N
                power += rate * float(mean[j]) ** 2
            before.append(loop.losses())
            other = copy.deepcopy(loop)
            vector = nn.utils.parameters_to_vector(other.model.parameters())
            nn.utils.vector_to_parameters(vector - rates * mean, other.model.parameters())
            after.append(other.losses())
        if not before:
            assert snapshot.epoch == 0
            assert osgr_own_rhs(snapshot) == {}
            assert "osgr_own_lhs_full_batch" not in osgr_own_lhs(snapshot)
            continue
        assert osgr_own_rhs(snapshot)["osgr_own_rhs"] == pytest.approx(1 - noise / power, rel=1e-8)
        found = osgr_own_lhs(snapshot)["osgr_own_lhs_full_batch"]
        assert found == pytest.approx(_ratio(before, after), rel=1e-7)


def _rates(rule: str, loop: _Loop, mean: Tensor) -> Tensor | None:
    """p from the squares of all gradients so far and of the mean one, by published recursions."""
    weights = list(loop.model.parameters())
    size = sum(weight.numel() for weight in weights)
    if rule in ("sgd", "momentum", "nesterov"):
        return torch.full((size,), 0.05, dtype=torch.float64)
    if not loop.step:
        return None
    squares = []
    again = _Loop(loop.m, RULES[rule][1])
    for _ in range(loop.step):
        again.take(1)
        parts = [p.grad.flatten() for p in again.model.parameters() if p.grad is not None]
        squares.append(torch.cat(parts).square())
    squares.append(mean.square())
    if rule == "custom":  # Adagrad
        return 0.05 / (torch.stack(squares).sum(0).sqrt() + 1e-10)
    beta = {"adam": 0.9, "adamw": 0.999, "rmsprop": 0.99}[rule]
    v = torch.zeros(size, dtype=torch.float64)
    for square in squares:
        v = beta * v + (1 - beta) * square
    if rule != "rmsprop":
        v = v / (1 - beta ** (loop.step + 1))
    return 0.05 / (v.sqrt() + 1e-8)


@pytest.mark.parametrize(
    "schedule",
    [
        ("optim.schedule=cosine",),
        (
            "optim.schedule=torch.optim.lr_scheduler.OneCycleLR",
            "+optim.schedule_args.max_lr=0.5",
            f"+optim.schedule_args.total_steps={EPOCHS}",
        ),
    ],
    ids=["cosine", "one cycle"],
)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_beyond_the_end_the_last_learning_rate_is_held(
    rule: str, schedule: tuple[str, ...]
) -> None:
    """A schedule may have none for further epochs, and cosine's is zero."""
    *_, last = _measured(_config(*RULES[rule][0], *schedule, "measures.own_steps=7"))
    for values in (osgr_own_lhs(last), osgr_own_rhs(last)):
        assert values
        assert all(math.isfinite(value) for value in values.values())


def test_centered_rmsprop_and_amsgrad() -> None:
    generator = np.random.default_rng(0)
    gradients = generator.normal(size=(7, 5))
    weight = torch.zeros(5, dtype=torch.float64)
    made = {
        "amsgrad": torch.optim.Adam([weight], lr=0.1, amsgrad=True),
        "centered": torch.optim.RMSprop([weight], lr=0.1, centered=True),
    }
    last = [torch.from_numpy(gradients[-1])]
    for optimizer in made.values():
        assert preconditioner(optimizer, [weight], last) is None
        for gradient in gradients[:-1]:
            weight.grad = torch.from_numpy(gradient.copy())
            optimizer.step()
    v, largest, mean, square = (np.zeros(5) for _ in range(4))
    for g in gradients:
        v = 0.999 * v + 0.001 * g**2
        largest = np.maximum(largest, v)
        mean, square = 0.99 * mean + 0.01 * g, 0.99 * square + 0.01 * g**2
    expected = {
        "amsgrad": 0.1 / (np.sqrt(largest / (1 - 0.999**7)) + 1e-8),
        "centered": 0.1 / (np.sqrt(square - mean**2) + 1e-8),
    }
    for name, optimizer in made.items():
        found = preconditioner(optimizer, [weight], last)
        assert found is not None
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=1e-10)


def test_a_parameter_that_had_no_gradient_takes_a_step_of_the_usual_size() -> None:
    """What a real step of Adam without momentum does, v alone would make 10⁵ times as large."""
    weight = torch.zeros(2, dtype=torch.float64)
    optimizer = torch.optim.Adam([weight], lr=0.01, betas=(0.0, 0.999))
    for _ in range(3):
        weight.grad = torch.tensor([0.0, 1.0], dtype=torch.float64)
        optimizer.step()
    gradient = torch.tensor([1e-3, 0.5], dtype=torch.float64)
    rates = preconditioner(optimizer, [weight], [gradient])
    assert rates is not None
    before, weight.grad = weight.clone(), gradient
    optimizer.step()
    torch.testing.assert_close(before - rates * gradient, weight, rtol=1e-9, atol=0)


def test_what_is_not_known_is_not_told() -> None:
    """A class of the user's own may do anything, even where it derives from a known one."""

    class Mine(torch.optim.Adam):
        pass

    weight = torch.zeros(3, requires_grad=True)
    for optimizer in (Mine([weight]), torch.optim.Rprop([weight])):
        weight.grad = torch.ones(3)
        optimizer.step()
        assert preconditioner(optimizer, [weight], [torch.ones(3)]) is None


# --- gradient descent


def _descent(*overrides: str) -> Config:
    sizes = (f"n={N}", f"n_sets={N_SETS}", "n_test=7", f"epochs={EPOCHS}")
    cfg = typed_config(*sizes, "measure_at=[0,2,4]", "lr=0.05", "dtype=float64", *overrides)
    assert problems(cfg) == []
    return cfg


def test_of_gradient_descent_both_sides_are_the_usual_ones() -> None:
    for snapshot in _measured(_descent()):
        left, right = osgr_lhs(snapshot), osgr_rhs(snapshot)
        own_left, own_right = osgr_own_lhs(snapshot), osgr_own_rhs(snapshot)
        for kind in ("", "_epoch", "_full_batch"):
            for end in ("", "_se"):
                assert own_left[f"osgr_own_lhs{kind}{end}"] == left[f"osgr_lhs{end}"]
        for end in ("", "_se"):
            own = own_right[f"osgr_own_rhs{end}"]
            assert own == pytest.approx(right[f"osgr_rhs{end}"], rel=1e-12)


def test_several_steps_of_gradient_descent() -> None:
    (first, *_) = _measured(_descent("measures.own_steps=2"))
    every = list(_ensemble(_descent("measure_at=[0,1,2]")).run())
    before, after = every[0], every[2]
    train = float((after.train_loss - before.train_loss).sum())
    expected = float((after.test_loss - before.test_loss).sum()) / train
    assert osgr_own_lhs(first)["osgr_own_lhs"] == pytest.approx(expected, rel=1e-9)
    assert osgr_own_lhs(first)["osgr_own_lhs_epoch"] == osgr_lhs(first)["osgr_lhs"]


# --- they are taken back


@pytest.mark.parametrize("rule", [*RULES, "gd", "cosine"])
def test_own_steps_change_nothing(rule: str) -> None:
    """Weights, what the optimizer remembers and the learning rate, bit for bit."""
    if rule == "gd":
        make: Callable[[str], Config] = lambda at: _descent(at, "measures.own_steps=3")  # noqa: E731
    elif rule == "cosine":
        make = lambda at: _config("optim.schedule=cosine", at)  # noqa: E731
    else:
        make = lambda at: _config(*RULES[rule][0], at, "measures.own_steps=5")  # noqa: E731
    often, once = _ensemble(make("measure_at=[0,1,2,3,4]")), _ensemble(make("measure_at=[4]"))
    list(often.run(wanted=OWN))
    list(once.run())
    found, expected = often.state(), once.state()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_a_measure_that_does_not_ask_costs_nothing() -> None:
    for snapshot in _ensemble(_config()).run():
        assert snapshot.own == {}
        assert snapshot.preconditioner is None
        assert osgr_own_lhs(snapshot) == osgr_own_rhs(snapshot) == {}
