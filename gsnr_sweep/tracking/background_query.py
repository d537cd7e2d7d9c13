"""The finished runs that a tracking server has, looked up by a process of its own.

Importing MLflow and asking a server take as long as importing PyTorch, which checking a grid needs.
A dry run, which needs nothing else of MLflow, has both done side by side. A SQLite file is read in
no time without MLflow.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from gsnr_sweep.config.schema import TrackingConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.finished_runs import StoredRun, read_finished_runs, store_to_read
from gsnr_sweep.tracking.uri import sqlite_file, without_password

_PACKAGES = Path(__file__).parents[2]


class LookUp:
    """A process that looks up the finished runs of an experiment meanwhile."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Let it begin.

        Args:
            uri: The store; may hold a password, so that it is not told on the command line.
            experiment: Only runs of this one are looked up.
        """
        self._uri = uri
        paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died: `runs` says so
            self._process.stdin.write(json.dumps([uri, experiment]) + "\n")
            self._process.stdin.flush()

    def runs(self) -> list[StoredRun]:
        """Wait until they are found.

        Raises:
            GsnrError: The store cannot be read.
        """
        answer, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise GsnrError(f"The tracking store {without_password(self._uri)} cannot be read.")
        return [StoredRun(**run) for run in json.loads(answer)]

    def end(self) -> None:
        """End the process if it is still there."""
        self._process.kill()
        with self._process:  # closes its pipes and waits for it
            pass


@contextmanager
def looking_up(tracking: TrackingConfig, launch_folder: Path) -> Iterator[LookUp | None]:
    """Look up the finished runs of an experiment meanwhile.

    Yields:
        What looks them up; None where there is no store, or one that is read in no time.
    """
    try:
        uri = store_to_read(tracking, launch_folder)
    except GsnrError:  # whoever needs the store says so
        uri = ""
    look_up = LookUp(uri, tracking.experiment) if uri and not sqlite_file(uri) else None
    try:
        yield look_up
    finally:
        if look_up is not None:
            look_up.end()


def main() -> None:
    """Answer on standard output what is asked on standard input."""
    uri, experiment = json.loads(sys.stdin.readline())
    print(json.dumps([asdict(run) for run in read_finished_runs(uri, experiment)]))


if __name__ == "__main__":
    from gsnr_sweep._startup import leaving_quickly

    with leaving_quickly():
        main()
