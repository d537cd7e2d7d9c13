"""Imports run one way: from the command line down to the core, and never back up."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the top floor down: a room imports rooms to its right only.
FLOORS = (
    *("from_python", "cli", "launcher", "preflight", "report", "papers", "runs"),
    *("analysis", "tracking", "records", "config"),
    *("integrations", "api", "terminal"),
    *("measures", "training", "engine", "gradients", "losses", "models", "data"),
    *("settings", "user_code", "errors", "wording", "machine", "_startup", "_version"),
)
CORE = FLOORS[FLOORS.index("measures") :]
TOP = {"gsnr_sweep", "gsnr_sweep.__main__", "gsnr_sweep.aggregate", "gsnr_sweep.aggregate.__main__"}


@cache
def modules() -> dict[str, Path]:
    """The package's modules by dotted name."""
    paths = (path.relative_to(ROOT) for path in (ROOT / "gsnr_sweep").rglob("*.py"))
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports_of(module: str) -> set[str]:
    """The package's modules that a module imports, at its top or inside its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / modules()[module]).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{name.name}" for name in node.names}
            found |= below & modules().keys() or {node.module} & modules().keys()
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & modules().keys()
    return found - {module}


def room(module: str) -> str:
    """The room that a module lies in."""
    return module.split(".")[1]


def test_every_room_has_its_floor() -> None:
    rooms = {room(module) for module in modules() if module not in TOP}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_go_down_only(floor: str) -> None:
    up = {
        f"{module} imports {other}"
        for module in modules().keys() - TOP
        if room(module) == floor
        for other in imports_of(module) - {"gsnr_sweep"}
        if other in TOP or FLOORS.index(room(other)) < FLOORS.index(floor)
    }
    assert up == set()


def test_no_circle_of_files() -> None:
    # A package's own __init__ gathers names of its modules, which may not know of it.
    graph = {module: imports_of(module) for module in modules()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_hydras_private_modules_are_imported_in_one_file() -> None:
    """What an upgrade of Hydra may break stands in one place."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("gsnr_sweep", "hydra_plugins")
        for path in (ROOT / folder).rglob("*.py")
        for name in _imported(path)
        if re.match(r"(hydra|omegaconf)\.(.*\.)?_", name)
    }
    assert found == {"gsnr_sweep/config/hydra_internals.py"}


def _imported(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, whatever they name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_the_core_loads_no_sweep_machinery() -> None:
    """Neither Hydra nor MLflow nor what draws and prints is loaded by the core."""
    names = [module for module in modules().keys() - TOP if room(module) in CORE]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "heavy = {'hydra', 'omegaconf', 'mlflow', 'submitit', 'pandas', 'seaborn', 'rich'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
        "print(sorted(m for m in sys.modules if m.startswith('gsnr_sweep.config')))\n"
    )
    command = [sys.executable, "-c", script, *sorted(names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"], done.stdout + done.stderr


def test_the_api_knows_nothing_of_a_sweep() -> None:
    above = FLOORS[: FLOORS.index("integrations")]
    found = {
        f"{module} imports {other}"
        for module in modules().keys() - TOP
        if room(module) in {"api", "integrations"}
        for other in imports_of(module) - TOP
        if room(other) in above
    }
    assert found == set()


def test_a_run_loads_no_mlflow(tmp_path: Path) -> None:
    """A worker only writes records: what MLflow takes to load is the launcher's to spend."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "import gsnr_sweep.launcher.job_context, gsnr_sweep.launcher.worker\n"
        "from gsnr_sweep.config.grid import CommandLine, expand\n"
        "from gsnr_sweep.runs.runner import run_point\n"
        "given = ('data=toy', 'model=mlp', 'n=20', 'n_test=20', 'epochs=1', 'measure_at=[1]')\n"
        "cfg = expand(CommandLine.parse(given, Path(sys.argv[1]))).points[0].cfg\n"
        "print(cfg.tracking.name, run_point(cfg, Path(sys.argv[2])).record.state)\n"
        "print('mlflow' in sys.modules, 'sqlalchemy' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(ROOT / "conf"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["mlflow finished", "False False"], done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import gsnr_sweep, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
