"""Command lines that must not break anything: each ends in a paragraph, exit code 1, no file.

In one process, with a composer for all of them, so that there can be many.
"""

import shlex
import sys
from pathlib import Path

import pytest

from gsnr_sweep.cli import launch as cli
from gsnr_sweep.config.grid import CommandLine, composer_of
from gsnr_sweep.config.unreadable import unreadable
from tests.conftest import CONF, shared_composer
from tests.hostile.measuring import within_bounds

TOY = (
    *("data=toy", "model=mlp", "n=20", "ch=2", "n_sets=2", "n_test=20", "epochs=1"),
    *("measure_at=[1]", "tracking=none"),
)
DIGITS = "9" * 5000
DEEP = "[" * 3000


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and one composer for all command lines."""

    def composer(command: CommandLine) -> object:
        plain = command.config_dir == CONF and not command.own_dir and not command.search
        usual = command.config_name == "config"
        return shared_composer() if plain and usual else composer_of(command)

    def nothing_started(*_: object) -> None:
        raise AssertionError("Hydra was called")

    monkeypatch.setattr("gsnr_sweep.config.grid.composer_of", composer)
    monkeypatch.setattr(cli, "_hand_to_hydra", nothing_started)
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def refusal(here: Path, *arguments: str) -> str:
    """What a command line is answered."""
    with within_bounds(), pytest.raises(SystemExit) as ended:
        cli.main(CONF, arguments)
    told = ended.value.code
    assert isinstance(told, str)  # Python prints it and exits with 1
    assert told.startswith("gsnr-sweep: ")
    assert len(told) < 1200
    assert "\n" not in told
    assert "Traceback" not in told
    assert told.isprintable()
    assert list(here.iterdir()) == []
    return told


HYDRA = {
    "hydra.launcher: none is left": ["-m", "hydra.launcher=null"],
    "hydra.launcher: ": ["-m", "hydra.launcher=abc"],
    "os.system": ["-m", "hydra.launcher._target_=os.system"],
    "this is no launcher": ["-m", "hydra.launcher._target_=hydra_plugins"],
    "hydra.launcher._target_=5": ["-m", "hydra.launcher._target_=5"],
    "hydra/sweeper=grid": ["-m", "hydra.sweeper=null"],
    "this is no sweeper": ["-m", "hydra.sweeper._target_=subprocess.run"],
    "max_batch_size=0:": ["-m", "hydra.sweeper.max_batch_size=0"],
    "max_batch_size=-1:": ["-m", "hydra.sweeper.max_batch_size=-1"],
    "max_batch_size=abc:": ["-m", "hydra.sweeper.max_batch_size=abc"],
    "max_batch_size=1.5:": ["-m", "hydra.sweeper.max_batch_size=1.5"],
    "max_batch_size=true:": ["-m", "hydra.sweeper.max_batch_size=true"],
    "max_batch_size=[1]:": ["-m", "hydra.sweeper.max_batch_size=[1]"],
    "hydra.sweeper.params=5": ["-m", "hydra.sweeper.params=5"],
    "hydra.sweeper.params=[1]": ["-m", "hydra.sweeper.params=[1]"],
    "hydra.sweeper.params=n": ["-m", "hydra.sweeper.params=n"],
    "${hydra.runtime.cwd}": ["-m", "hydra.sweep.dir=${hydra:runtime.cwd}/x", "n=20,30"],
    "hydra.sweep.dir: ": ["-m", "hydra.sweep.dir=${nope}"],
    "hydra.sweep.dir=''": ["-m", "hydra.sweep.dir=''"],
    "hydra.sweep.dir=' '": ["-m", "hydra.sweep.dir=' '"],
    "hydra.run.dir: ": ["hydra.run.dir=${nope}"],
    "hydra.run.dir: While": ["hydra.run.dir=${hydra:nope}"],
    "hydra.run.dir=''": ["hydra.run.dir="],
    "'a\\nb'": ["hydra.run.dir='a\nb'"],
    "hydra.sweep.subdir=x": ["-m", "n=20,30", "hydra.sweep.subdir=x"],
    "hydra.sweep.subdir=${n}": ["-m", "n=20,30", "hydra.sweep.subdir='${n}'"],
    "hydra.verbose=5": ["hydra.verbose=5"],
    "hydra.verbose=null": ["hydra.verbose=null"],
    "hydra.job.chdir=true": ["hydra.job.chdir=true"],
    "hydra.job.chdir=true:": ["-m", "hydra.job.chdir=true", "n=20,30"],
    "hydra.job.chdir: ": ["hydra.job.chdir=abc"],
    "hydra.run: ": ["hydra.run=null"],
    "hydra.job: ": ["hydra.job=null"],
    "hydra=null": ["hydra=null"],
    "hydra.job_logging: ": ["hydra.job_logging=null"],
    "hydra.callbacks: ": ["hydra.callbacks=5"],
    "hydra.job.num: ": ["hydra.job.num=abc"],
    "hydra.nope": ["hydra.nope=1"],
    "Could not delete 'hydra'": ["~hydra"],
    "--resolve goes with --cfg": ["--resolve"],
    "--package a goes with --cfg": ["--package", "a"],
    "--shell-completion: say what to do": ["--shell-completion"],
    "one of install=bash": ["--shell-completion", "install=ksh"],
    "uninstall=fish.": ["--shell-completion", "install=bash", "n=3"],
    "--shell-completion: say": ["--shell-completion", "query=bash"],
    "--experimental-rerun X": ["--experimental-rerun", "X"],
    "invalid choice: 'nope'": ["--cfg", "nope"],
    "--cfg/-c: expected one argument": ["--cfg"],
    "--config-dir": ["--config-dir"],
    "--config-dir : there is no such folder": ["--config-dir", ""],
    "--config-dir nope": ["--config-dir", "nope"],
    "--config-name nope": ["--config-name", "nope"],
    "no config config.yaml in": ["--config-path", "nope"],
    "leave -m out": ["-m", "--cfg", "job"],
    "--cfg and --info": ["--cfg", "job", "--info", "all"],
    "-m and --run": ["-m", "--run"],
    "There is no option --nope": ["--nope"],
    "There is no option -x": ["-x"],
    "Did you mean ch?": ["--info", "all", "chh=3"],
    "'chh'": ["--hydra-help", "chh=3"],
    "There is no key 'chh'": ["--help", "chh=3"],
    "+experiment=: there is no option": ["+experiment="],
    "experiment=null": ["experiment=null,fig4_mnist", "-m"],
    "option ''": ["model="],
    "n has no value": ["~n"],
}


@pytest.mark.parametrize(("words", "arguments"), HYDRA.items(), ids=HYDRA)
def test_what_hydra_would_answer_with_a_traceback(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: str, arguments: list[str]
) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    assert words in refusal(here, *TOY, *arguments)


GRIDS = {
    "n=range(1,5,0)": "a step other than 0",
    "n=range(1.0,5,0)": "a step other than 0",
    "n=range(5,1)": "no value is left",
    "n=range(1,5,-1)": "no value is left",
    "n=range(1.5,1.5)": "no value is left",
    "n=range(1,1000000001)": "1,000,000,000 points",
    "n=range(1000000001,1,-1)": "1,000,000,000 points",
    "n=shuffle(range(1,1000000001))": "1,000,000,000 points",
    "lr=range(0,1,1e-12)": "1,000,000,000,000 points",
    "lr=range(0.0,1e400)": "not finite",
    "lr=range(0.0,1,1e-320)": "not finite",
    "lr=range(1e300,2e300,1e-20)": "range has no such numbers",
    "lr=range(nan,2)": "not finite",
    f"n=range(1,{'9' * 200})": "more than 10¹⁵ points",
    f"n=range(1,{'9' * 350},0.5)": "digits",
    "n=interval(1,2)": "a grid needs single values",
    "n=glob(*)": "no value is left",
    "model=glob(zzz*)": "no value is left",
    "n=choice()": "cannot be read",
    "n=20,,30": "cannot be read",
    "n=,": "cannot be read",
}


@pytest.mark.parametrize(("grid", "words"), GRIDS.items(), ids=[g[:40] for g in GRIDS])
def test_a_grid_is_counted_before_it_is_made(here: Path, grid: str, words: str) -> None:
    assert words in refusal(here, "-m", *TOY, grid)


def test_the_size_of_a_grid_is_that_of_all_its_axes(here: Path) -> None:
    axes = [f"{key}=range(1,1001)" for key in ("n", "ch", "n_test")]
    assert "1,000,000,000 points, 1,000 of them along this key" in refusal(here, "-m", *TOY, *axes)


def test_a_grid_of_a_config_is_counted_too(here: Path) -> None:
    many = "+hydra.sweeper.params.seed='range(0,1000000)'"
    assert "seed=range(0,1000000): this grid has 1,000,000 points" in refusal(
        here, "-m", *TOY, "hydra.sweeper.params={}", many
    )


SIZES = {
    "epochs=1000000000 measure_at=every:1": "1,000,000,002 measurements",
    "epochs=1000000000 measure_at=every:9": "every:10001",
    "epochs=5 measure_at=log:1000000000": "1,000,000,000 measurements",
    "epochs=5 measure_at=log:100001": "100,001 measurements",
    f"measure_at=log:{'9' * 40}": "give a list of epochs",
    f"measure_at=every:{'0' * 40}": "give a list of epochs",
    f"epochs={10**33}": "more than 1,000,000,000,000 steps",
    f"epochs={10**13}": "more than 1,000,000,000,000 steps",
    f"epochs={-(10**33)}": "must not be negative",
    f"epochs={DIGITS}": "digits",
    f"seed={DIGITS}": "a number of 5,000 digits",
    f"seed={DIGITS[:300]}": "2**63 - 1",
    f"seed={DIGITS[:309]}": "a number of 309 digits",
    f"lr={DIGITS[:309]}": "a number of 309 digits",
    f"seed={2**63}": "2**63 - 1",
    f"n={DIGITS}": "a number of 5,000 digits",
    f"n={DEEP}": "3,000 characters",
    f"{DIGITS}=1": "cannot be read",
    f"{'a.' * 500}b=1": "no key has 1,001 characters",
    f"lr={'x' * 100_000}": "a number is needed",
    f"measure_at=[{','.join(map(str, range(2000)))}]": "[0, 1, 2, …, 1999]",
    "measure_at=[1,1]": "twice",
    "measure_at=[-1]": "outside",
    "measure_at=[true]": "no epoch",
    "measure_at=[1.5]": "no epoch",
    "measure_at=[[1]]": "no epoch",
    "measure_at=[null]": "no epoch",
    "measure_at={a:1}": "epochs to measure at: a list",
    "measure_at=null": "give a list",
    "measure_at=every:": "give a list",
    "measure_at=every:-1": "give a list",
    "measure_at=every:0": "at least 1",
    "measure_at=log:1": "at least 2",
    "measure_at=LOG:5": "give a list",
}


@pytest.mark.parametrize(("given", "words"), SIZES.items(), ids=[s[:40] for s in SIZES])
def test_a_size_is_judged_before_anything_is_made_of_it(here: Path, given: str, words: str) -> None:
    assert words in refusal(here, *TOY, *given.split(" "))


FLOATS = ["data.eta", "lr", "p_random", "checkpoint_minutes", "+model.args.x"]
NO_NUMBERS = ["nan", "inf", "-inf", "NaN", "1e400", "-1e999"]


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("key", FLOATS)
def test_a_number_that_is_none(here: Path, key: str, number: str) -> None:
    told = refusal(here, *TOY, f"{key}={number}")
    assert key.lstrip("+") in told


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize(
    "given",
    [
        *("data.mean=[{}]", "data.std=[{}]", "data.rotation={}", "data.scale={}", "data.shear={}"),
        *("data.shift={}", "data.elastic={}", "+model.args.x=[1,{{a:{}}}]"),
    ],
)
def test_such_a_number_in_lists_and_mappings(here: Path, given: str, number: str) -> None:
    told = refusal(here, "tracking=none", given.format(number))
    assert "only finite numbers are allowed" in told


@pytest.mark.parametrize("number", ["1e19", "1e308", "1.7e308", "-1e308"])
@pytest.mark.parametrize(
    "given",
    [
        *("data.mean=[{}]", "data.std=[{}]", "data.rotation={}", "data.scale={}", "data.shear={}"),
        *("data.shift={}", "data.elastic={}", "data=toy model=mlp data.eta={}"),
    ],
)
def test_a_number_whose_arithmetic_overflows(here: Path, given: str, number: str) -> None:
    """Those of a data set are computed with in float32."""
    told = refusal(here, "tracking=none", *given.format(number).split(" "))
    assert any(word in told for word in ("at most", "negative", "positive", "below 1"))


WRONG_TYPES = ["abc", "[]", "{}", "null", "true", "1.5", "'1 2'", "1e3x", "0x10", "[1]", "{a:1}"]


@pytest.mark.parametrize("value", WRONG_TYPES)
@pytest.mark.parametrize("key", ["n", "ch", "n_sets", "n_test", "epochs", "seed"])
def test_a_whole_number_that_is_none(here: Path, key: str, value: str) -> None:
    assert key in refusal(here, *TOY, f"{key}={value}")


@pytest.mark.parametrize("value", ["abc", "[]", "{}", "null", "'1 2'", "[1]", "{a:1}", "1e-3x"])
@pytest.mark.parametrize("key", ["lr", "p_random", "data.eta"])
def test_a_number_of_the_wrong_type(here: Path, key: str, value: str) -> None:
    assert key in refusal(here, *TOY, f"{key}={value}")


@pytest.mark.parametrize("value", ["2.5x", "abc", "[]", "{}", "null", "yes!"])
@pytest.mark.parametrize("key", ["tf32", "keep_weights", "dry_run", "rerun", "same_code"])
def test_a_switch_of_the_wrong_type(here: Path, key: str, value: str) -> None:
    assert key in refusal(here, *TOY, f"{key}={value}")


TEXTS = [
    "é",
    "a=b",
    "a#b",
    "a~b",
    "a&b",
    "a;b",
    "a<b",
    "a>b",
    "a!b",
    "a^b",
    "ü/ß.npz",
    "日本",
    "a`b",
]


@pytest.mark.parametrize("text", [*TEXTS, "=5", "~/data.npz", "a'b", "a,=b", "[=", "{a~"])
def test_advice_on_a_text_is_an_override(here: Path, text: str) -> None:
    """What is proposed is read as that very text."""
    told = refusal(here, *TOY, f"tracking.run_name={text}")
    assert "put it into quotes of its own: " in told
    proposed = unreadable(f"tracking.run_name={text}").partition("of its own: ")[2]
    (argument,) = shlex.split(proposed.partition(". Lists")[0])
    (parsed,) = shared_composer().parse([argument])
    assert parsed.value() == text.strip("'\"")


@pytest.mark.parametrize("ending", ["\r", "\r\n", "\n"])
def test_a_line_break_at_the_end_is_named(here: Path, ending: str) -> None:
    told = refusal(here, *TOY, f"n=20{ending}")
    assert "line break" in told
    assert told.endswith(": n=20")


@pytest.mark.parametrize(
    "argument",
    [
        "n",
        "=5",
        "=",
        "n =5",
        " ",
        "",
        "n:5",
        "-5",
        "é=1",
        "n,ch=5",
        "[n]=5",
        "n=[1",
        "n={a",
        "n='a",
    ],
)
def test_what_is_no_override(here: Path, argument: str) -> None:
    assert any(word in refusal(here, *TOY, argument) for word in ("cannot be read", "no option"))


@pytest.mark.parametrize("text", ["\x1b[31m", "\x07", "\x00", "\x9b2J", "\u202e"])
@pytest.mark.parametrize("place", ["n={}", "{}=1", "tracking.run_name={}", "model={}"])
def test_control_characters_do_not_reach_the_terminal(here: Path, place: str, text: str) -> None:
    refusal(here, *TOY, place.format(text))


@pytest.mark.parametrize(
    "key", ["nn", "data.nope", "model.nope", "tracking.nope", "preset.x", "x.y"]
)
@pytest.mark.parametrize("sign", ["", "~"])
def test_an_unknown_key(here: Path, sign: str, key: str) -> None:
    assert key.rpartition(".")[2] in refusal(
        here, *TOY, f"{sign}{key}=1" if not sign else f"~{key}"
    )


@pytest.mark.parametrize("group", ["model", "optim", "measures", "tracking", "experiment", "scale"])
@pytest.mark.parametrize("option", ["nope", "../conf", "/etc/passwd", "null", "[]", "{}", "1"])
def test_an_unknown_option(here: Path, group: str, option: str) -> None:
    if (group, option) in {("experiment", "null"), ("experiment", "[]"), ("scale", "[]")}:
        pytest.skip("that is none of them")
    assert group in refusal(here, *TOY, f"{group}={option}")


@pytest.mark.parametrize(
    "name", ["é", "a,b", "a=b", "a'b", "[a]", "a b", "{a}", "a#b", "~a", "日本"]
)
def test_a_folder_of_configs_may_have_any_name(
    here: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    configs = tmp_path_factory.mktemp("configs") / name
    (configs / "model").mkdir(parents=True)
    (configs / "model" / "mine.yaml").write_text("defaults: [mlp]\n")
    told = refusal(here, "--config-dir", str(configs), *TOY, "model=mine", "n=1")
    assert told == "gsnr-sweep: n=1: size of each training set must be at least 2."
    quoted = str(configs).replace("'", "\\'")
    told = refusal(here, f"hydra.searchpath=['file://{quoted}']", *TOY, "model=mine", "n=1")
    assert told == "gsnr-sweep: n=1: size of each training set must be at least 2."


def test_a_sweep_may_be_asked_for_by_its_mode(here: Path) -> None:
    assert CommandLine.parse(["hydra.mode=MULTIRUN"], CONF).multirun
    assert not CommandLine.parse(["hydra.mode=RUN"], CONF).multirun
    told = refusal(here, "hydra.mode=MULTIRUN", *TOY, "n=20,1")
    assert "(grid point n=1 of 2)" in told


def test_another_launcher_says_what_it_lacks(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal(here, "-m", *TOY, "n=20,1", "hydra/launcher=basic")
    told = capsys.readouterr().err
    assert "no table, figure or page is made. hydra/launcher=local does all that." in told
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("value", ["5", "nan", "abc"])
def test_a_mapping_that_the_data_do_not_have_is_not_passed_over(here: Path, value: str) -> None:
    told = refusal(here, *TOY, f"+data.args.x={value}")
    assert "data.args: this key does not belong to the data chosen here but to data=custom." in told


@pytest.mark.parametrize(
    ("key", "words"),
    [
        *((key, "full-batch") for key in ("batch_size", "momentum", "Batch")),
        ("optim.batch_size", "does not belong to the optim chosen here but to optim=sgd"),
        *((key, "Did you mean lr?") for key in ("learning_rate", "optim.learning_rate")),
        *((key, "Did you mean epochs?") for key in ("steps", "num_epochs", "epoch")),
        ("workers", "hydra.launcher.workers"),
    ],
)
def test_what_other_tools_call_things(here: Path, key: str, words: str) -> None:
    told = refusal(here, *TOY, f"{key}=3")
    assert words in told
    assert "chunk_size" not in told


FOLDERS = {
    "a_file": "is a file, not a folder",
    "a_file/below": "is a file, not a folder",
    "loop/below": "levels of symbolic links",
    "loop": "levels of symbolic links",
    "dangling": "cannot be used",
    "'~/out'": "${oc.env:HOME}",
    "'~me/out'": "${oc.env:HOME}",
    "x" * 300: "more than 255 characters",
    "/".join(["x" * 200] * 25): "too long",
    "/dev/null": "is a file, not a folder",
    "/dev/null/x": "is a file, not a folder",
}
OF_SWEEPS = {
    "a%j": "%j in its path",
    "'50%%'": "%% in its path",
    "a%4t/b": "%4t in its path",
    ".": "the launch folder itself",
    "sub/..": "the launch folder itself",
    "mine": "table.csv there is of no sweep",
}


@pytest.fixture
def with_files(here: Path) -> Path:
    """A folder with a file, links that lead nowhere, and a table of the user's own."""
    (here / "a_file").write_text("mine")
    (here / "loop").symlink_to(here / "pool")
    (here / "pool").symlink_to(here / "loop")
    (here / "dangling").symlink_to(here / "nowhere")
    (here / "sub").mkdir()
    (here / "mine").mkdir()
    (here / "mine" / "table.csv").write_text("mine")
    return here


@pytest.mark.parametrize(("given", "words"), FOLDERS.items(), ids=[f[:20] for f in FOLDERS])
@pytest.mark.parametrize("sweep", [False, True])
def test_an_output_folder_is_judged_first(
    with_files: Path, sweep: bool, given: str, words: str
) -> None:
    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    _refused_folder(with_files, words, *(["-m"] if sweep else []), f"{key}={given}")


@pytest.mark.parametrize(("given", "words"), OF_SWEEPS.items(), ids=OF_SWEEPS)
def test_the_folder_of_a_sweep_is_its_own(with_files: Path, given: str, words: str) -> None:
    _refused_folder(with_files, words, "-m", f"hydra.sweep.dir={given}")


def _refused_folder(here: Path, words: str, *arguments: str) -> None:
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        cli.main(CONF, [*TOY, *arguments])
    assert words in str(ended.value.code)
    assert "\n" not in str(ended.value.code)
    assert sorted(here.rglob("*")) == before
