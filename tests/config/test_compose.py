"""Points composed the short way are those that Hydra and OmegaConf compose the long way."""

import copy
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from gsnr_sweep.config import compose
from gsnr_sweep.config.compose import Composer, GridPoint
from gsnr_sweep.config.grid import CommandLine, composer_of, expand, points_of
from gsnr_sweep.config.parse import from_omegaconf
from gsnr_sweep.errors import GsnrError
from tests.conftest import CONF, TINY, shared_composer, tiny_config


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = GlobalHydra.instance().hydra
        assert found is not None
        yield found.config_loader


def _long_way(loader: ConfigLoader, overrides: list[str]) -> tuple[str, str]:
    """Config and problem; as text, since NaN is not equal to itself."""
    cfg = loader.load_configuration("config", overrides, RunMode.RUN)
    with open_dict(cfg):
        del cfg["hydra"]
    try:
        return repr(from_omegaconf(cfg)), ""
    except GsnrError as error:
        return "None", str(error)


def _shared(point: GridPoint) -> tuple[str, str]:
    return repr(point.cfg), point.problem


# One composer takes all of them, forwards and backwards, so that points are made from what is
# remembered of others.
_POINTS: dict[str, list[list[str]]] = {
    "single values": [
        [f"n={n}", f"ch={ch}", f"p_random={p}"] for n in (5, 7) for ch in (2, 3) for p in (0, 0.5)
    ],
    "a float given as a whole number": [["lr=1"], ["lr=1e-4"], ["lr=.5"], ["lr=nan"], ["lr=inf"]],
    "a text given as a number": [
        ["data=mnist", f"data.root={r}"] for r in ("3", "1e3", "x", "0x1")
    ],
    "texts in quotes": [[f"memory_limit={m}"] for m in ("1GB", "'2 GB'", '"3,GB"', "4\\,GB")],
    "truth values": [[f"data.noisy_test={b}"] for b in ("true", "no", "1", "0", "yes", "off", "2")],
    "lists": [[f"measure_at={m}"] for m in ("[1,2]", "[]", "[3]", "[1.0]", "[1,null]", "[[1]]")],
    "lists of numbers": [[f"data.mean={m}", "n=3"] for m in ("[1]", "[0.5,2]", "[a]", "0.5")],
    "nothing": [[f"{key}=null"] for key in ("chunk_size", "threads", "n", "tracking.uri", "lr")],
    "what is not there yet": [["data=npz", "n=3"], ["data=npz", "data.path=x"]],
    "missing on purpose": [["n=???"], ["n=5"], ["data=npz", "data.path='???'"]],
    "wrong types among right ones": [
        [f"n={n}", f"seed={seed}", "lr=2"] for n in ("5", "six", "7.5") for seed in ("1", "x", "2")
    ],
    "every data set": [
        [f"data={name}", f"n={n}", *more]
        for name, more in {
            "digits": ["data.rotation=3"],
            "mnist": ["data.root=here"],
            "fashion_mnist": ["data.n_classes=3"],
            "cifar10": ["data.shape=[3,8,8]"],
            "npz": ["data.path=x.npz", "data.standardize=false"],
            "custom": ["data._target_=my.f", "+data.args.k=3", "data.layout=hwc"],
            "toy": ["data.eta=2"],
        }.items()
        for n in (5, 6)
    ],
    "every optimizer": [
        [f"optim={name}", f"optim.batch_size={size}", "optim._target_=my.Own"]
        for name in ("sgd", "adam", "adamw", "rmsprop", "custom")
        for size in (5, 6, "x")
    ],
    "every model": [
        [f"model={name}", f"model.init={init}", "data=toy", "model._target_=my.Own"]
        for name in ("table2_cnn", "table3_cnn", "mlp", "custom")
        for init in ("he", "torch")
    ],
    "added arguments": [
        ["model=mlp", f"+model.args.depth={depth}", f"n={n}", f"model.init={init}"]
        for depth in (2, 3)
        for n in (5, 6)
        for init in ("torch", "he")
    ],
    "arguments of every kind": [
        [f"+model.args.x={x}", f"seed={seed}"]
        for x in ("[1,[2,{a: b}]]", "{a: {b: 1}}", "null", "text")
        for seed in (1, 2)
    ],
    "added measures": [["+measures.functions.x=a.b", f"n={n}"] for n in (5, 6)],
    "measures that are left out": [
        ["~measures.functions.gsnr", "measures.variance=unbiased", f"ch={ch}"] for ch in (2, 3)
    ],
    "added twice": [["++n=5", "ch=2"], ["++n=6", "ch=3"], ["++model.args.x=1", "n=2"]],
    "whole mappings": [
        [f"measures.functions={{gsnr: {name}}}", "measures.variance=x", "model.args={}", f"n={n}"]
        for name in ("a.b", "3")
        for n in (5, 6)
    ],
    "a key more than once": [["n=5", "n=6", "n=5", f"ch={ch}"] for ch in (2, 3)],
    "a key more than once, wrong at last": [["n=5", "n=x"], ["n=x", "n=5"], ["n=6", "n=y"]],
    "keys that were deleted": [["~lr", "n=5"], ["~lr", "n=6"], ["~data.mean", "data.shear=1"]],
    "keys that refer to others": [
        ["ch=${n}", "n=5"],
        ["n=6", "ch=${n}"],
        ["n=7", "tracking.run_name='${data.name} ${n}'"],
        ["n=8", "+model.args.depth=${n}"],
    ],
    "an experiment": [["experiment=fig4_mnist", f"n={n}", "ch=3"] for n in (5, 6)],
    "scales of an experiment": [
        ["experiment=fig6_frozen_toy", f"scale={scale}", f"model.frozen={frozen}", "lr=0.1"]
        for scale in ("smoke", "paper")
        for frozen in ("[]", "[fc1]")
    ],
    "single entries of lists and mappings": [
        [f"measures.functions.gsnr={name}", "measures.functions.p_same_sign=3", f"data.mean.0={x}"]
        for name in ("a.b", "null", "[1]")
        for x in ("1", "x")
    ],
    "keys that are not there": [["+new=1", "n=5"], ["+model.new=1"], ["++data.new=1"], ["n=5"]],
    "parts of Hydra itself": [
        [f"hydra.launcher.workers={workers}", "hydra/launcher=local", f"n={n}", "ch=3"]
        for workers in (1, 2)
        for n in (5, 6)
    ],
    "mappings in the place of values": [
        ["n={a: 1}"],
        ["preset={name: x}"],
        ["preset={scale: [1]}"],
    ],
    "schedules": [
        [f"measure_at={given}", f"epochs={epochs}", "n=5"]
        for given in ("every:2", "log:3", "[0,1]")
        for epochs in (4, 9)
    ],
    "other groups": [["tracking=none", "data=cifar10", "model=mlp", f"n={n}"] for n in (5, 6)],
    "groups swept": [
        [f"data={data}", f"model={model}", f"tracking={tracking}", "n=5", "seed=3"]
        for data in ("toy", "digits")
        for model in ("mlp", "table3_cnn")
        for tracking in ("none", "mlflow")
    ],
}


@pytest.mark.parametrize("points", _POINTS.values(), ids=_POINTS.keys())
def test_the_short_way_is_the_long_one(loader: ConfigLoader, points: list[list[str]]) -> None:
    expected = [_long_way(loader, overrides) for overrides in points]
    for step in (1, -1):
        for overrides, right in list(zip(points, expected, strict=True))[::step]:
            assert _shared(shared_composer().point(overrides)) == right, overrides


def test_a_key_that_only_some_combinations_have(loader: ConfigLoader) -> None:
    composer = shared_composer()
    for group, is_there in (("data=toy", True), ("data=digits", False), ("data=toy", True)):
        overrides = [group, "n=5", "data.eta=1"]
        if is_there:
            assert _shared(composer.point(overrides)) == _long_way(loader, overrides)
        else:
            with pytest.raises(GsnrError, match="does not belong to the data"):
                composer.point(overrides)


def test_a_users_configs_may_refer_to_other_keys(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nn_test: ${n}\n")
    arguments = ["-m", "--config-dir", str(tmp_path), "experiment=mine", "n=5,6,7"]
    points = expand(CommandLine.parse(arguments, CONF)).points
    assert [point.cfg.n_test for point in points if point.cfg] == [5, 6, 7]


def test_points_share_nothing_that_can_be_changed() -> None:
    composer = shared_composer()
    overrides = ["measure_at=[1,2]", "model=mlp", "+model.args.sizes=[1,2]"]
    points = [composer.point([*overrides, f"n={n}"]) for n in (5, 6, 5)]
    first, *others = (point.cfg for point in points)
    before = copy.deepcopy(others)
    assert first is not None
    first.n = first.tracking.run_name = first.data.name = "changed"  # type: ignore[assignment]
    first.measure_at.append(3)
    first.data.mean.append(3.0)  # type: ignore[attr-defined]
    first.model.args["sizes"].append(3)
    first.measures.functions.clear()
    assert others == before
    again = composer.point([*overrides, "n=5"]).cfg
    assert again == others[1]


def test_each_combination_of_groups_is_composed_and_typed_once(
    loader: ConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    typed = compose.typed
    monkeypatch.setattr(compose, "typed", lambda cfg: done.append(cfg) or typed(cfg))
    monkeypatch.setattr(GridPoint, "of", lambda *_: pytest.fail("the long way was taken"))
    composer = Composer(loader, "config")
    points = [
        [f"n={n}", f"ch={ch}", *more]
        for more in (["p_random=0.1"], ["+model.args.depth=2", "hydra.verbose=true"])
        for n in range(2, 22)
        for ch in range(1, 6)
    ]
    found = [composer.point(overrides).cfg for overrides in points]
    assert len({repr(cfg) for cfg in found}) == 200
    assert len(done) == 2


def test_a_composer_that_is_kept_gives_what_each_command_line_gives() -> None:
    """As the tests keep one: whatever was composed before, the grid is that of a fresh Hydra."""
    kept = shared_composer()
    lines = [
        ["n=30", "ch=3"],
        ["n=30", "ch=4", "tracking=none"],
        ["-m", "n=5,7", "data=digits,toy", "measure_at=[0,1]", "hydra.launcher.workers=3"],
        ["n=30", "ch=4", "data=toy", "model=mlp", "+model.args.depth=2"],
        ["-m", "experiment=fig6_frozen_toy", "scale=smoke", "lr=0.5"],
        ["n=30", "ch=3"],
    ]
    for line in lines:
        command = CommandLine.parse(line, CONF)
        found, fresh = expand(command, kept), expand(command)
        assert (found.points, found.axes) == (fresh.points, fresh.axes)
        assert found.launcher == fresh.launcher
        assert not any(point.problem for point in found.points)


def test_the_tests_configs_are_those_of_their_command_lines() -> None:
    for overrides in ((), ("ch=3",), ("ch=4", "data=toy", "model=mlp"), ("data=toy", "model=mlp")):
        (point,) = expand(CommandLine.parse([*TINY, *overrides], CONF)).points
        assert tiny_config(*overrides) == point.cfg


# --- the whole config, Hydra's own part included: an upgrade of Hydra that changes it is seen here

_WHOLE: dict[str, list[str]] = {
    "nothing given": [],
    "values": ["n=5", "p_random=0.5", "measure_at=[1,2]", "tracking.run_name='a, b=c'"],
    "a key more than once": ["n=5", "ch=3", "n=6"],
    "groups among values": ["n=5", "data=toy", "model=mlp", "ch=3", "tracking=none"],
    "added and deleted": ["+model.args.depth=2", "~measures.functions.gsnr", "++ch=3"],
    "references": ["ch=${n}", "tracking.run_name='${data.name} ${now:%H}'"],
    "an experiment": ["experiment=fig4_mnist", "n=5"],
    "scales of experiments": ["n=5", "experiment=fig6_frozen_toy", "scale=smoke", "lr=0.1"],
    "a grid's parameters": ["hydra.sweeper.params={n: '5,6'}", "+hydra.sweeper.params.ch='3,4'"],
    "choices of Hydra's": ["hydra/launcher=slurm", "hydra.launcher.timeout_min=5", "n=5"],
    "folders and names": ["hydra.job.name=mine", "n=5", "hydra.run.dir='x/${n}'", "ch=3"],
    "how overrides are written": [
        *("n=5", "data=toy", "seed=3", "hydra.job.config.override_dirname.kv_sep=':'"),
        *("hydra.job.config.override_dirname.exclude_keys=[n]", "hydra.verbose=true"),
    ],
    "the environment": ["hydra.job.env_copy=[HOME]", "+hydra.job.env_set.A=b", "n=5"],
}


def _content(cfg: DictConfig) -> tuple[object, bool]:
    return OmegaConf.to_container(cfg), bool(OmegaConf.is_struct(cfg))


@pytest.mark.parametrize("overrides", _WHOLE.values(), ids=_WHOLE.keys())
def test_the_whole_config_is_that_of_hydra(loader: ConfigLoader, overrides: list[str]) -> None:
    # One of its own: what others composed before may have been in another folder.
    composer = Composer(loader, "config")
    expected = hydra.compose("config", overrides, return_hydra_config=True)
    assert expected.hydra.overrides.task == [o for o in overrides if "hydra" not in o]
    assert _content(composer.full(overrides)) == _content(expected)
    composer.full([*overrides, "n=9", "seed=9"])
    assert _content(composer.full(overrides)) == _content(expected)


def test_the_whole_config_of_folders_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nhydra: {sweeper: {params: {n: '5,6'}}}\nseed: 3\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    given = ["experiment=mine", f"hydra.searchpath=['file://{tmp_path}']", "ch=3,4"]
    command = CommandLine.parse(["-m", *given], CONF)
    composer = composer_of(command)
    points = expand(command, composer).points
    assert [point.label for point in points] == [f"n={n} ch={ch}" for n in (5, 6) for ch in (3, 4)]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for point in points:
            overrides = [command.search[0], *point.overrides]
            expected = hydra.compose("config", overrides, return_hydra_config=True)
            assert _content(composer.full(overrides)) == _content(expected)
            with open_dict(expected):
                del expected["hydra"]
            assert point.cfg == from_omegaconf(expected)


@pytest.mark.parametrize("overrides", _WHOLE.values(), ids=_WHOLE.keys())
def test_the_whole_config_of_a_sweeps_point_is_that_of_hydra(
    loader: ConfigLoader, overrides: list[str]
) -> None:
    sweep = _sweep(loader, *overrides, "hydra.launcher.workers=2")
    point = [*(o for o in overrides if "hydra" not in o), "n=7"]
    expected = loader.load_sweep_config(sweep, point)
    composed = Composer.of_sweep(loader, sweep).full(point)
    assert _content(composed) == _content(expected)
    # What the sweep resolved before, such as a time, is taken over.
    assert OmegaConf.get_cache(composed) == OmegaConf.get_cache(expected)


# --- inside a launcher


def _sweep(loader: ConfigLoader, *overrides: str) -> DictConfig:
    """The config that a launcher is set up with."""
    given = [*overrides, "hydra.mode=MULTIRUN"]
    return loader.load_configuration("config", given, RunMode.MULTIRUN)


def test_a_launcher_gets_the_points_that_were_checked(loader: ConfigLoader) -> None:
    overrides = ["n=10,20", "data=digits,toy", "measure_at=[0,1]", "hydra.launcher.workers=3"]
    sweep = _sweep(loader, *overrides)
    checked = expand(CommandLine.parse(["-m", *overrides], CONF)).points
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert tuple(points_of(loader, sweep, [p.overrides for p in checked])) == checked


def test_a_launchers_points_are_those_of_hydra(loader: ConfigLoader) -> None:
    sweep = _sweep(loader, "n=1,2", "hydra.sweep.subdir='${hydra.job.num}'")
    overrides = [[f"n={n}", "model=mlp", "+model.args.depth=2"] for n in (5, 6)]
    points = points_of(loader, sweep, overrides)
    assert [point.label for point in points] == ["n=5", "n=6"]
    for point, given in zip(points, overrides, strict=True):
        cfg = loader.load_sweep_config(sweep, given)
        with open_dict(cfg):
            del cfg["hydra"]
        assert point.cfg == from_omegaconf(cfg)
        assert point.overrides == tuple(given)


def test_a_launcher_keeps_what_the_sweep_resolved_before(loader: ConfigLoader) -> None:
    given = ["tracking.run_name=${now:%f}", "n=5"]
    sweep = _sweep(loader, given[0])
    before = sweep.tracking.run_name
    (point,) = points_of(loader, sweep, [given])
    assert point.cfg is not None
    assert point.cfg.tracking.run_name == before
    assert point.label == ""


def test_what_a_launcher_cannot_compose_is_explained(loader: ConfigLoader) -> None:
    with pytest.raises(GsnrError, match="no key 'chh'"):
        points_of(loader, _sweep(loader), [["n=5"], ["chh=6"]])
    (right, wrong) = points_of(loader, _sweep(loader), [["n=5"], ["n=x"]])
    assert right.cfg is not None
    assert not right.problem
    assert wrong.cfg is None
    assert wrong.problem.startswith("n=x: a whole number is needed")


@pytest.mark.parametrize("override", ["data.name=toy", "optim.name=sgd", "++optim.name=sgd"])
def test_a_name_alone_chooses_nothing(loader: ConfigLoader, override: str) -> None:
    group, _, name = override.lstrip("+").partition(".name=")
    with pytest.raises(GsnrError, match=rf"the name alone chooses nothing\. Give {group}={name},"):
        shared_composer().point([override, "n=5"])
