"""``python -m gsnr_sweep sync``: send to MLflow what it does not have."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gsnr_sweep.cli.commands.closing import close_sweep
from gsnr_sweep.cli.commands.overview import view_runs
from gsnr_sweep.cli.commands.status import is_over
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.records.sent import note_missing
from gsnr_sweep.records.state import State
from gsnr_sweep.report.remarks import tell_remarks_of_sweep
from gsnr_sweep.terminal import TextConsole
from gsnr_sweep.tracking.exporter import Exporter
from gsnr_sweep.tracking.sweep_tracker import standing_of_sweep
from gsnr_sweep.tracking.sync import lost_runs, send_unsent, unsent_runs, unsent_single_runs


def sync(sweeps: Sequence[Manifest], console: Console, here: Path | None = None) -> int:
    """Send what MLflow lacks of runs that are over, and of the sweeps' own runs.

    What somebody deleted in MLflow is sent again only for a sweep that was asked for by name.

    Args:
        sweeps: The sweeps to look through.
        console: Where to print.
        here: Folder of runs launched alone that are to be sent, too, where no sweep was named; None
            for none.

    Returns:
        The exit code: 1 if something could not be sent.
    """
    each = [_Sync(manifest, console, named=here is None) for manifest in sweeps]
    lacking = [one.sync() for one in each if one.tracked]
    lacking.append(_send_single_runs(here, console) if here is not None else False)
    if not any(lacking):
        other = " else" if any(one.left for one in each) else ""
        console.print(f"MLflow has everything{other} that is on disk.")
    return int(any(lacking))


class _Sync:
    """One sweep to be sent.

    Attributes:
        left: Whether something that MLflow may lack is left as it is, and was told.
    """

    def __init__(self, manifest: Manifest, console: Console, named: bool) -> None:
        self._manifest, self._console, self._named = manifest, console, named
        self.left = False
        self._sent_anew = False

    @property
    def tracked(self) -> bool:
        """Whether the sweep is in MLflow at all."""
        return bool(self._manifest.uri)

    def sync(self) -> bool:
        """Send what MLflow lacks; return whether it still lacks something."""
        try:
            stage = self._look()
        except GsnrError as error:
            if not (unsent_runs(self._manifest) or self._lacks_results()):
                self._leave(f"all was sent once, but now MLflow cannot be asked: {error}")
                return False
            stage = "unknown"
        lacks_runs = self._send_runs()
        if lacks_runs or stage == "unknown":
            return True
        lacks_results = stage == "active" and self._lacks_results() and self._send_results()
        if stage == "active" and not lacks_results:
            close_sweep(self._manifest)
        return lacks_results or (stage == "gone" and self._named)

    def _look(self) -> str:
        """Look for what was deleted; return how the sweep's own run stands."""
        lost = lost_runs(self._manifest)
        if lost and self._named:
            self._sent_anew = True  # the table names runs
            for folder in lost:
                note_missing(folder)
            self._tell(f"{len(lost)} runs had been deleted in MLflow and are sent as new ones")
        elif lost:
            self._leave(f"{len(lost)} runs were deleted in MLflow; {self._asked} sends them again")
        return self._own_run() if self._manifest.parent_run_id else ""

    def _own_run(self) -> str:
        """Return how the sweep's own run stands; of a sweep that was named it is restored."""
        manifest = self._manifest
        stage = standing_of_sweep(manifest, restore=self._named)
        if stage == "restored":
            self._tell("its own run had been deleted in MLflow and is restored")
            return "active"
        if stage == "deleted":
            self._leave(f"its own run was deleted in MLflow; {self._asked} restores it")
        elif stage == "gone":
            self._leave(
                "its own run is in MLflow no more; the command of the sweep makes another one and "
                f"computes nothing twice: {manifest.command}"
            )
        return stage

    def _send_runs(self) -> bool:
        waiting = unsent_runs(self._manifest)
        if not waiting:
            return False
        left, problem = send_unsent(self._manifest)
        self._tell(f"{len(waiting) - left} of {len(waiting)} runs sent", problem)
        tell_remarks_of_sweep(self._manifest, self._console)
        return bool(left)

    def _lacks_results(self) -> bool:
        """Whether the sweep's own run lacks table, figures and page of a sweep that is over."""
        from gsnr_sweep.report.pipeline import results_are_sent

        manifest = self._manifest
        sent = results_are_sent(manifest) and not self._sent_anew
        if not manifest.parent_run_id or sent or not is_over(manifest):
            return False
        return any(view.state in (State.FINISHED, "reused") for view in view_runs(manifest))

    def _send_results(self) -> bool:
        """Send them; return whether its own run still lacks them."""
        from gsnr_sweep.report.pipeline import collect

        result = collect(self._manifest, TextConsole(file=io.StringIO()))
        problem = result.log_problem if result else "they could not be made: see collect"
        told = "table, figures and page"
        self._tell(f"{told} {'not sent' if problem else 'sent'}", problem)
        return bool(problem)

    @property
    def _asked(self) -> str:
        return f"python -m gsnr_sweep sync {self._manifest.id}"

    def _leave(self, text: str) -> None:
        self.left = True
        self._tell(text)

    def _tell(self, text: str, problem: str = "") -> None:
        line = f"{self._manifest.name} ({self._manifest.id}): {text}"
        told = f"{line}; {problem}" if problem else line
        self._console.print(told, markup=False, soft_wrap=True)


def _send_single_runs(here: Path, console: Console) -> bool:
    """Send runs that were launched alone; return whether some could not be sent."""
    waiting = unsent_single_runs(here)
    left, problem = Exporter(here).send_all(waiting)
    if waiting:
        text = f"runs alone: {len(waiting) - left} of {len(waiting)} sent"
        console.print(f"{text}; {problem}" if problem else text, markup=False)
    return bool(left)
