"""What is checked before anything starts."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gsnr_sweep.config.compose import GridPoint
from gsnr_sweep.data import base, registry
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import Stream, generators
from gsnr_sweep.data.settings import DataConfig
from gsnr_sweep.data.sources import DrawnDistribution
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.preflight import check as preflight
from gsnr_sweep.preflight import model_check as model_trial
from gsnr_sweep.preflight import size_check
from gsnr_sweep.preflight.check import CheckedPoint, check
from tests.conftest import TINY, expanded, tiny_config


def _check(*arguments: str) -> list[CheckedPoint]:
    return check(expanded(*TINY, *arguments).points)


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
    assert point.forward_flops == forward
    assert point.overrides == (*TINY, "data=toy", "ch=20")


def test_wider_and_larger_points_cost_more() -> None:
    small, wide, large, largest = _check("-m", "n=20,40", "ch=2,8")[0:4]
    assert small.label == "n=20 ch=2"
    assert small.flops < large.flops < largest.flops
    assert small.flops < wide.flops < largest.flops
    assert small.n_parameters == large.n_parameters < wide.n_parameters


# --- limits of the data


def test_sets_beyond_what_the_data_can_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_check, "available_memory", lambda: (10**12, "this machine has"))
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


def test_arrays_with_missing_values_are_refused_before_launch(tmp_path: Path) -> None:
    x = np.ones((60, 3))
    x[7, 2] = np.nan
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=x, y_train=np.arange(60) % 2, x_test=x[:50], y_test=np.arange(50) % 2)
    told = _told("data=npz", f"data.path={path}", "model=mlp")
    assert told.startswith(f"data.path={path}: x_train[7, 2] is nan; only finite numbers")


def test_data_of_one_class_are_refused(tmp_path: Path) -> None:
    ones = np.zeros((60, 3)), np.zeros(60, dtype=int)
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=ones[0], y_train=ones[1], x_test=ones[0], y_test=ones[1])
    assert "single class" in _told("data=npz", f"data.path={path}", "model=mlp")


def _own(name: str, *more: str) -> tuple[str, ...]:
    return ("data=custom", f"data._target_={__name__}.{name}", "ch=4", *more)


def pools(outputs: str = "labels", classes: int = 3) -> Any:
    """A pair of 40 and 60 samples of five features."""
    rng = np.random.default_rng(0)

    def dataset(n: int) -> Any:
        y = rng.integers(classes, size=n) if outputs == "labels" else rng.normal(size=n)
        return list(zip(rng.normal(size=(n, 5)), y.tolist(), strict=True))

    return dataset(40), dataset(60)


class Endless(DrawnDistribution):
    """Eleven features that say nothing of the label, but for the first of at most a few."""

    def __init__(self, most: int | None = None, *, shifted: bool = False) -> None:
        self.shifted = shifted
        about = ("endless", (11,), 2, "classification", most, most, "drawn here")
        self.spec = base.DataSpec(*about)  # type: ignore[arg-type]

    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        (rng,) = generators(seed, stream, index, 1)
        x, y = rng.normal(size=(n, 11)), rng.integers(2, size=n) + self.shifted
        return Samples(torch.from_numpy(x), torch.from_numpy(y))


def test_data_of_the_users_that_are_well() -> None:
    (point,) = _check(*_own("pools"))
    assert point.n_parameters == 5 * 4 + 4 + 4 * 3 + 3
    (point,) = _check(*_own("Endless"))
    assert point.n_parameters == 11 * 4 + 4 + 4 * 2 + 2


def test_data_of_the_users_set_their_own_limits() -> None:
    pair, drawn = (f"data._target_={__name__}.{name}" for name in ("pools", "Endless"))
    assert _told(*_own("pools"), "n=41") == (
        f"n=41: {pair} has 40 training samples. Give n=40 or less."
    )
    assert _told(*_own("pools"), "n_test=61").startswith(f"n_test=61: {pair} has 60 test samples")
    told = _told(*_own("Endless", "+data.args.most=29"), "n_test=20")
    assert told.startswith(f"n=30: {drawn} has 29 training samples.")
    one_class = _told(*_own("pools"), "+data.args.classes=1")
    assert one_class == f"{pair} has a single class; at least two are needed."
    told = _told(*_own("pools"), "+data.args.outputs=targets", "p_random=0.5")
    assert told.startswith(f"p_random=0.5: {pair} is a regression")


class Rows(Endless):
    """The same, each array from a generator of its own: a larger set begins with a smaller one."""

    def draw(self, n: int, seed: int, stream: Stream, index: int) -> Samples:
        inputs, labels = generators(seed, stream, index, 2)
        x, y = inputs.normal(size=(n, 11)), labels.integers(2, size=n)
        return Samples(torch.from_numpy(x), torch.from_numpy(y))


def test_confusion_sets_beyond_what_the_data_can_give() -> None:
    pair = f"data._target_={__name__}.pools"
    assert _told(*_own("pools"), "data.confusion=11") == (
        f"data.confusion=11: a training set is n=30 samples and 11 others, 41 in all, and {pair} "
        "has 40 training samples. Give data.confusion=10 or less, or a smaller n."
    )
    (point,) = _check(*_own("pools"), "data.confusion=10")
    assert point.cfg.train_size == 40
    told = _told(*_own("pools"), "+data.args.outputs=targets", "data.confusion=2")
    assert told.startswith(f"data.confusion=2: {pair} is a regression")
    assert "Leave data.confusion out." in told
    assert _told("data=toy", "data.confusion=2").startswith("data.confusion=2: data=toy is a")


def test_a_users_samples_must_not_depend_on_how_many_are_drawn() -> None:
    told = _told(*_own("Endless"), "data.confusion=5")
    assert "train_set(n=32, m=0, seed=0) is not the beginning of train_set(n=64" in told
    assert told.count("\n") == 0
    _check(*_own("Endless"))
    _check(*_own("Rows"), "data.confusion=5")


def test_a_confusion_set_costs_what_as_many_samples_of_n_cost() -> None:
    rules = ("optim=sgd", "optim.batch_size=16", "stop.train_loss=0.1")
    beside, alone = (_check(*rules, *size) for size in (["n=30", "data.confusion=15"], ["n=45"]))
    assert beside[0].flops == alone[0].flops
    assert beside[0].flops > _check(*rules, "n=30")[0].flops


def test_a_lone_sample_of_the_confusion_set_is_seen() -> None:
    norm = ("model=vgg", "ch=1", "model.args.stages=2", "model.args.batch_norm=true")
    rules = (*norm, "optim=sgd", "optim.batch_size=10")
    _check(*rules)
    told = _told(*rules, "data.confusion=1")
    assert "no variance" in told


def test_data_are_fetched_once_whatever_their_confusion_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[DataConfig] = []

    def counted(data: DataConfig) -> base.Distribution:
        asked.append(data)
        return found(data)

    points = _check("-m", *_own("pools"), "data.confusion=0,1,2")
    found = registry.distribution
    monkeypatch.setattr(registry, "distribution", counted)
    preflight.prepare(points)
    assert len(asked) == 1


def test_draws_of_the_users_are_tried() -> None:
    told = _told("-m", *_own("Endless", "+data.args.shifted=true"), "n=20,30")
    assert told == (
        f"data._target_={__name__}.Endless: train_set returned labels from 1 to 2; spec.n_outputs=2"
        " allows 0 to 1. (grid point n=20 and 1 more of 2)"
    )


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


class DropsByFunction(Adds):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.3, self.training)


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


def test_a_users_model_is_tried_before_its_data_are_fetched(tmp_path: Path) -> None:
    (point,) = _check(*_custom("Adds"), "data=mnist", f"data.root={tmp_path}")
    assert point.n_parameters == 7850


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "Nothing",
            ["cannot be imported", "no attribute 'Nothing'"],
        ),
        ("number", ["no torch.nn.Module"]),
        ("TooFew", ["returns a tensor of shape (3, 3); one tensor of shape (3, 10) is needed"]),
        ("Tuple", ["returns a tuple of 1; one tensor of shape (3, 10) is needed for 3 samples"]),
        ("Mixes", ["depends on the other samples of its batch"]),
        ("DropsOut", ["drop", "deterministic gradient descent"]),
        ("DropsByFunction", ["draws random numbers in training mode", "DropsByFunction"]),
        ("Draws", ["different outputs for the same input"]),
        ("Frozen", ["no trained parameters"]),
        ("Detached", ["does not depend on its parameters"]),
        (
            "Crashes",
            [
                "inputs of shape (1, 28, 28)",
                "AttributeError: a bug of two lines, test_check.py line ",
            ],
        ),
        ("ForgetsInit", ["model._target_=", "AttributeError", "no arguments"]),
        ("Demands", ["model._target_=", "flavour", "n_outputs=10"]),
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
    assert "depth=-1" in _told("model=mlp", "+model.args.depth=-1")
    assert "unexpected keyword argument 'deepness'" in _told("model=mlp", "+model.args.deepness=2")


def test_measures_that_cannot_be_found() -> None:
    told = _told("+measures.functions.mine=no_such_module.f")
    assert told.startswith("measures.functions.mine=no_such_module.f: it cannot be imported")
    assert "no function" in _told("+measures.functions.mine=tests.preflight.test_check.number")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there() -> None:
    assert "0 CUDA device(s)" in _told("device=cuda")
    assert "0 CUDA device(s)" in _told("device=cuda:1")


# --- many widths


class Wide(Adds):
    """Takes a width, though not every one, and counts what is done to it."""

    built: ClassVar[list[int]] = []

    def __init__(self, n_outputs: int, ch: int) -> None:
        if ch == 4:
            raise ValueError("width 4 is one too few")
        super().__init__(n_outputs)
        self.fc = nn.Linear(784, ch)
        self.out = nn.Linear(ch, n_outputs)
        assert self.out.weight.device.type == "cpu"
        self.built.append(ch)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(super().forward(x))


class WideTuple(Wide):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, : 1 if len(self.fc.weight) == 5 else None]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The widths whose gradients were tried."""
    widths: list[int] = []
    choose = model_trial.choose_moments_method

    def noted(network: nn.Module, *more: Any) -> Any:
        widths.append(len(next(network.parameters())))
        return choose(network, *more)

    monkeypatch.setattr(model_trial, "choose_moments_method", noted)
    model_trial.try_model.cache_clear()
    model_trial.cost_of_width.cache_clear()
    return widths


@pytest.mark.parametrize("few", [0, 10**6], ids=["without memory", "with weights"])
@pytest.mark.parametrize("model", ["table2_cnn", "mlp"])
def test_gradients_are_tried_at_the_narrowest_width(
    model: str, few: int, tried: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_trial, "_FEW_WEIGHTS", few)
    points = _check("-m", f"model={model}", "ch=7,3,5", "n=20,30")
    assert tried == [3]
    model_trial.try_model.cache_clear()
    for point in points:
        (alone,) = _check(f"model={model}", f"ch={point.cfg.ch}", f"n={point.cfg.n}")
        assert point.n_parameters == alone.n_parameters
        assert (point.flops, point.forward_flops) == (alone.flops, alone.forward_flops)
    assert tried == [3, 7, 3, 5]


def test_a_wide_model_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take 5 TB, which the machine that is to run it may have."""
    monkeypatch.setattr(size_check, "available_memory", lambda: (10**13, "it has"))
    narrow, wide = _check("-m", "model=mlp", "+model.args.depth=2", "ch=3,200000")
    assert narrow.n_parameters < 10**4
    assert wide.n_parameters > 4 * 10**10


def test_models_are_tried_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a busy process, threads that wait for each other take 40 times as long."""
    cores: list[int] = []
    real = model_trial.count_flops

    def counted(work: Any) -> Any:
        cores.append(torch.get_num_threads())
        return real(work)

    monkeypatch.setattr(model_trial, "count_flops", counted)
    model_trial.try_model.cache_clear()
    model_trial.cost_of_width.cache_clear()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _check("-m", "ch=3,4")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert cores == [1, 1]


def test_a_users_model_is_built_at_every_width(tried: list[int]) -> None:
    Wide.built.clear()
    points = _check("-m", *_custom("Wide"), "ch=5,3,6", "seed=1,2")
    assert tried == [3]
    assert Wide.built == [3, 3, 5, 6]  # once more for a tiny training
    assert [p.n_parameters for p in points[::2]] == [785 * ch + 10 * ch + 10 for ch in (5, 3, 6)]


def test_widths_that_a_model_does_not_take_are_found(tried: list[int]) -> None:
    told = _told("-m", *_custom("Wide"), "ch=5,4,3", "seed=1,2")
    assert told.startswith(f"model._target_={__name__}.Wide: ValueError: width 4 is one too few")
    assert told.endswith("(grid point ch=4 seed=1 and 1 more of 6)")
    assert "\n" not in told
    told = _told("-m", *_custom("WideTuple"), "ch=6,5,3")
    assert "returns a tensor of shape (3, 1); one tensor of shape (3, 10) is needed" in told
    assert "grid point ch=5 of 3" in told


def test_a_model_without_gradients_is_tried_until_one_has_them(tried: list[int]) -> None:
    told = _told("-m", *_custom("Mixes"), "ch=2,1")
    assert told.endswith("(grid point ch=2 and 1 more of 2)")
    assert len(tried) == 2


# --- many points


def test_data_measures_and_models_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = registry.distribution

    def counted(cfg: DataConfig) -> base.Distribution:
        looked.append(cfg.name)
        return real(cfg)

    monkeypatch.setattr(registry, "distribution", counted)
    assert len(_check("-m", "n=20,30,40", "data=digits,toy", "lr=0.1,0.2")) == 12
    assert looked == ["digits", "toy"]


def test_what_is_wrong_with_data_is_counted_at_every_point(tmp_path: Path) -> None:
    told = _told("-m", "data=npz", f"data.path={tmp_path}/none.npz", "model=mlp", "n=20,30,40")
    assert "there is no such file" in told
    assert told.endswith("(grid point n=20 and 2 more of 3)")


def test_wrong_types_are_collected_with_what_else_is_wrong() -> None:
    told = _told("-m", "n=20,x,30", "lr=0.1,-1").splitlines()
    assert [line.partition(":")[0] for line in told] == ["lr=-1.0", "n=x"]
    assert told[0].endswith("(grid point n=20 lr=-1 and 1 more of 6)")
    assert told[1].endswith("(grid point n=x lr=0.1 and 1 more of 6)")


def test_a_composed_config_is_a_point_too() -> None:
    cfg = OmegaConf.create(asdict(tiny_config()))
    (point,) = check([GridPoint.of(cfg)])
    assert (point.label, point.overrides, point.cfg) == ("", (), tiny_config())
    with pytest.raises(GsnrError, match="n=x: a whole number is needed"):
        check([GridPoint.of(OmegaConf.merge(cfg, {"n": "x"}))])


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
        def __init__(self, cfg: base.DataSpec) -> None:
            self.name = cfg.name

        def prepare(self) -> None:
            fetched.append(self.name)

    points = _check("-m", "n=20,30", "data=digits,toy")
    monkeypatch.setattr(registry, "distribution", Source)
    preflight.prepare(points)
    assert fetched == ["digits", "toy"]
