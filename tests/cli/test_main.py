"""``gsnr-sweep``: launch or command, help, errors, and which sweep each command is given."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gsnr_sweep.cli import main as command_line
from gsnr_sweep.cli.commands import COMMANDS as ALL_COMMANDS
from gsnr_sweep.cli.help import help_text
from gsnr_sweep.cli.main import main
from gsnr_sweep.config import program
from tests.conftest import CONF, ROOT
from tests.fakes import put_run, put_sweep

OTHERS = ("aggregate", "measure")  # of the store alone, of files of weights
COMMANDS = tuple(name for name in ALL_COMMANDS if name not in OTHERS)  # on a sweep's folder
HELP = """
import sys
from gsnr_sweep.cli.main import main
try:
    main(sys.argv[1:])
finally:
    heavy = {"torch", "mlflow", "numpy", "pandas", "sklearn", "scipy", "matplotlib", "rich"}
    print("HEAVY", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-c", HELP, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert done.stdout.startswith("usage: python -m gsnr_sweep")


def test_help_of_the_module() -> None:
    command = [sys.executable, "-m", "gsnr_sweep", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = " ".join(done.stdout.split())
    for name, text in ALL_COMMANDS.items():
        assert f" {name} {text} " in told


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert ("--weights" if command == "measure" else "SWEEP") in out
    assert ("--output" if command == "measure" else "--tracking-uri") in out


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["status", "--no-such-option"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: python -m gsnr_sweep" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_sweep_that_does_not_exist(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "xyz"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: There is no sweep 'xyz'")
    assert captured.out == ""
    assert list(folder.iterdir()) == []


def test_the_latest_sweep_if_none_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        manifest = put_sweep(
            folder / "multirun" / "d" / str(number), 1, id=f"{number}" * 8, created=str(number)
        )
        put_run(manifest.folder / "0", "finished")
    assert main(["status"]) == 0
    assert "(22222222): 1 of 1 done" in capsys.readouterr().out
    assert main(["status", "111"]) == 0
    assert "(11111111): 1 of 1 done" in capsys.readouterr().out
    assert main(["cancel"]) == 0
    assert "Sweep 22222222 is over" in capsys.readouterr().out
    assert main(["logs", "1111", "--run", "0"]) == 0
    assert "0  run 0: finished" in capsys.readouterr().out
    assert main(["logs", "--run", "9"]) == 1
    assert "has no run '9'" in capsys.readouterr().err
    assert main(["sync"]) == 0


def test_sync_looks_after_all_sweeps_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gsnr_sweep.tracking.exporter.Exporter.send", lambda *_: "no answer")
    for number in (1, 2):
        manifest = put_sweep(
            folder / "multirun" / "d" / str(number), 1, id=f"{number}" * 8, uri="sqlite:///x.db"
        )
        put_run(manifest.folder / "0", "finished")
    assert main(["sync"]) == 1
    assert capsys.readouterr().out.count("0 of 1 runs sent; no answer") == 2
    assert main(["sync", "111"]) == 1
    assert capsys.readouterr().out.count("0 of 1 runs sent; no answer") == 1


def test_ctrl_c_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    put_sweep(folder / "multirun" / "d" / "t", 1)
    monkeypatch.setattr("gsnr_sweep.cli.commands.status.show_status", interrupt)
    assert main(["status"]) == 130


# --- the installed command


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the installed command in this process."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["/some/where/bin/gsnr-sweep", *arguments])
        return command_line.gsnr_sweep()

    return run


@pytest.mark.parametrize(
    "arguments",
    [[], ["-m", "n=1,2"], ["n=3"], ["+x=1"], ["~data"], ["hydra/launcher=slurm", "-m"], ["--help"]],
    ids=" ".join,
)
def test_what_is_no_command_is_launched(
    installed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    launched: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(
        "gsnr_sweep.cli.launch.main", lambda *given, guarded: launched.append(given)
    )
    assert installed(*arguments) == 0
    assert launched == [(CONF, arguments)]


def test_a_command_of_the_installed_tool(
    folder: Path, installed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = put_sweep(folder / "multirun" / "d" / "t", 1, id="12345678")
    put_run(manifest.folder / "0", "finished")
    assert installed("status") == 0
    assert "(12345678): 1 of 1 done" in capsys.readouterr().out


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_the_installed_tool_calls_itself_by_its_name(
    installed: Callable[..., int], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit):
        installed(command, "--help")
    assert capsys.readouterr().out.startswith(f"usage: gsnr-sweep {command} ")


@pytest.mark.parametrize(
    ("word", "hint"),
    [("stauts", "Did you mean status?"), ("launch", "There are: status, collect, report, ")],
)
def test_a_word_that_is_no_command(
    installed: Callable[..., int], capsys: pytest.CaptureFixture[str], word: str, hint: str
) -> None:
    assert installed(word) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"error: There is no command {word!r}. {hint}")
    assert told.out == ""


def test_messages_name_the_program_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["launch.py", "-m", "measure_at=[1, 2]"]
    monkeypatch.setattr(sys, "argv", line)
    assert program.command_line() == "python launch.py -m 'measure_at=[1, 2]'"
    assert program.launch_program() == "python launch.py"
    assert "usage: python launch.py [-m]" in help_text([CONF])
    monkeypatch.setattr(sys, "argv", ["/bin/gsnr-sweep", *line[1:]])
    assert program.command_line() == "gsnr-sweep -m 'measure_at=[1, 2]'"
    assert program.launch_program() == "gsnr-sweep"
    told = help_text([CONF])
    assert "launch.py" not in told
    assert "usage: gsnr-sweep [-m]" in told
    for name, text in ALL_COMMANDS.items():
        assert f"  gsnr-sweep {name:<9} {text}" in told.splitlines()
