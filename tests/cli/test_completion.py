"""What a shell is offered: commands beside overrides, a command's options, sweeps, files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gsnr_sweep.cli.completion import asks_for_completion
from tests.conftest import ROOT
from tests.fakes import put_sweep

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from gsnr_sweep.cli.main import gsnr_sweep
sys.exit(gsnr_sweep())
"""
SHELL = """
eval "$(gsnr-sweep --shell-completion install=bash)"
COMP_LINE=$1 COMP_POINT=${#1}
COMP_WORDS=($1)
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
hydra_bash_completion
printf "%s\n" "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory):
    """Ask bash itself, with the completion that the tool installs."""
    if not (bash := shutil.which("bash")):
        pytest.skip("there is no bash")
    folder = tmp_path_factory.mktemp("completion")
    put_sweep(folder / "multirun" / "d" / "t", 1, id="12345678")
    (folder / "net.safetensors").touch()
    (folder / "gsnr-sweep").write_text(PROGRAM)
    (folder / "gsnr-sweep").chmod(0o755)

    def ask(line: str) -> list[str]:
        done = subprocess.run(
            [bash, "--norc", "-c", SHELL, "bash", line],
            cwd=folder,
            env={"PATH": f"{folder}:{Path(bash).parent}", "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return ask


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "gsnr-sweep s",
            [
                *("same_code=", "scale=", "scales/", "seed=", "seed_data=", "seed_weights="),
                *("status", "stop.", "sync"),
            ],
        ),
        ("gsnr-sweep stat", ["status"]),
        ("gsnr-sweep data=m", ["data=mnist"]),
        ("gsnr-sweep n=3 model.in", ["model.init="]),
        ("gsnr-sweep status --w", ["--watch"]),
        ("gsnr-sweep status ", ["12345678"]),
        ("gsnr-sweep logs 1234", ["12345678"]),
        ("gsnr-sweep aggregate --er", ["--error-bars"]),
        ("gsnr-sweep meas", ["measure", "measure_at=", "measures.", "measures="]),
        ("gsnr-sweep measure --w", ["--weights"]),
        ("gsnr-sweep measure --weights a.pt data=m", ["data=mnist"]),
        ("gsnr-sweep measure n=3 --model m.Net model.in", ["model.init="]),
        ("gsnr-sweep measure --weights net.saf", ["net.safetensors"]),
    ],
)
def test_bash_completes(offered, line: str, words: list[str]) -> None:
    assert sorted(offered(line)) == words


def test_only_a_question_of_the_shell_is_one() -> None:
    assert asks_for_completion(["-sc", "query=bash"])
    assert asks_for_completion(["--shell-completion", "query=fish"])
    assert not asks_for_completion(["--shell-completion", "install=bash"])
    assert not asks_for_completion(["query=bash", "n=3"])
