"""The built wheel in a fresh environment, used in an empty folder far from the repository."""

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from gsnr_sweep.cli.commands import COMMANDS
from gsnr_sweep.config.identity import code_version
from tests.conftest import CONF, ROOT, TINY, tiny_config

pytestmark = pytest.mark.slow
_BUILD_TOOLS = ("build", "setuptools", "pip")
_NOT_BUILT_FROM = (".*", "*.egg-info", "__pycache__", "_lanes*", "build", "dist", "shared", "docs")
_TOY = ("data=toy", *TINY)

MODELS = """
from torch import nn


class Wide(nn.Sequential):
    def __init__(self, ch, n_outputs):
        super().__init__(nn.Linear(2, 2 * ch), nn.Tanh(), nn.Linear(2 * ch, n_outputs))
"""
MEASURES = """
def noise_scale(snapshot):
    ratio = snapshot.gradient_variance.sum(1) / snapshot.gradient.square().sum(1)
    return {"noise_scale": float(ratio.mean())}
"""
DATA = """
import torch
from torch.utils.data import TensorDataset, random_split


def blobs(distance=1.0):
    y = torch.arange(200) % 3
    x = torch.randn(200, 4) + distance * torch.eye(4)[y]
    return random_split(TensorDataset(x, y), [120, 80])
"""
FIGURES = """
from matplotlib.figure import Figure


def losses(analysis):
    figure = Figure()
    figure.subplots().scatter(analysis.frame["epoch"], analysis.frame["train_loss"])
    return figure
"""
EXPERIMENT = """# @package _global_
defaults:
  - override /data: toy
  - override /model: mlp
n: 37
n_sets: 2
n_test: 50
epochs: 1
measure_at: [0, 1]
preset:
  name: mine
hydra:
  sweeper:
    params:
      ch: 3,4
"""


@dataclass(frozen=True)
class Built:
    """What was built: the source distribution, and the wheel made of it."""

    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build from a copy, so that the checkout stays as it is."""
    if missing := [name for name in _BUILD_TOOLS if importlib.util.find_spec(name) is None]:
        pytest.skip(f"building needs {', '.join(missing)}: pip install -e '.[test]'")
    checkout = tmp_path_factory.mktemp("source") / "gsnr-sweep"
    top = {"pyproject.toml", "setup.py", "MANIFEST.in", "conf", "gsnr_sweep", "hydra_plugins"}
    top |= {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "launch.py", "tests"}
    others = {path.name for path in ROOT.iterdir()} - top
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*_NOT_BUILT_FROM, *others))
    out = tmp_path_factory.mktemp("built")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(checkout))
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(source, wheel)


@pytest.fixture(scope="module")
def python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds the wheel, dependencies borrowed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    install = ("--no-deps", "--no-index", "--disable-pip-version-check", str(built.wheel))
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", *install)
    # A path in a .pth file is searched last, and the .pth files that lie there are not read: what
    # is installed here comes first, and no editable install of the checkout comes at all.
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    own = _run(str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])")
    Path(own.strip(), "borrowed.pth").write_text("\n".join(borrowed))
    return python


@dataclass(frozen=True)
class Installed:
    """The installed command in a folder of its own."""

    python: Path
    folder: Path

    def __call__(self, *arguments: str) -> str:
        """Run it and return what it printed."""
        return _run(str(self.python.with_name("gsnr-sweep")), *arguments, folder=self.folder)

    def sweep(self, *arguments: str) -> list[dict[str, str]]:
        """Launch a sweep with two workers and return the rows of its table."""
        self("-m", *arguments, "hydra.launcher.workers=2")
        latest = max((self.folder / "multirun").glob("*/*/table.csv"))
        assert (latest.parent / "report.html").stat().st_size > 10_000
        with latest.open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def gsnr_sweep(python: Path, tmp_path: Path) -> Installed:
    return Installed(python, tmp_path)


def _run(*command: str, folder: Path | None = None) -> str:
    left_out = {"MLFLOW_TRACKING_URI", "GSNR_DATA_ROOT", "PYTHONPATH", "COLUMNS"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key not in left_out},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _values(rows: list[dict[str, str]], key: str) -> set[float]:
    return {float(row[key]) for row in rows}


# --- what is in it


def test_the_source_distribution_holds_what_the_wheel_is_made_of(built: Built) -> None:
    with tarfile.open(built.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kernels = ROOT / "gsnr_sweep" / "engine" / "cpu" / "kernels"
    sources = [*CONF.rglob("*.yaml"), *kernels.glob("*.[ch]"), *ROOT.glob("launch.py")]
    assert {str(path.relative_to(ROOT)) for path in sources} <= names
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_the_wheel_holds_configs_plugins_kernels_and_types(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        about = archive.read(metadata).decode()
    configs = {f"gsnr_sweep/{path.relative_to(ROOT)}" for path in CONF.rglob("*.yaml")}
    assert {name for name in names if name.endswith(".yaml")} == configs
    modules = [*(ROOT / "gsnr_sweep").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]
    assert {name for name in names if name.endswith(".py")} == {
        str(path.relative_to(ROOT)) for path in modules
    }
    assert {"gsnr_sweep/py.typed", "gsnr_sweep/report/template.html"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "\nLicense-Expression: Apache-2.0\n" in about
    assert "\nProject-URL: " in about
    compiled = [name for name in names if "/kernels/_lanes" in name]
    assert len(compiled) == bool(shutil.which("cc") or shutil.which("gcc"))


# --- in an empty folder


def test_it_is_the_wheel_that_runs_and_not_the_checkout(gsnr_sweep: Installed) -> None:
    script = (
        "import gsnr_sweep, hydra_plugins.gsnr_launcher as plugins\n"
        "from gsnr_sweep.config.location import config_folder\n"
        "print(gsnr_sweep.__file__, plugins.__file__, config_folder(), sep='\\n')"
    )
    environment = str(gsnr_sweep.python.parents[1])
    lines = _run(str(gsnr_sweep.python), "-c", script, folder=gsnr_sweep.folder).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(environment) for line in lines)


def test_help_of_everything(gsnr_sweep: Installed) -> None:
    told = gsnr_sweep("--help")
    assert "usage: gsnr-sweep [-m]" in told
    assert "fig6_frozen_toy" in told
    for name in COMMANDS:
        assert f"\n  gsnr-sweep {name}" in told
        assert gsnr_sweep(name, "--help").startswith(f"usage: gsnr-sweep {name}")
    assert list(gsnr_sweep.folder.iterdir()) == []


def test_a_single_run(gsnr_sweep: Installed) -> None:
    told = gsnr_sweep(*_TOY, "ch=3")
    assert "LHS (23)" in told
    (record,) = gsnr_sweep.folder.glob("outputs/*/*/record.json")
    # The same code as the checkout's: runs of one are reused by the other.
    assert f'"{code_version(tiny_config())}"' in record.read_text()


def test_a_sweep_and_what_is_done_with_it_afterwards(gsnr_sweep: Installed) -> None:
    rows = gsnr_sweep.sweep(*_TOY, "ch=3,4")
    assert len(rows) == 2 * 2
    assert (_values(rows, "ch"), _values(rows, "epoch")) == ({3, 4}, {0, 2})
    assert "2 of 2 done: 2 finished" in gsnr_sweep("status")
    assert "Written: " in gsnr_sweep("report", "--output", "page.html")
    page = (gsnr_sweep.folder / "page.html").read_text()
    assert "gsnr-sweep -m data=toy" in page


def test_a_preset(gsnr_sweep: Installed) -> None:
    rows = gsnr_sweep.sweep("experiment=fig6_frozen_toy", "scale=smoke")
    assert len({row["run_id"] for row in rows}) == 4
    assert {row["init"] for row in rows} == {"small", "torch"}
    assert list(gsnr_sweep.folder.glob("multirun/*/*/frozen.png"))


def test_models_and_measures_of_the_working_folder(gsnr_sweep: Installed) -> None:
    (gsnr_sweep.folder / "my_models.py").write_text(MODELS)
    (gsnr_sweep.folder / "my_measures.py").write_text(MEASURES)
    rows = gsnr_sweep.sweep(
        *(*_TOY, "ch=3,4", "model=custom", "model._target_=my_models.Wide"),
        "+measures.functions.noise_scale=my_measures.noise_scale",
    )
    assert len(rows) == 2 * 2
    assert all(value > 0 for value in _values(rows, "noise_scale"))


def test_data_and_figures_of_the_working_folder(gsnr_sweep: Installed) -> None:
    (gsnr_sweep.folder / "my_data.py").write_text(DATA)
    (gsnr_sweep.folder / "my_figures.py").write_text(FIGURES)
    rows = gsnr_sweep.sweep(
        *(*TINY, "ch=3", "data=custom", "data._target_=my_data.blobs", "+data.args.distance=1,4"),
        "preset.figures=[my_figures.losses]",
    )
    assert len(rows) == 2 * 2
    assert _values(rows, "data.args.distance") == {1, 4}
    last = {row["data.args.distance"]: row for row in rows if row["epoch"] == "2"}
    assert all(0 < float(row["train_loss"]) < 3 for row in last.values())
    (png,) = gsnr_sweep.folder.glob("multirun/*/*/my_figures.losses.png")
    assert png.stat().st_size > 1000
    assert 'alt="my_figures.losses"' in (png.parent / "report.html").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra.searchpath=[own]"],
        ["--config-dir", "own", "--config-name", "small"],
    ],
    ids=["searchpath", "config-name"],
)
def test_a_folder_of_configs_of_ones_own(gsnr_sweep: Installed, arguments: list[str]) -> None:
    (gsnr_sweep.folder / "own" / "experiment").mkdir(parents=True)
    (gsnr_sweep.folder / "own" / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    (gsnr_sweep.folder / "own" / "small.yaml").write_text("defaults: [config, _self_]\nseed: 5\n")
    rows = gsnr_sweep.sweep(*arguments, "experiment=mine", "tracking=none")
    assert len(rows) == 2 * 2
    assert (_values(rows, "n"), _values(rows, "ch")) == ({37}, {3, 4})
    assert _values(rows, "seed") == {5 if "--config-name" in arguments else 0}
