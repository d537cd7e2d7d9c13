"""Points composed the short way are those that Hydra and OmegaConf compose the long way."""

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from gsnr_sweep.config import compose
from gsnr_sweep.config.compose import Composer, GridPoint
from gsnr_sweep.config.grid import CommandLine, composer_of, expand, points_of
from gsnr_sweep.config.parse import from_omegaconf
from gsnr_sweep.errors import GsnrError
from tests.conftest import CONF, TINY, tiny_config


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.config_loader


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


# One composer takes each list one after the other, so that a later point of a list is made from
# what is remembered of the earlier ones.
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
    "a data set by its name": [["data.name=toy", "n=5"], ["data.name=digits"], ["data.name=none"]],
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
        composer = Composer(loader, "config")
        for overrides, right in list(zip(points, expected, strict=True))[::step]:
            assert _shared(composer.point(overrides)) == right, overrides


def test_a_key_that_only_some_combinations_have(loader: ConfigLoader) -> None:
    composer = Composer(loader, "config")
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


def test_points_share_nothing_that_can_be_changed(loader: ConfigLoader) -> None:
    composer = Composer(loader, "config")
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


def test_each_value_is_parsed_and_composed_once(
    loader: ConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[object] = []
    typed = from_omegaconf
    monkeypatch.setattr(compose, "from_omegaconf", lambda cfg: composed.append(cfg) or typed(cfg))
    composer = Composer(loader, "config")
    values = [["p_random=0.1", f"n={n}", f"ch={ch}"] for n in range(2, 22) for ch in range(1, 6)]
    assert len({dataclasses.astuple(composer.point(v).cfg)[:3] for v in values}) == 100  # type: ignore[arg-type]
    assert len(composed) == 1


def test_a_composer_that_is_kept_gives_what_each_command_line_gives() -> None:
    """As the tests keep one: whatever was composed before, the grid is that of a fresh Hydra."""
    kept = composer_of(CommandLine.parse((), CONF))
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
