"""Runs, claims and sweeps written to disk by hand: what a process would leave, without one."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gsnr_sweep.config.identity import code_version, run_identity
from gsnr_sweep.config.schema import Config
from gsnr_sweep.records.checkpoint import CHECKPOINT_FILE
from gsnr_sweep.records.leases import Lease
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.records.processes import identify
from gsnr_sweep.records.record import RECORD_FILE, Measurement, RunRecord
from gsnr_sweep.records.sent import is_sent, read_sent
from gsnr_sweep.records.state import State
from gsnr_sweep.records.status import Status, write_status
from gsnr_sweep.tracking.exporter import Exporter

METRICS = {"osgr_lhs": 0.5, "osgr_rhs": 0.25, "osgr_diff": 0.25}


def job_command(sweep: Path, script: str) -> list[str]:
    """Return the command of a process that looks like the one that submitit starts for a job."""
    return [sys.executable, "-c", script, "submitit.local._local", str(sweep / "jobs")]


def put_claim(
    folder: Path, number: int = 1, *, alive: bool = True, raw: str | None = None, **fields: Any
) -> Lease:
    """Write the file of an attempt, of this process or of one that is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    lease = Lease(number, **{"process": identify() if alive else gone_process(), **fields})
    text = json.dumps(asdict(lease)) if raw is None else raw
    (folder / f"attempt.{number}").write_text(text)
    return lease


def put_status(folder: Path, state: str, *, alive: bool = True, **fields: Any) -> Status:
    """Write a status, of this process or of one that is gone; a result has a record, too."""
    folder.mkdir(parents=True, exist_ok=True)
    if State(state).has_result and not (folder / RECORD_FILE).exists():
        put_record(folder, state=state)
    process = identify() if alive else gone_process()
    status = Status(state, **{"process": process, "updated": time.time(), **fields})
    write_status(folder, status)
    return status


def put_record(folder: Path, cfg: Config | None = None, **fields: Any) -> RunRecord:
    """Write a record with one measurement, of epoch 0, unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    if cfg is not None:
        known = {"config": asdict(cfg), "config_hash": run_identity(cfg)}
        known["environment"] = {"code": code_version(cfg), "device": "cpu"}
    else:
        known = {"config": {"n": 3}, "config_hash": "feed", "environment": {"code": "1"}}
    known |= {"name": "a run", "state": "finished", "measurements": [Measurement(0, METRICS)]}
    record = RunRecord(**{**known, **fields})
    record.write(folder)
    return record


def put_run(
    folder: Path,
    state: str,
    *,
    cfg: Config | None = None,
    checkpoint: bool = False,
    number: int = 1,
    job: str = "",
    failures: int = 0,
    **fields: Any,
) -> Status:
    """Write claim, status and record of a run; one that is not under way has no process."""
    alive = fields.pop("alive", state in ("preparing", "running"))
    put_claim(folder, number, alive=alive, job=job, failures=failures)
    written = "running" if state in ("preparing", "running") else state
    put_record(folder, cfg, state=written)
    if checkpoint:
        (folder / CHECKPOINT_FILE).write_bytes(b"weights")
    if cfg is not None:
        identity = {"config_hash": run_identity(cfg), "code": code_version(cfg)}
        fields = {**identity, "experiment": cfg.tracking.experiment, **fields}
    known = {"epochs": 10, "epoch": 10 if state == "finished" else 4, "attempt": number}
    return put_status(folder, state, alive=alive, **{**known, **fields})


def put_sweep(folder: Path, n_runs: int = 2, **fields: Any) -> Manifest:
    """Write a manifest of runs 0, 1, … that the sweep computes itself."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = [SweepRun(i, f"run {i}", f"hash{i}", 10.0 - i, folder=str(i)) for i in range(n_runs)]
    known = {"id": "0a1b2c3d", "name": "digits sweep", "runs": runs, "command": "python launch.py"}
    manifest = Manifest(**{**known, "folder": folder, **fields})
    manifest.write()
    return manifest


def send(folder: Path, launch_folder: Path | None = None) -> str:
    """Send a run to MLflow as it is now; return its MLflow run."""
    assert Exporter(launch_folder or folder).send(folder) == ""
    assert is_sent(folder)
    return read_sent(folder).run_id


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its size and time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def gone_process(pid: int | None = None) -> str:
    """The identity of a process that is gone: ours, or `pid`, has its number and started later."""
    return f"{identify(pid).rpartition('/')[0]}/1"


def process_elsewhere() -> str:
    """The identity of a process that cannot be asked for from here."""
    return "another-boot/pid:[1]/1/1"


def gone_pid() -> int:
    """The number of a process that is no longer there."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid
