"""`launch.py --help`: complete, and quick because nothing heavy is imported."""

import dataclasses
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from gsnr_sweep.cli.help import help_text
from gsnr_sweep.config.schema import Config
from tests.conftest import CONF, ROOT, Launched, launch

KEYS = [item for item in dataclasses.fields(Config) if "help" in item.metadata]


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return launch(tmp_path_factory.mktemp("help"), "--help")


def test_help_is_printed_and_nothing_is_written(helped: Launched) -> None:
    assert (helped.code, helped.err) == (0, "")
    assert helped.out.strip() == help_text([CONF]).strip()
    assert list(helped.folder.iterdir()) == []


def test_every_key_is_explained_in_a_line(helped: Launched) -> None:
    lines = helped.out.splitlines()
    assert len(KEYS) >= 20
    for item in KEYS:
        (line,) = [line for line in lines if line.startswith(f"  {item.name} ")]
        assert str(item.metadata["help"]) in line


def test_defaults_are_those_of_conf(helped: Launched) -> None:
    for name, default in {"n": "1000", "measure_at": "auto", "threads": "null"}.items():
        (line,) = [line for line in helped.out.splitlines() if line.startswith(f"  {name} ")]
        assert line.endswith(f"({default})")


def test_every_group_is_listed_with_its_options(helped: Launched) -> None:
    lines = helped.out.splitlines()
    groups = ("data", "model", "optim", "measures", "tracking", "experiment", "hydra/launcher")
    for group in groups:
        (at,) = [i for i, line in enumerate(lines) if line.startswith(f"  {group} ")]
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        assert options
        listed = takewhile(lambda line: line.startswith(" " * 21), lines[at + 1 :])
        assert " ".join(line.strip() for line in listed) == ", ".join(options)


def test_lines_fit_a_terminal(helped: Launched) -> None:
    assert max(map(len, helped.out.splitlines())) <= 110


def test_nothing_heavy_is_imported() -> None:
    script = (
        "import sys, runpy\n"
        "sys.argv = ['launch.py', '--help']\n"
        "try:\n"
        "    runpy.run_path('launch.py', run_name='__main__')\n"
        "finally:\n"
        "    heavy = {'torch', 'mlflow', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'rich'}\n"
        "    print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert "Keys (defaults in parentheses)" in done.stdout


def test_a_users_configs_are_listed_and_told(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("n: 5\n")
    (tmp_path / "small.yaml").write_text("defaults: [config, _self_]\nn: 77\n")
    told = help_text([CONF, tmp_path], "small")
    assert re.search(r"fig9_cifar10,\s+mine,\s+neyshabur_fig1_norms,", told)
    assert re.search(r"\n  n  .*\(77\)\n", told)
    assert re.search(r"\n  ch  .*\(6\)\n", told)
