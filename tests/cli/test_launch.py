"""The command line: mistakes are explained before anything is written; the rest goes to Hydra."""

import shutil
import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import pytest
from hydra.core.plugins import Plugins
from mlflow import MlflowClient
from omegaconf import OmegaConf

from gsnr_sweep.cli import launch as cli
from tests.conftest import CONF, ROOT, TINY, launch, launch_here
from tests.fakes import listing, put_run

NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
MODEL = """
import torch
from torch import nn


class Mixes(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.fc = nn.Linear(784, n_outputs)

    def forward(self, x):
        return self.fc((x - x.mean(0)).flatten(1))


class DropsOut(nn.Sequential):
    def __init__(self, n_outputs):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, n_outputs))


class TooFew(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 3))
"""


@pytest.fixture
def empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; what the command line changes in this process is undone."""
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("TELEMETRY", "HTTP_REQUEST_MAX_RETRIES", "ENABLE_ARTIFACTS_PROGRESS_BAR"):
        monkeypatch.setenv(f"MLFLOW_{name}", "0")
    return folder


def _refusal(*arguments: str) -> str:
    """What a command is answered; nothing may reach Hydra, nothing may be written."""
    before = set(Path.cwd().rglob("*"))
    with pytest.raises(SystemExit) as ended:
        cli.main(CONF, arguments)
    assert set(Path.cwd().rglob("*")) == before
    told = ended.value.code
    assert isinstance(told, str)  # Python prints it and exits with 1
    assert told.startswith("gsnr-sweep: ")
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["n=abc"], ["n=abc", "a whole number", "size of each training set"]),
        (["measure_at=20"], ["measure_at=20", "a list of epochs"]),
        (["p_random=1.5"], ["p_random=1.5", "[0, 1]"]),
        (["n=0"], ["n=0", "at least 2"]),
        (["data=npz"], ["data.path has no value", "data.path=VALUE"]),
        (["model=custom"], ["model._target_ has no value", "model._target_=VALUE"]),
        (["chh=3"], ["'chh'", "Did you mean ch?"]),
        (["model=vgg16"], ["'vgg16'", "custom, linear, mlp, resnet18, strided_cnn"]),
        (
            ["data=imagenet"],
            ["'imagenet'", "cifar10, custom, digits, fashion_mnist, mnist, npz"],
        ),
        (["measure_at=[20,200]"], ["[200]", "epochs=100"]),
        (["data=mnist", "n=60001"], ["n=60001", "60000 training samples"]),
        (["measure_at=[20,"], ["'measure_at=[20,'", "cannot be read"]),
        (["n=1000,2000"], ["n=1000,2000", "add -m"]),
        (["data=toy", "model=table2_cnn"], ["table2_cnn", "needs images"]),
        (["data=toy", "p_random=0.1"], ["p_random=0.1", "data.eta"]),
        (["-m", "n=30,0,40", "ch=6,8"], ["n=0", "grid point n=0 ch=6 and 1 more of 6"]),
        (["-m", "hydra.launcher.workers=0", "n=30,40"], ["hydra.launcher.workers=0"]),
        (["tracking.uri=./mlruns"], ["tracking.uri=./mlruns", "sqlite:///FILE.db"]),
        (["tracking.uri=file:///mlruns"], ["file:///mlruns", "sqlite:///FILE.db"]),
        (["--frobnicate"], ["--frobnicate", "--help"]),
        (["model=custom", "model._target_=no_such.Net"], ["No module named 'no_such'"]),
        (
            ["experiment=no_such"],
            ["'no_such'", "Allowed: assumptions, fig11_toy, fig4_mnist,"],
        ),
        (["scale=no_such"], ["'no_such'", "Allowed: laptop, paper, paper_start, smoke."]),
        (["data=toy", "model=mlp", "model.frozen=[fc3]"], ["'fc3' is no layer", "fc1, fc2"]),
        (
            ["-m", "data=toy", "model=mlp", "model.frozen=[fc1],[fc3]"],
            ["'fc3' is no layer", "grid point model.frozen=[fc3] of 2"],
        ),
        (["data=toy", "model=mlp", "model.frozen=[fc1,fc2]"], ["no trained parameters"]),
        (["measures.parameters=[fc3]"], ["measures.parameters: 'fc3' is no", "There is: "]),
        (["measures.parameters=[fc2.bias,conv]"], ["'conv' is no trained", "conv1.weight"]),
        (
            ["model.frozen=[fc2]", "measures.parameters=[fc2]"],
            ["'fc2' is no trained parameter or layer", "fc1.bias."],
        ),
        (["measures.parameters=[fc1]"], ["stands for 36150 parameters", "at most 2000"]),
        (["-m", "measures.parameters=[fc2]", "ch=6,7,8"], ["2010 parameters", "ch=8 of 3"]),
        (["-m", "seed=0,1", "measures.parameters=[fc9]"], ["'fc9' is no trained parameter"]),
        (["--cfg", "job", "chh=3"], ["There is no key 'chh'. Did you mean ch?"]),
    ],
)
def test_a_mistake_is_explained_in_a_paragraph(
    empty: Path, arguments: list[str], words: list[str]
) -> None:
    told = _refusal(*arguments)
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mixes", "depends on the other samples"),
        ("DropsOut", "drops activations at random"),
        ("TooFew", "(3, 10) is needed"),
        ("Absent", "no attribute 'Absent'"),
    ],
)
def test_a_model_of_the_working_folder_is_found_and_judged(
    empty: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (empty / "models_of_mine.py").write_text(MODEL)
    try:
        assert words in _refusal("model=custom", f"model._target_=models_of_mine.{name}")
    finally:
        sys.modules.pop("models_of_mine", None)


def test_a_store_of_the_environment_is_judged_too(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    assert "./mlruns" in _refusal("n=30")


def test_a_server_that_does_not_answer(empty: Path) -> None:
    told = _refusal("n=30", "tracking.uri=http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be used (no server answers there)" in told
    assert "tracking=none" in told


def test_arrays_that_do_not_fit(empty: Path) -> None:
    np.savez(empty / "bad.npz", x_train=np.zeros((9, 2)), y_train=np.zeros(8))
    told = _refusal("data=npz", "data.path=bad.npz")
    assert "x_test, y_test are missing" in told
    assert str(empty / "bad.npz") in told


def test_the_whole_grid_is_checked_before_its_data_are_fetched(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsnr_sweep.preflight.check.prepare", lambda points: pytest.fail("fetched"))
    assert "n=60001" in _refusal("-m", "data=mnist", "n=100,60001")


def test_what_is_well_is_handed_on_as_it_was_given(
    empty: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[tuple[str, tuple[str, ...]]] = []
    monkeypatch.setattr(
        cli,
        "_hand_to_hydra",
        lambda task, config_dir, arguments: handed.append((task.__name__, tuple(arguments))),
    )
    cli.main(CONF, [*TINY, "ch=3"])
    cli.main(CONF, [*TINY, "-m", "ch=3,4"])
    cli.main(CONF, ["--cfg", "job"])
    assert handed == [
        ("_single_run", (*TINY, "ch=3")),
        ("task", ("-m", *TINY, "ch=3,4")),
        ("_not_called", ("--cfg", "job")),
    ]


def test_hydra_need_not_find_the_plugins(
    empty: Path, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Plugins.instance().class_name_to_class
    own = [name for name in known if name.startswith("hydra_plugins.gsnr_launcher.")]
    for name in own:  # as in an editable installation
        monkeypatch.delitem(known, name)
    seen: list[set[str]] = []
    monkeypatch.setattr(hydra, "main", lambda **_: lambda task: lambda: seen.append(set(known)))
    cli.main(CONF, [*TINY, "-m", "ch=3,4"])
    settings = [OmegaConf.load(path) for path in (CONF / "hydra").glob("[ls]*er/*.yaml")]
    wanted = {str(one._target_) for one in settings if "_target_" in one}
    assert len(wanted) == 3
    assert wanted <= seen[0]


# --- as a user sees it


def test_a_mistake_in_a_real_process(tmp_path: Path) -> None:
    ended = launch(tmp_path, "-m", "n=30", "ch=4,0,6")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("gsnr-sweep: ")
    assert ended.err.count("\n") == 1
    assert "grid point ch=0 of 3" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_data_that_are_not_there_and_cannot_be_had(tmp_path: Path) -> None:
    ended = launch(tmp_path, "-m", "data=mnist", "n=30,40", **NO_NETWORK)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    for words in (
        "MNIST",
        "Tried http",  # what was tried
        str(tmp_path / "data_cache" / "MNIST" / "raw"),  # where files go
        "data.root=FOLDER",
        "GSNR_DATA_ROOT",
        "data=digits and data=toy need no download",
    ):
        assert words in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_config_is_printed(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(CONF, ["--cfg", "job", "seed=123", "data=toy"])
    out, err = capsys.readouterr()
    assert err == ""
    assert "seed: 123\n" in out
    assert "eta: 0.2\n" in out
    assert list(empty.iterdir()) == []


def test_the_folder_of_another_run_is_refused_before_hydra_writes_there(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_started(*_: object) -> None:
        raise AssertionError("Hydra was called")

    monkeypatch.setattr(cli, "_hand_to_hydra", nothing_started)
    put_run(empty / "out", "finished", config_hash="feed", name="mine")
    before = listing(empty)
    arguments = ["data=toy", "model=mlp", *TINY, "tracking=none", "hydra.run.dir=out"]
    with pytest.raises(SystemExit, match="out holds the run mine, which has other settings"):
        cli.main(CONF, arguments)
    assert listing(empty) == before


def test_what_mlflow_has_otherwise_is_said_of_a_single_run(
    tmp_path: Path, migrated_store: Path
) -> None:
    (tmp_path / "odd_names.py").write_text("def accuracy(snapshot):\n    return {'acc@5': 1.0}\n")
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    own = "+measures.functions.accuracy=odd_names.accuracy"
    ended = launch_here(tmp_path, *TINY, "data=toy", own)
    assert (ended.code, ended.err) == (0, "")
    assert "Otherwise in MLflow than in record and table: 'acc@5' is called 'acc_5-" in ended.out


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True], ids=["alone", "sweep"])
def test_no_trace_where_not_even_the_config_can_be_written(tmp_path: Path, many: bool) -> None:
    """Hydra writes its own files before anything of ours begins; so does a full disk."""
    words = ["-m", "seed=1,2"] if many else []
    command = [sys.executable, str(ROOT / "launch.py"), *words, *TINY, "tracking=none"]
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 1; exec "$@"', "limited", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 1
    (line,) = limited.stderr.splitlines()
    assert line.startswith("gsnr-sweep: A file in the output folder cannot be written (File too ")
