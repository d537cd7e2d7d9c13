"""Sending runs to MLflow while they go on, from a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gsnr_sweep._startup import loading_quickly
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.record import RECORD_FILE
from gsnr_sweep.tracking.turns import export_turn

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_TURNS = 10.0
_SECONDS_OF_REST = 60.0
_SECONDS_TO_END = 30.0


@dataclass
class BackgroundExport:
    """What a thread that sends runs knows.

    Attributes:
        problem: Why MLflow lacked something the last time; empty if it had everything.
    """

    problem: str = ""
    _over: threading.Event = field(default_factory=threading.Event)

    def follow(self, folders: Sequence[Path], launch_folder: Path) -> None:
        """Send what changes in some runs' folders, until the end is asked for.

        A store that fails has a minute's rest: a server that is gone costs a time-out each time.
        """
        sent: dict[Path, int] = {}
        exporter = None
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            for folder in folders:
                changed = _changed(folder)
                if changed == sent.get(folder, 0) or self._over.is_set():
                    continue
                if exporter is None:
                    with loading_quickly():
                        from gsnr_sweep.tracking.exporter import Exporter

                        exporter = Exporter(launch_folder)
                self.problem = exporter.send(folder)
                if self.problem and exporter.away:
                    self._over.wait(_SECONDS_OF_REST)
                    break
                sent[folder] = changed

    def follow_in_turn(self, manifest: Manifest, who: str) -> None:
        """Do so for a sweep's runs while no other process does."""
        folders = [manifest.folder_of(run) for run in manifest.to_run()]
        wait = 0.0
        while not self._over.wait(wait):
            with contextlib.suppress(GsnrError), export_turn(manifest.folder, who) as mine:
                if mine:
                    self.follow(folders, Path(manifest.launch_folder))
            wait = _SECONDS_BETWEEN_TURNS


@contextmanager
def exporting_run(folder: Path, launch_folder: Path) -> Iterator[BackgroundExport]:
    """Send a run that is launched alone meanwhile."""
    export = BackgroundExport()
    with _thread(export, lambda: export.follow([folder], launch_folder)):
        yield export


@contextmanager
def exporting_sweep(manifest: Manifest, who: str) -> Iterator[BackgroundExport]:
    """Send the runs of a sweep meanwhile, unless another process does or the sweep is not tracked.

    Args:
        manifest: The sweep.
        who: As in `gsnr_sweep.tracking.turns.export_turn`.
    """
    export = BackgroundExport()
    if not manifest.uri:
        yield export
        return
    with _thread(export, lambda: export.follow_in_turn(manifest, who)):
        yield export


@contextmanager
def _thread(export: BackgroundExport, work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work, name="exporter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        export._over.set()
        thread.join(_SECONDS_TO_END)


def _changed(folder: Path) -> int:
    try:
        return (folder / RECORD_FILE).stat().st_mtime_ns
    except OSError:
        return 0
