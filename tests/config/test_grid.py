"""From command lines to grid points, and what is said about those that cannot be read."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.types import RunMode

from gsnr_sweep.config.grid import CommandLine, Grid, expand, points_of
from gsnr_sweep.config.schema import Config
from gsnr_sweep.errors import GsnrError
from tests.conftest import CONF


def _grid(*arguments: str) -> Grid:
    return expand(CommandLine.parse(arguments, CONF))


def _configs(grid: Grid) -> list[Config]:
    assert not any(point.problem for point in grid.points)
    return [point.cfg for point in grid.points if point.cfg]


def _told(*arguments: str) -> str:
    with pytest.raises(GsnrError) as refusal:
        _grid(*arguments)
    told = str(refusal.value)
    assert "\n" not in told
    return told


# --- reading the command line


def test_overrides_may_stand_before_and_after_options() -> None:
    line = CommandLine.parse(["n=1,2", "-m", "ch=3", "--config-name", "config", "seed=1"], CONF)
    assert line.multirun
    assert line.overrides == ("n=1,2", "ch=3", "seed=1")
    assert line.arguments == ("-m", "--config-name", "config", "n=1,2", "ch=3", "seed=1")


@pytest.mark.parametrize("option", [["--help"], ["--hydra-help"], ["--cfg", "job"], ["--info"]])
def test_questions_are_told_from_runs(option: list[str]) -> None:
    assert CommandLine.parse(option, CONF).informative
    assert not CommandLine.parse(["n=3"], CONF).informative


def test_options_that_do_not_exist_or_do_not_go_together() -> None:
    for arguments, words in (
        (["--frobnicate", "n=3"], "no option --frobnicate"),
        (["n=3", "-m", "n=4", "-x"], "no option -x"),
        (["-m", "--cfg", "job"], "leave -m out"),
        (["--config-dir", "/no/such/folder"], "/no/such/folder: there is no such folder"),
    ):
        with pytest.raises(GsnrError, match=words):
            CommandLine.parse(arguments, CONF)


# --- the points of a grid


def test_one_run_is_one_point_without_label_or_axes() -> None:
    grid = _grid("n=77", "data=toy")
    (point,), (cfg,) = grid.points, _configs(grid)
    assert (point.label, grid.axes, grid.launcher) == ("", {}, None)
    assert (cfg.n, cfg.data.name, cfg.model.name) == (77, "toy", "mlp")
    assert point.overrides == ("n=77", "data=toy")


def test_a_sweep_is_the_product_of_its_axes_in_hydras_order() -> None:
    grid = _grid("-m", "n=10,20", "seed=5", "ch=3,4,5", "p_random=0.5")
    assert grid.axes == {"n": ["10", "20"], "ch": ["3", "4", "5"]}
    assert [point.label for point in grid.points] == [
        f"n={n} ch={ch}" for n in (10, 20) for ch in (3, 4, 5)
    ]
    assert [(cfg.n, cfg.ch) for cfg in _configs(grid)] == [
        (n, ch) for n in (10, 20) for ch in (3, 4, 5)
    ]
    assert {(cfg.seed, cfg.p_random) for cfg in _configs(grid)} == {(5, 0.5)}
    assert grid.points[1].overrides == ("n=10", "seed=5", "ch=4", "p_random=0.5")


def test_ranges_choices_and_lists_as_values() -> None:
    grid = _grid("-m", "n=range(10,40,10)", "ch=choice(2,3)", "measure_at=[0,1],[2]")
    assert len(grid.points) == 12
    assert [cfg.measure_at for cfg in _configs(grid)[:2]] == [[0, 1], [2]]
    assert {cfg.n for cfg in _configs(grid)} == {10, 20, 30}


def test_groups_can_be_swept() -> None:
    grid = _grid("-m", "data=digits,toy", "model.init=torch,he")
    assert [(c.data.name, c.model.name, c.model.init) for c in _configs(grid)] == [
        ("digits", "table2_cnn", "torch"),
        ("digits", "table2_cnn", "he"),
        ("toy", "mlp", "torch"),
        ("toy", "mlp", "he"),
    ]


def test_launcher_settings_come_with_a_sweep() -> None:
    grid = _grid("-m", "n=10,20", "hydra.launcher.workers=7")
    assert grid.launcher is not None
    assert grid.launcher.workers == 7
    assert grid.axes == {"n": ["10", "20"]}
    assert [point.overrides for point in grid.points] == [("n=10",), ("n=20",)]


# --- a user's own configs


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A folder with an experiment of a fixed grid and with a model."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "n: 44\n"
        "hydra:\n  sweeper:\n    params:\n      ch: 3,4\n      p_random: 0.0,0.5\n"
    )
    (tmp_path / "model" / "deep.yaml").write_text(
        "name: deep\n_target_: gsnr_sweep.models.mlp.MLP\ninit: he\nargs: {depth: 3}\nfrozen: []\n"
    )
    return str(tmp_path)


def test_an_experiment_file_brings_its_own_grid(own: str) -> None:
    grid = _grid("-m", "--config-dir", own, "experiment=mine", "model=deep")
    assert grid.axes == {"ch": ["3", "4"], "p_random": ["0.0", "0.5"]}
    assert [point.label for point in grid.points] == [
        f"ch={ch} p_random={p}" for ch in (3, 4) for p in (0.0, 0.5)
    ]
    assert {(cfg.n, cfg.model.name) for cfg in _configs(grid)} == {(44, "deep")}
    assert all(cfg.model.args == {"depth": 3} for cfg in _configs(grid))


@pytest.mark.parametrize("sweeper", ["grid", "basic"])
def test_every_sweeper_of_grids_reads_an_experiments_grid(own: str, sweeper: str) -> None:
    grid = _grid("-m", "--config-dir", own, "experiment=mine", f"hydra/sweeper={sweeper}")
    assert len(grid.points) == 4
    assert grid.points[0].overrides == ("ch=3", "p_random=0.0", "experiment=mine")


def test_the_command_line_overrules_an_experiments_grid(own: str) -> None:
    grid = _grid("-m", "--config-dir", own, "experiment=mine", "ch=9", "n=50,60")
    assert grid.axes == {"p_random": ["0.0", "0.5"], "n": ["50", "60"]}
    assert {cfg.ch for cfg in _configs(grid)} == {9}


def test_options_of_a_users_folder_are_listed_beside_ours(own: str) -> None:
    told = _told("--config-dir", own, "model=deeper")
    assert told == (
        "model=deeper: there is no option 'deeper'. "
        "Allowed: custom, deep, linear, mlp, resnet18, strided_cnn, table2_cnn, table3_cnn, vgg."
    )


@pytest.fixture
def beside(own: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which `own` lies, as the working folder; primary configs in it."""
    folder = Path(own)
    (folder / "small.yaml").write_text("defaults: [config, _self_]\nn: 21\n")
    (folder / "seeking.yaml").write_text(
        f"defaults: [config, _self_]\nhydra:\n  searchpath: ['file://{own}']\n"
    )
    (folder / "lost.yaml").write_text(
        "defaults: [config, _self_]\nhydra:\n  searchpath: ['file:///no/such']\n"
    )
    (folder / "word.yaml").write_text("defaults: [config]\nhydra:\n  searchpath: word\n")
    (folder / "scales" / "mine").mkdir(parents=True)
    (folder / "scales" / "mine" / "smoke.yaml").write_text("# @package _global_\nn: 11\n")
    monkeypatch.chdir(folder.parent)
    return folder


@pytest.mark.parametrize(
    "written", ["[{name}]", "['file://{name}']", "['{path}']", "[{name},{name}]"]
)
def test_a_search_path_on_the_command_line(beside: Path, written: str) -> None:
    search = f"hydra.searchpath={written.format(name=beside.name, path=beside)}"
    line = CommandLine.parse([search, "-m", "experiment=mine"], CONF)
    (given,) = line.search  # absolute: workers may have another working folder
    assert f"'file://{beside}'" in given
    assert given in line.arguments
    grid = expand(line)
    assert grid.axes == {"ch": ["3", "4"], "p_random": ["0.0", "0.5"]}
    assert {cfg.n for cfg in _configs(grid)} == {44}


def test_a_primary_config_of_a_users_folder(beside: Path) -> None:
    grid = _grid("--config-dir", beside.name, "--config-name", "small", "-m", "ch=3,4")
    assert [(cfg.n, cfg.ch) for cfg in _configs(grid)] == [(21, 3), (21, 4)]


def test_a_search_path_in_the_primary_config(beside: Path) -> None:
    arguments = ("--config-dir", beside.name, "--config-name", "seeking", "model=deep", "n=9")
    ((cfg,),) = (_configs(_grid(*arguments)),)
    assert (cfg.n, cfg.model.name) == (9, "deep")
    folders = CommandLine.parse(arguments, CONF).folders()
    assert folders == [CONF, beside, beside]


def test_the_sweepers_points_are_composed_with_a_users_folders(beside: Path) -> None:
    line = CommandLine.parse(
        ["--config-dir", beside.name, "--config-name", "seeking", "-m", "experiment=mine"], CONF
    )
    with line.loader() as loader:
        sweep = loader.load_configuration(line.config_name, [*line.overrides], RunMode.MULTIRUN)
        points = points_of(loader, sweep, [["experiment=mine", "ch=3"], ["n=5", "ch=3"]])
    assert [point.cfg.n for point in points if point.cfg] == [44, 5]


def test_an_experiment_of_ones_own_has_its_own_scales(beside: Path) -> None:
    (cfg,) = _configs(
        _grid("--config-dir", beside.name, "experiment=mine", "preset.name=mine", "scale=smoke")
    )
    assert (cfg.n, cfg.preset.scale) == (11, "smoke")
    told = _told("--config-dir", beside.name, "experiment=mine", "scale=laptop")
    assert "experiment mine has no such scale. It has smoke." in told
    assert "scales/mine/laptop.yaml" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hydra.searchpath=[nowhere]", "experiment=mine"], ["nowhere]", "no such folder"]),
        (["hydra.searchpath=[pkg://no.such]"], ["[pkg://no.such]", "no such package of configs"]),
        (["hydra.searchpath=nowhere"], ["=nowhere", "[FOLDER]"]),
        (["hydra.searchpath=[[nowhere]]"], ["=[[nowhere]]", "[FOLDER]"]),
        (["-m", "hydra.searchpath=[a],[b]"], ["=[a],[b]", "[FOLDER]"]),
        (["--config-dir", "{own}", "--config-name", "word"], ["word.yaml", "[FOLDER]"]),
        (["--config-dir", "{own}", "--config-name", "lost"], ["file:///no/such", "of lost.yaml"]),
        (
            ["--config-dir", "{own}", "--config-name", "smal"],
            ["there is no config smal.yaml in", "{own}", "{conf}"],
        ),
    ],
)
def test_a_folder_or_config_that_is_missing_is_named(
    beside: Path, arguments: list[str], words: list[str]
) -> None:
    told = _told(*(argument.format(own=beside) for argument in arguments))
    assert all(word.format(own=beside, conf=CONF) in told for word in words), told


# --- what cannot be read


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chh=3"], ["There is no key 'chh'", "Did you mean ch?"]),
        (["model.inti=he"], ["There is no key 'model.inti'", "model.init"]),
        (["-m", "n=10,20", "chh=3,4"], ["There is no key 'chh'"]),
        (["hydra.launcher.worker=2"], ["There is no key 'hydra.launcher.worker'"]),
        (["optm=gd"], ["There is no key 'optm'", "optim"]),
        (["model=resnet"], ["'resnet'", "Allowed: custom, linear, mlp, resnet18"]),
        (["-m", "model=mlp,resnet"], ["'resnet'", "Allowed: custom, linear, mlp"]),
        (["hydra/launcher=pbs"], ["'pbs'", "local"]),
        (["experiment=nothing_like_it"], ["'nothing_like_it'", "Allowed: "]),
        (["experiment=null"], ["experiment=null", "Allowed: "]),
        (["data=null"], ["data=null", "Allowed: cifar10, custom, digits"]),
        (["data="], ["data=", "Allowed: cifar10, custom, digits"]),
        (["data.path=x.npz"], ["data.path=x.npz", "the data chosen here but to data=npz"]),
        (["data=npz", "data.eta=1"], ["data.eta=1", "the data chosen here but to data=toy"]),
        (["data._target_=my.f"], ["data._target_=my.f", "the data chosen here but to data=custom"]),
        (["data.args.k=1"], ["data.args.k=1", "the data chosen here but to data=custom"]),
        (["data=npz", "data.path=x", "oops=1"], ["There is no key 'oops'"]),
        (["data=npz", "oops=1"], ["There is no key 'oops'"]),
        (
            ["data=custom", "data._target_=my.f", "data.args.k=1"],
            ["args has no 'k'", "+data.args.k"],
        ),
        (["model.args.depth=2"], ["model.args has no 'depth'", "+model.args.depth=VALUE"]),
        (["model.args={depth:2}"], ["model.args has no 'depth'", "+model.args.depth=VALUE"]),
        (["measures.functions.f=a.b"], ["no 'f'", "+measures.functions.f=VALUE"]),
        (["measure_at=[20,"], ["'measure_at=[20,'", "cannot be read as KEY=VALUE"]),
        (["n"], ["'n'", "cannot be read as KEY=VALUE"]),
        (["-m", "n=10,20", "ch"], ["'ch'", "cannot be read as KEY=VALUE"]),
        (["n=10,20"], ["n=10,20", "add -m", "key=[value,value]"]),
        (["measure_at=20,100"], ["measure_at=20,100", "add -m", "key=[value,value]"]),
        (["-m", "n=interval(10,20)"], ["n=interval(10,20)", "n=range("]),
        (["-m", "n=glob(*)"], ["n=glob(*)", "n=range("]),
        (["-m", "n=range(20,10)"], ["n=range(20,10)", "n=range("]),
        (["--config-name", "nothing"], ["nothing"]),
    ],
)
def test_what_cannot_be_read_is_explained(arguments: list[str], words: list[str]) -> None:
    told = _told(*arguments)
    assert all(word in told for word in words), told


def test_hydra_is_left_as_it_was_found() -> None:
    _told("chh=3")
    _grid("n=3")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("config").n == 1000
