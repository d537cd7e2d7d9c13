"""``python -m gsnr_sweep``: its help, its errors, and which sweep each command is given."""

import subprocess
import sys
from pathlib import Path

import pytest

from gsnr_sweep.__main__ import main
from tests.conftest import ROOT
from tests.fakes import put_run, put_sweep

COMMANDS = ("status", "collect", "report", "cancel", "logs", "sync")
HELP = """
import sys
from gsnr_sweep.__main__ import main
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
    for name in COMMANDS:
        assert f"\n    {name} " in done.stdout
    assert "python -m gsnr_sweep.aggregate --help" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "SWEEP" in out
    assert "--tracking-uri" in out


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
    monkeypatch.setattr("gsnr_sweep.tracking.sync.send_record", lambda *_: "no answer")
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
