"""When two runs are the same run, and when their code is the same code."""

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import gsnr_sweep
from gsnr_sweep.config.built_ins import FIRST_PATHS
from gsnr_sweep.config.identity import (
    _MEASURING,
    _TRAINING,
    _package_digest,
    code_version,
    equal_codes,
    run_identity,
    science_part,
    training_identity,
)
from gsnr_sweep.config.schema import Config
from tests.conftest import CONF, ROOT, tiny_config, typed_config

MODEL = "class Net:\n    pass\n"


def _arrays(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    arrays = {"x_train": rng.normal(size=(9, 4)), "x_test": rng.normal(size=(9, 4))}
    np.savez(path, y_train=np.arange(9), y_test=np.arange(9), **arrays)
    return path


def _npz(path: Path | str) -> Config:
    return tiny_config("data=npz", f"data.path='{path}'")


# --- settings


@pytest.mark.parametrize(
    "override",
    [
        "dry_run=true",
        "rerun=true",
        "same_code=true",
        "checkpoint_minutes=0",
        "checkpoint_minutes=null",
        "threads=3",
        "device=cpu",
        "memory_limit=2GB",
        "chunk_size=7",
        "tracking=none",
        "tracking.experiment=other",
        "tracking.run_name=mine",
        "preset.name=mine",
        "preset.figures=[]",
        "preset.paper_curves=true",
        "scale=smoke",
        "measure_at=every:2",
        "tf32=false",
        "random_labels=false",
        "data.confusion=0",
    ],
)
def test_how_a_run_is_launched_does_not_change_it(override: str) -> None:
    assert run_identity(tiny_config(override)) == run_identity(tiny_config())


@pytest.mark.parametrize(
    "override",
    [
        "n=31",
        "seed=1",
        "epochs=3",
        "measure_at=[0,1]",
        "lr=0.002",
        "dtype=float64",
        "tf32=true",
        "model=mlp",
        "model.init=he",
        "model.frozen=[fc1]",
        "measures.parameters=[fc2]",
        "measure_at=every:1",
        "measure_at=log:3",
        "data=toy",
        "data.elastic=2",
        "data.confusion=5",
        "random_labels=true",
        "+measures.functions.mine=some.where",
    ],
)
def test_what_decides_the_numbers_does(override: str) -> None:
    assert run_identity(tiny_config(override)) != run_identity(tiny_config())


def test_random_labels_are_p_random_1() -> None:
    short, long = tiny_config("random_labels=true"), tiny_config("p_random=1")
    assert run_identity(short) == run_identity(long)
    assert training_identity(short) == training_identity(long)


def test_images_of_another_size_make_another_run() -> None:
    plain, null, large = (
        tiny_config("data=mnist", *more)
        for more in ((), ("data.resize=null",), ("data.resize=32",))
    )
    assert run_identity(plain) == run_identity(null) != run_identity(large)
    assert training_identity(plain).hash != training_identity(large).hash


def test_confusion_sets_belong_to_the_training() -> None:
    one, other = (tiny_config(f"data.confusion={size}") for size in (4, 5))
    assert training_identity(one).hash != training_identity(other).hash


def test_an_identity_is_16_hexadecimal_digits(tmp_path: Path) -> None:
    for cfg in (tiny_config(), _npz(_arrays(tmp_path / "a.npz"))):
        identity = run_identity(cfg)
        assert len(identity) == 16
        assert int(identity, 16) >= 0


# --- identities that were given: runs on disk and in stores go by them

_SMALL = ("ch=2", "n_sets=2", "n_test=20")
_MEASURES = "gsnr_sweep.measures"
# Each run's identity, as commit 693a9f0 computed it too, and that of its training.
_GIVEN: dict[tuple[str, ...], tuple[str, str]] = {
    ("data=toy", "model=mlp", "n=20", *_SMALL, "epochs=2", "measure_at=[1,2]"): (
        *("c6dada1399e32e80", "bc277262930d23c9"),
    ),
    ("data=toy", "model=mlp", "n=30", *_SMALL, "epochs=5000", "measure_at=[1,5000]"): (
        *("19fad40783db512f", "b1f49e3d3da971dc"),
    ),
    (
        *("model=table2_cnn", "n=20", *_SMALL, "epochs=1", "measure_at=[0,1]"),
        f"+measures.functions.weight_gradient={_MEASURES}.weight_gradient.weight_gradient",
        f"+measures.functions.first_term={_MEASURES}.first_term.first_term",
    ): ("2d62676de8792208", "73b7be4bfb38022c"),
    (
        *("experiment=fig6_frozen_toy", "scale=smoke", "model.init=small", "model.frozen=[fc1]"),
        *("n=20", "n_test=20", "ch=4", "epochs=4", "measure_at=every:2"),
        "~measures.functions.linear_regression",
    ): ("b7d6a2183779736f", "f99c6c84712b4a4b"),
    ("experiment=fig4_mnist", "n=1000", "ch=6", "p_random=0"): (
        *("83be3be4d033926d", "8caedd26e711b79c"),
    ),
    ("experiment=fig9_cifar10",): ("a8e05eb3f09972a3", "e6b5d875b348e881"),
    (
        "experiment=fig7_weight_gradient_mnist",
        *("~measures.functions.sign_transitions", "~measures.functions.squared_gradient"),
    ): ("8351ac586188c570", "c99954c1b982ab26"),
    ("data=mnist", "model=mlp", "+model.args.depth=3"): ("6e5b5b6dde1c3a8f", "5fec19d090cc9c90"),
    ("data=cifar10", "model=resnet18"): ("73ab1b08be19617e", "b2ef824262fd329e"),
    ("model=custom", "model._target_=my_models.Wide"): ("2eee3f1091fb9c4b", "450c54a7be0273a5"),
}


@pytest.mark.parametrize(("overrides", "given"), _GIVEN.items(), ids=lambda one: one[0])
def test_identities_stay_what_they_are(overrides: tuple[str, ...], given: tuple[str, str]) -> None:
    """Changed, they make every earlier run of these settings unknown: it would be run again."""
    cfg = typed_config(*overrides)
    assert (run_identity(cfg), training_identity(cfg).hash) == given


@pytest.mark.parametrize("name", FIRST_PATHS)
def test_a_built_in_may_move(name: str) -> None:
    cfg, moved = tiny_config(), tiny_config()
    if name[0].isupper():
        cfg.model._target_ = FIRST_PATHS[name]
        moved.model._target_ = f"gsnr_sweep.core.networks.{name}"
    else:
        cfg.measures.functions["x"] = FIRST_PATHS[name]
        moved.measures.functions["x"] = f"gsnr_sweep.core.moments.{name}"
    assert cfg != moved
    assert run_identity(cfg) == run_identity(moved) != run_identity(tiny_config("seed=9"))
    assert training_identity(cfg).hash == training_identity(moved).hash


@pytest.mark.parametrize("path", ["my.table2_cnn.Table2CNN", "gsnr_sweeper.models.Table2CNN"])
def test_a_users_model_of_the_same_name_is_another_one(path: str) -> None:
    other = tiny_config("model._target_=" + path)
    assert run_identity(other) != run_identity(tiny_config())


def test_every_built_in_is_known_by_its_name() -> None:
    """One that a config names but `built_ins.py` does not would change its identity by moving."""
    text = "".join(path.read_text() for path in CONF.rglob("*.yaml"))
    named = set(re.findall(r"gsnr_sweep\.(?:models|measures)\.[\w.]+", text))
    assert {path.rpartition(".")[2] for path in named} == FIRST_PATHS.keys()
    assert len(named) == len(FIRST_PATHS)


# --- a user's own data


def test_content_decides_not_its_place(tmp_path: Path) -> None:
    here, there = _arrays(tmp_path / "a.npz"), tmp_path / "far" / "b.npz"
    there.parent.mkdir()
    there.write_bytes(here.read_bytes())
    other = _arrays(tmp_path / "c.npz", seed=1)
    assert run_identity(_npz(here)) == run_identity(_npz(there))
    assert run_identity(_npz(here)) != run_identity(_npz(other))


def test_a_file_that_changes_makes_another_run(tmp_path: Path) -> None:
    path = _arrays(tmp_path / "a.npz")
    before = run_identity(_npz(path))
    _arrays(path, seed=1)  # of the same size
    os.utime(path, ns=(1, 1))
    changed = run_identity(_npz(path))
    assert changed != before
    _arrays(path)
    os.utime(path, ns=(2, 2))
    assert run_identity(_npz(path)) == before


def test_relative_paths_and_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute = run_identity(_npz(_arrays(folder / "a.npz")))
    assert run_identity(_npz("a.npz")) == absolute
    monkeypatch.setenv("HOME", str(folder))
    assert run_identity(_npz("~/a.npz")) == absolute


def test_other_settings_of_own_data_count(tmp_path: Path) -> None:
    path = _arrays(tmp_path / "a.npz")
    plain, other = _npz(path), _npz(path)
    other.data.standardize = False  # type: ignore[attr-defined]
    assert run_identity(plain) != run_identity(other)
    assert run_identity(plain) != run_identity(tiny_config())


def test_a_file_that_is_missing_goes_by_its_name(tmp_path: Path) -> None:
    assert run_identity(_npz(tmp_path / "a")) != run_identity(_npz(tmp_path / "b"))


def test_images_count_by_their_content_if_they_are_not_the_published_ones(tmp_path: Path) -> None:
    """MNIST is MNIST under any root; other files under it are other runs."""
    identities = set()
    for root, labels in (("none", None), ("one", b"1"), ("other", b"2"), ("again", b"2")):
        raw = tmp_path / root / "MNIST" / "raw"
        raw.mkdir(parents=True)
        if labels is not None:
            (raw / "train-labels-idx1-ubyte").write_bytes(labels)
        identities.add(run_identity(tiny_config("data=mnist", f"data.root={tmp_path / root}")))
    assert len(identities) == 3
    assert run_identity(tiny_config("data=mnist", "data.root=nowhere")) in identities


def test_the_published_images_are_the_same_run_wherever_they_lie(real_data: Path) -> None:
    here, there = (tiny_config("data=mnist", f"data.root={r}") for r in (real_data, "nowhere"))
    assert run_identity(here) == run_identity(there)


def _own_data(*more: str, name: str = "pair") -> Config:
    target = f"data._target_={__name__}.{name}"
    return tiny_config("data=custom", target, "+data.args.value=1", *more)


def pair(value: float) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """The smallest pair of data sets."""
    return [(value, 0), (1.0, 1)], [(0.0, 1), (1.0, 1)]


def same_pair(value: float) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    return pair(value)


def test_own_data_count_by_their_settings() -> None:
    base = run_identity(_own_data())
    assert run_identity(_own_data()) == base
    assert training_identity(_own_data()).hash == training_identity(_own_data("n_test=60")).hash
    others = [
        _own_data("data.args.value=2"),
        _own_data("data.standardize=false"),
        _own_data("data.layout=chw"),
        _own_data(name="same_pair"),
    ]
    for identity in (run_identity, lambda cfg: training_identity(cfg).hash):
        assert len({identity(cfg) for cfg in (_own_data(), *others)}) == 5


def test_own_data_count_by_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_identity(_own_data())
    monkeypatch.setitem(globals(), "pair", lambda value: same_pair_but(0.5))
    assert run_identity(_own_data()) != before


def same_pair_but(value: float) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    return [(value, 0), (1.0, 1)], [(0.0, 1), (1.0, 1)]


def test_own_data_that_cannot_be_opened_have_an_identity() -> None:
    assert len(run_identity(_own_data(name="nowhere"))) == 16


def test_identities_of_other_data_are_what_they_were() -> None:
    """As of commit a7b8968, before there were data by dotted path."""
    assert [run_identity(tiny_config(f"data={name}")) for name in ("digits", "mnist", "toy")] == OLD
    assert [training_identity(tiny_config(f"data={name}")).hash for name in ("digits", "toy")] == (
        OLD_TRAININGS
    )


OLD = ["5c78495f5c95a9e4", "2f226184273c5a8e", "a644bd0a4e686707"]
OLD_TRAININGS = ["b1b476b1d52fc2f8", "145bd30d861dd056"]


# --- code


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's own module, importable under a name that nobody else has."""
    path = tmp_path / f"own_{tmp_path.name}.py"
    path.write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield path
    sys.modules.pop(path.stem, None)


def _custom(module: Path) -> Config:
    return tiny_config("model=custom", f"model._target_={module.stem}.Net")


def test_the_version_says_package_and_sources() -> None:
    version, _, digits = code_version(tiny_config()).partition("+")
    assert version == gsnr_sweep.__version__
    assert len(digits) == 12
    assert int(digits, 16) >= 0


def test_settings_are_not_code() -> None:
    versions = {code_version(tiny_config(o)) for o in ("n=30", "model=mlp", "data=toy", "lr=1")}
    assert len(versions) == 1


def test_a_users_model_is_code(module: Path) -> None:
    before = code_version(_custom(module))
    assert before != code_version(tiny_config())
    assert module.stem not in sys.modules  # it was looked at, not imported
    module.write_text(MODEL + "# changed\n")
    after = code_version(_custom(module))
    assert after != before
    module.write_text(MODEL)
    os.utime(module, ns=(1, 1))
    assert code_version(_custom(module)) == before


def test_a_users_model_is_code_after_its_import_too(module: Path) -> None:
    before = code_version(_custom(module))
    importlib.import_module(module.stem)
    assert code_version(_custom(module)) == before
    module.write_text(MODEL + "# changed\n")
    assert code_version(_custom(module)) != before


def test_a_users_measure_is_code(module: Path) -> None:
    cfg = tiny_config(f"+measures.functions.mine={module.stem}.mine")
    before = code_version(cfg)
    assert before != code_version(tiny_config())
    module.write_text(MODEL + "# changed\n")
    assert code_version(cfg) != before


def test_the_same_module_elsewhere_is_the_same_code(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "elsewhere" / "twin.py"
    other.parent.mkdir()
    other.write_text(MODEL)
    monkeypatch.syspath_prepend(str(other.parent))
    importlib.invalidate_caches()
    assert code_version(_custom(other)) == code_version(_custom(module))


@pytest.mark.parametrize("target", ["no.such.module.Net", "Net", "math.sqrt", ".relative.Net"])
def test_what_has_no_source_adds_nothing(target: str) -> None:
    cfg = tiny_config("model=custom", f"model._target_={target}")
    assert code_version(cfg) == code_version(tiny_config())


def test_a_package_of_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / f"package_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    cfg = tiny_config("model=custom", f"model._target_={package.name}.nets.Net")
    before = code_version(cfg)
    (package / "nets.py").write_text(MODEL + "# changed\n")
    assert code_version(cfg) != before != code_version(tiny_config())


def test_only_sources_that_can_change_numbers_count(tmp_path: Path) -> None:
    package = tmp_path / "gsnr_sweep"
    shutil.copytree(ROOT / "gsnr_sweep", package, ignore=shutil.ignore_patterns("__pycache__"))
    digest = partial(_package_digest.__wrapped__, rooms=_TRAINING + _MEASURING)
    before = digest(package)
    for outside in ("report/page.py", "cli/help.py", "papers/registry.py", "errors.py"):
        (package / outside).write_text("# another text\n")
    assert digest(package) == before
    for inside in ("engine/autograd.py", "engine/cpu/kernels/linear.h", "measures/gsnr.py"):
        (package / inside).write_text("# another text\n")
        assert digest(package) != before
        before = digest(package)


@pytest.mark.parametrize(
    "override",
    [
        "measure_at=[1]",
        "epochs=9",
        "n_test=60",
        "data.noisy_test=false",
        "measures.variance=unbiased",
    ],
)
def test_what_is_measured_does_not_change_the_training(override: str) -> None:
    cfg, other = tiny_config(), tiny_config(override)
    assert run_identity(cfg) != run_identity(other)
    assert training_identity(cfg).hash == training_identity(other).hash


@pytest.mark.parametrize(
    "override", ["n=31", "ch=3", "lr=0.5", "seed=1", "p_random=0.1", "n_sets=3", "data=toy"]
)
def test_what_decides_the_weights_changes_the_training(override: str) -> None:
    assert training_identity(tiny_config()).hash != training_identity(tiny_config(override)).hash


def test_keeping_weights_does_not_make_another_run() -> None:
    assert run_identity(tiny_config()) == run_identity(tiny_config("keep_weights=true"))


def test_a_measure_of_the_users_does_not_change_the_trainings_code(module: Path) -> None:
    cfg = tiny_config(f"+measures.functions.mine={module.stem}.measure")
    assert code_version(cfg) != code_version(tiny_config())
    assert training_identity(cfg).code == training_identity(tiny_config()).code


def test_data_of_the_users_are_code_of_the_training(module: Path) -> None:
    cfg = tiny_config("data=custom", f"data._target_={module.stem}.Net")
    before = code_version(cfg), training_identity(cfg).code
    assert before[0] != code_version(tiny_config())
    assert before[1] != training_identity(tiny_config()).code
    module.write_text(MODEL + "# changed\n")
    assert code_version(cfg) != before[0]
    assert training_identity(cfg).code != before[1]


def test_the_first_measured_epoch_is_known() -> None:
    assert training_identity(tiny_config("epochs=5", "measure_at=[3,5]")).measured_from == 3


def test_sources_of_equal_numbers_are_known_by_their_version() -> None:
    own, first = equal_codes(tiny_config())
    assert own == code_version(tiny_config())
    assert first == "0.1.0+805dbcb8121a"  # as records of commit 693a9f0 name it


def test_the_task_of_the_data_counts_only_where_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, x=1)
    mine = ("data=npz", f"data.path={path}", "model=mlp")
    plain = tiny_config(*mine)
    assert "task" not in science_part(plain)["data"]
    assert run_identity(plain) == run_identity(tiny_config(*mine, "data.task=auto"))
    assert run_identity(plain) != run_identity(tiny_config(*mine, "data.task=regression"))


def test_checkpoints_on_a_users_arrays_are_of_this_version_alone(tmp_path: Path) -> None:
    """Earlier versions standardized in float32 and counted classes otherwise."""
    cfg = tiny_config("data=npz", f"data.path={tmp_path / 'mine.npz'}", "model=mlp")
    assert equal_codes(cfg) == (code_version(cfg),)


def test_running_statistics_are_kept_beside_the_weights() -> None:
    """A training that did not keep them up is no beginning for one that is measured with them."""
    sgd = ("optim=sgd", "optim.batch_size=4")
    plain = training_identity(tiny_config(*sgd))
    running = training_identity(tiny_config(*sgd, "measures.batch_norm=running"))
    assert plain.hash != running.hash
    assert plain.hash == training_identity(tiny_config(*sgd, "measures.own_steps=3")).hash


def test_losses_of_pytorch_are_no_code_of_the_users() -> None:
    torchs = ("loss=custom", "loss._target_=torch.nn.HuberLoss", "+loss.args.reduction=none")
    assert code_version(tiny_config(*torchs)) == code_version(tiny_config())
    assert run_identity(tiny_config(*torchs)) != run_identity(tiny_config())


def test_keys_that_came_later_change_no_identity_at_their_usual_values() -> None:
    given = ("loss=auto", "stop.train_loss=null", "measures.own_steps=1")
    assert run_identity(tiny_config(*given)) == run_identity(tiny_config())
    changed = ("loss=mse", "stop.train_loss=0.1", "stop.train_error=0", "measures.own_steps=2")
    found = {run_identity(tiny_config(one)) for one in changed}
    assert len(found | {run_identity(tiny_config())}) == len(changed) + 1
