"""Files in the folders of runs and sweeps with anything in them: no reader raises what is not ours.

Each is written as it should be, then damaged; what is read is shown, decided on and tabled.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gsnr_sweep.analysis.read_folder import read_folder
from gsnr_sweep.cli import main as commands
from gsnr_sweep.launcher.history import History
from gsnr_sweep.preflight.past_costs import observed_runs
from gsnr_sweep.records.leases import last_lease, standing
from gsnr_sweep.records.manifest import Manifest, read_manifests
from gsnr_sweep.records.record import holds_result, read_record
from gsnr_sweep.records.sent import Sent, is_sent, read_sent
from gsnr_sweep.records.status import other_run, read_status
from gsnr_sweep.runs.outcome import run_result
from gsnr_sweep.wording import printable
from tests.fakes import put_run, put_sweep
from tests.hostile.files import contents
from tests.hostile.measuring import within_bounds

OWN = ("status.json", "attempt.1", "record.json", "mlflow.json")


def _put(folder: Path) -> Manifest:
    """Write a sweep of three runs: one finished, one that failed, one under way."""
    sweep = put_sweep(folder / "multirun" / "day" / "time", 3, experiment="tests")
    for index, state in enumerate(("finished", "failed", "running")):
        here = sweep.folder / str(index)
        put_run(here, state, experiment="tests", config_hash="feed", message="why")
        Sent("0" * 32, "d", state, ["0@1"], "x").write(here)
    return sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return _put(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def valid(sweep: Manifest) -> dict[str, Any]:
    files = {name: json.loads((sweep.folder / "0" / name).read_text()) for name in OWN}
    return files | {"sweep.json": json.loads((sweep.folder / "sweep.json").read_text())}


def _use_run(sweep: Manifest) -> None:
    """Do all that is done with a run's files by whoever finds them."""
    folder = sweep.folder / "0"
    read_status(folder), read_record(folder), read_sent(folder), last_lease(folder)
    standing(folder).may_go_on(2), is_sent(folder), holds_result(folder), run_result(folder)
    other_run(folder, "feed")
    history = History()
    history.read_folders([sweep.folder], "tests", {"feed"})
    for run in history.runs.get("feed", []):
        assert run.date
    history.decide("feed", "1")
    observed_runs([], [sweep.folder], "tests")
    table = read_folder(sweep)
    assert table.runs + len(table.left_out) == 3
    assert len(table.arrays) >= 0


def _use_sweep(sweep: Manifest) -> None:
    for found in read_manifests([sweep.folder], ("",)):
        read_folder(found)
        History().read_plans([found.folder], "tests", {"hash0"}, lambda _: True)


def _commanded(capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
    """Run a command; it answers, or refuses in a paragraph."""
    code = commands.main(arguments)
    told = capsys.readouterr()
    assert code in (0, 1)
    assert bool(told.err) == bool(code)
    assert "Traceback" not in told.out + told.err
    assert printable(told.out + told.err) == told.out + told.err
    assert not told.err or (told.err.startswith("error: ") and told.err.count("\n") == 1)


@pytest.mark.parametrize("name", OWN)
def test_any_file_of_a_run(
    sweep: Manifest, valid: dict[str, Any], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep.folder / "0" / name
    whole = path.read_bytes()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(contents(valid[name]))
    def damage(content: bytes) -> None:
        path.write_bytes(content)
        with within_bounds():
            _use_run(sweep)
            for command in ("status", "logs"):
                _commanded(capsys, command, str(sweep.folder))

    try:
        damage()
    finally:
        path.write_bytes(whole)


def test_any_manifest(
    sweep: Manifest, valid: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep.folder / "sweep.json"
    whole = path.read_bytes()
    jobs = [{"id": "4194303", "runs": [0, 1, 2], "host": "elsewhere", "started": 1.5}]

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(contents({**valid["sweep.json"], "jobs": jobs}))
    def damage(content: bytes) -> None:
        path.write_bytes(content)
        with within_bounds():
            _use_sweep(sweep)
            for command in ("status", "logs", "sync"):
                _commanded(capsys, command, str(sweep.folder))

    try:
        damage()
    finally:
        path.write_bytes(whole)


KINDS: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "nowhere": lambda path: path.symlink_to("nowhere"),
    "a hole": lambda path: (path.touch(), os.truncate(path, 2**40))[1],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*OWN, "sweep.json", "run.log"])
def test_what_is_no_file_of_ours(
    tmp_path: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = _put(tmp_path)
    path = sweep.folder / name if name == "sweep.json" else sweep.folder / "1" / name
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    with within_bounds():
        _use_run(sweep)
        _use_sweep(sweep)
        for command in ("status", "logs"):
            _commanded(capsys, command, str(sweep.folder))
