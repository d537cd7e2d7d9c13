"""What is checked before anything starts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep import data, preflight
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.grid import CommandLine, expand
from gsnr_sweep.preflight import CheckedPoint, check
from tests.conftest import CONF, TINY


def _check(*arguments: str) -> list[CheckedPoint]:
    return check(expand(CommandLine.parse([*TINY, *arguments], CONF)).points)


def _told(*arguments: str) -> str:
    with pytest.raises(GsnrError) as refusal:
        _check(*arguments)
    return str(refusal.value)


# --- what is known of a point that can run


def test_parameters_and_operations_of_a_run() -> None:
    (point,) = _check("data=toy", "ch=20")
    assert point.n_parameters == 2 * 20 + 20 + 20 + 1
    forward = 2 * (2 * 20 + 20)  # a multiplication and an addition a weight
    passes = 2 * (3 * 2 * 30 + 2 * (6 * 30 + 2 * 50))  # as training and measuring are counted
    assert point.flops == forward * passes


def test_wider_and_larger_points_cost_more() -> None:
    small, wide, large, largest = _check("-m", "n=20,40", "ch=2,8")[0:4]
    assert small.label == "n=20 ch=2"
    assert small.flops < large.flops < largest.flops
    assert small.flops < wide.flops < largest.flops
    assert small.n_parameters == large.n_parameters < wide.n_parameters


# --- limits of the data


def test_sets_beyond_what_the_data_can_give() -> None:
    assert _told("data=mnist", "n=60001") == (
        "n=60001: data=mnist has 60000 training samples. Give n=60000 or less."
    )
    assert _told("data=cifar10", "n_test=10001").startswith(
        "n_test=10001: data=cifar10 has 10000 test samples."
    )
    assert _check("n=10000000", "n_test=10000000")  # draws from digits never run out


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.npz"
    np.savez(
        path,
        x_train=rng.normal(size=(40, 5)),
        y_train=rng.integers(3, size=40),
        x_test=rng.normal(size=(60, 5)),
        y_test=rng.integers(3, size=60),
    )
    return path


def test_a_users_arrays_set_their_own_limit(npz: Path) -> None:
    assert _check("data=npz", f"data.path={npz}", "model=mlp", "ch=4")[0].n_parameters == 5 * 4 + 19
    told = _told("data=npz", f"data.path={npz}", "model=mlp", "n=41")
    assert told.startswith("n=41: data=npz has 40 training samples")


def test_data_of_one_class_are_refused(tmp_path: Path) -> None:
    ones = np.zeros((60, 3)), np.zeros(60, dtype=int)
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=ones[0], y_train=ones[1], x_test=ones[0], y_test=ones[1])
    assert "single class" in _told("data=npz", f"data.path={path}", "model=mlp")


def test_label_noise_needs_labels(tmp_path: Path) -> None:
    values = np.zeros((60, 3)), np.zeros(60)
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=values[0], y_train=values[1], x_test=values[0], y_test=values[1])
    told = _told("data=npz", f"data.path={path}", "model=mlp", "p_random=0.5")
    assert told == (
        "p_random=0.5: data=npz is a regression and has no labels to randomize. Set p_random=0."
    )


# --- models


class Adds(nn.Module):
    """Right shape, trained, deterministic; the base of what goes wrong below."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(784, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


class TooFew(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :3]


class Tuple(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x),)  # type: ignore[return-value]


class Mixes(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


class DropsOut(Adds):
    def __init__(self, n_outputs: int) -> None:
        super().__init__(n_outputs)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(super().forward(x))


class Draws(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(1)


class Frozen(Adds):
    def __init__(self, n_outputs: int) -> None:
        super().__init__(n_outputs)
        self.requires_grad_(requires_grad=False)


class Detached(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Crashes(Adds):
    def forward(self, x: Tensor) -> Tensor:
        raise AttributeError("a bug\nof two lines")


class ForgetsInit(nn.Module):
    def __init__(self) -> None:
        self.fc = nn.Linear(2, 2)


class Demands(Adds):
    def __init__(self, n_outputs: int, flavour: str) -> None:
        super().__init__(n_outputs)


number = 3


def _custom(name: str, *more: str) -> tuple[str, ...]:
    return ("model=custom", f"model._target_={__name__}.{name}", *more)


def test_a_users_model_that_is_well() -> None:
    (point,) = _check(*_custom("Adds"))
    assert point.n_parameters == 7850


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "Nothing",
            ["cannot be imported", "no attribute 'Nothing'"],
        ),
        ("number", ["no torch.nn.Module"]),
        ("TooFew", ["returns (3, 3) for 3 samples", "(3, 10) is needed"]),
        ("Tuple", ["returns () for 3 samples", "(3, 10) is needed"]),
        ("Mixes", ["depends on the other samples of its batch"]),
        ("DropsOut", ["drop", "deterministic gradient descent"]),
        ("Draws", ["different outputs for the same input"]),
        ("Frozen", ["no trained parameters"]),
        ("Detached", ["does not depend on its parameters"]),
        ("Crashes", ["inputs of shape (1, 28, 28)", "AttributeError: a bug of two lines"]),
        ("ForgetsInit", ["model=custom", "AttributeError", "no arguments"]),
        ("Demands", ["model=custom", "flavour", "n_outputs=10"]),
    ],
)
def test_a_users_model_that_is_not(name: str, words: list[str]) -> None:
    told = _told(*_custom(name))
    assert all(word in told for word in words), told
    assert "\n" not in told


def test_models_that_cannot_be_found_leave_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    told = _told("model=custom", "model._target_=no_such_module.Net")
    assert "No module named 'no_such_module'" in told
    assert "cannot be imported" in _told("model=custom", "model._target_=Net")
    assert capfd.readouterr() == ("", "")


def test_model_and_data_must_fit() -> None:
    told = _told("data=toy", "model=table2_cnn")
    assert "model=table2_cnn: needs images" in told
    assert "input_shape=(2,)" in told
    assert "needs images" in _told("data=toy", "model=table3_cnn")
    assert "depth=0" in _told("model=mlp", "+model.args.depth=0")
    assert "unexpected keyword argument 'deepness'" in _told("model=mlp", "+model.args.deepness=2")


def test_measures_that_cannot_be_found() -> None:
    told = _told("+measures.functions.mine=no_such_module.f")
    assert told.startswith("measures.functions.mine=no_such_module.f: it cannot be imported")
    assert "no function" in _told("+measures.functions.mine=tests.test_preflight.number")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there() -> None:
    assert "0 CUDA device(s)" in _told("device=cuda")
    assert "0 CUDA device(s)" in _told("device=cuda:1")


# --- many points


def test_a_bad_point_in_the_middle_is_named() -> None:
    assert _told("-m", "ch=4,0,6", "seed=1,2") == (
        "ch=0: width of the model: channels p of Tables 2 and 3, hidden units of the MLP must be "
        "at least 1. (grid point ch=0 seed=1 and 1 more of 6)"
    )
    told = _told("-m", "data=digits,toy", "p_random=0,0.5")
    assert told.endswith("(grid point data=toy p_random=0.5 of 4)")
    assert "\n" not in told


def test_every_problem_is_told_once_and_no_more_than_five() -> None:
    told = _told("-m", "n=0,30", "lr=-1,1", "dtype=float16")
    assert [line.partition("=")[0] for line in told.splitlines()] == ["n", "lr", "dtype"]
    assert told.splitlines()[1].endswith("(grid point n=0 lr=-1 and 1 more of 4)")
    assert told.splitlines()[2].endswith("(grid point n=0 lr=-1 and 3 more of 4)")
    lines = _told("-m", "seed=-1,-2,-3,-4,-5,-6,-7").splitlines()
    assert len(lines) == 6
    assert lines[-1] == "… and 2 further problems."


def test_each_data_set_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    class Source:
        def __init__(self, cfg: data.DataSpec) -> None:
            self.name = cfg.name

        def prepare(self) -> None:
            fetched.append(self.name)

    points = _check("-m", "n=20,30", "data=digits,toy")
    monkeypatch.setattr(data, "distribution", Source)
    preflight.prepare(points)
    assert fetched == ["digits", "toy"]
