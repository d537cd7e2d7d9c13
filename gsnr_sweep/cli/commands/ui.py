"""``python -m gsnr_sweep ui``: a sweep's page in MLflow's web interface."""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gsnr_sweep.cli.commands.lookup import all_sweeps, find_sweep, parent_in_store
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.prepared_view import RUNS_AT_ONCE, page_address, prepare_view
from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.store import connect
from gsnr_sweep.tracking.sweep_tracker import RUNS_TAG
from gsnr_sweep.tracking.uri import missing_file, recorded_uri, server_address, store_uri
from gsnr_sweep.tracking.web_server import serving

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class _Page:
    """What is to be shown.

    Attributes:
        uri: The store.
        folder: Of the launch.
        address: Of the page, that of its server given.
        remark: What is to be known of it; empty for nothing.
    """

    uri: str
    folder: Path
    address: Callable[[str], str]
    remark: str = ""


def ui_command(
    wanted: str | None,
    here: Path,
    uri: str | None,
    console: Console,
    port: int | None = None,
    browser: bool = True,
) -> int:
    """Show a sweep's page, and serve it until Ctrl-C where the store has no server of its own.

    Args:
        wanted: The sweep; None for the latest one launched in `here`, and without any for all runs.
        here: The folder of the launch.
        uri: Tracking store, for sweeps without a folder here.
        console: Where to print.
        port: Where to serve; None for a free one.
        browser: Whether to open a browser.

    Returns:
        The exit code.

    Raises:
        GsnrError: There is no such sweep, it is not in MLflow, or the server does not come up.
    """
    page = _find(wanted, here, uri)
    if server := server_address(page.uri):
        _show(page, server, console, browser)
        return 0
    with _ending_as_at_ctrl_c():
        try:
            console.print("Starting MLflow's web interface…", highlight=False)
            with serving(page.uri, page.folder, port) as own:
                _show(page, own.address, console, browser)
                console.print("Ctrl-C ends it.", highlight=False)
                own.wait()
        except KeyboardInterrupt:
            console.print("\nMLflow's web interface has ended.", highlight=False)
    return 0


def _find(wanted: str | None, here: Path, uri: str | None) -> _Page:
    """Find the page to show, and prepare the sweep's view.

    Raises:
        GsnrError: There is none.
    """
    if wanted is None and not all_sweeps(here):
        return _all_runs(here, uri)
    try:
        manifest = find_sweep(wanted, here, uri)
    except GsnrError:
        if wanted is None or (found := parent_in_store(wanted, here, uri)) is None:
            raise
        client, parent = found
        return _of_sweep(client, parent.info.run_id, here)
    if not manifest.uri or not manifest.parent_run_id:
        raise GsnrError(
            f"Sweep {manifest.name} is not in MLflow: it was launched with tracking=none. What it "
            f"found is in {manifest.folder}: report.html, table.csv and the figures."
        )
    folder = Path(manifest.launch_folder)
    store = recorded_uri(manifest.uri, folder)
    with readable_store_errors(store):
        client = connect(store)
    return _of_sweep(client, manifest.parent_run_id, folder)


def _of_sweep(client: MlflowClient, parent_id: str, folder: Path) -> _Page:
    with readable_store_errors(client.tracking_uri):
        parent = client.get_run(parent_id)
    experiment_id, key = parent.info.experiment_id, prepare_view(client, parent_id)
    runs, remark = parent.data.tags.get(RUNS_TAG, ""), ""
    if runs.isdecimal() and int(runs) > RUNS_AT_ONCE:
        remark = (
            f"The page shows {RUNS_AT_ONCE} of {runs} runs; Load more, at the end of their list, "
            "adds others."
        )
    return _Page(
        client.tracking_uri,
        folder,
        lambda server: page_address(server, experiment_id, key),
        remark,
    )


def _all_runs(here: Path, uri: str | None) -> _Page:
    """Return the list of experiments of a store in which there may be runs launched alone."""
    store = store_uri(uri, here)
    if missing_file(store):
        raise GsnrError(
            f"There is no sweep in {here}/multirun and no store in {here}: nothing was launched "
            "here yet. Start this in the folder of a launch, or name a sweep by its folder."
        )
    return _Page(
        store, here, lambda server: f"{server}/#/experiments?workflowType=machine_learning"
    )


def _show(page: _Page, server: str, console: Console, browser: bool) -> None:
    address = page.address(server)
    console.print(address, markup=False, highlight=False, soft_wrap=True)
    if page.remark:
        console.print(page.remark, highlight=False)
    if browser and _has_screen():
        webbrowser.open(address)


def _has_screen() -> bool:
    """Whether a browser would open a window, and not take over the terminal."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens)


@contextmanager
def _ending_as_at_ctrl_c() -> Iterator[None]:
    """Heed a request to end as Ctrl-C, so that no server is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
