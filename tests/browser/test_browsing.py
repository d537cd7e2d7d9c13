"""A sweep in MLflow's interface, as people meet it: in a real browser with a fresh profile."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from gsnr_sweep.tracking.prepared_view import page_address, prepare_view
from gsnr_sweep.tracking.web_server import serving
from tests.conftest import ROOT, TINY

pytestmark = pytest.mark.slow

TABLE = "compareRunsMode=TABLE"


@dataclass
class Ui:
    """The command ``gsnr-sweep ui`` at work.

    Attributes:
        address: What it printed.
        process: The command.
    """

    address: str
    process: subprocess.Popen

    @property
    def server(self) -> str:
        return self.address.partition("/#")[0]


@pytest.fixture(scope="module")
def sweep(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a launch: two sweeps, the second of which reuses runs of the first."""
    folder = tmp_path_factory.mktemp("launch")
    for n in ("n=30,40", "n=30,40,50"):
        command = [sys.executable, str(ROOT / "launch.py"), "-m", *TINY[1:], n, "ch=2,3"]
        done = subprocess.run(
            [*command, "hydra.launcher.workers=2"],
            cwd=folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = re.search(r"Browse in MLflow: (.*)", done.stdout)
        assert told
        assert re.fullmatch(r"python -m gsnr_sweep ui [0-9a-f]{8}", told[1])
    return folder


@pytest.fixture(scope="module")
def ui(sweep: Path) -> Iterator[Ui]:
    """The command on the latest sweep; it has to end well at Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "gsnr_sweep", "ui", "--no-browser"],
        cwd=sweep,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Ctrl-C"):
            break
    addresses = [line for line in lines if line.startswith("http")]
    assert addresses, lines
    yield Ui(addresses[0], process)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "has ended" in rest
    assert "Traceback" not in rest


def _environment() -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**known, "MLFLOW_DISABLE_TELEMETRY": "true", "COLUMNS": "80"}


def points(page: Any, count: int) -> None:
    """Wait until one chart, the scatter, has so many points."""
    page.wait_for_function(
        """count => [...document.querySelectorAll('.js-plotly-plot')].some(
            chart => chart.data && chart.data.length == 1 && (chart.data[0].x || []).length == count
        )""",
        arg=count,
    )


def test_the_printed_address_shows_a_point_for_each_run(page: Any, ui: Ui) -> None:
    page.goto(ui.address)
    points(page, 6)
    for metric in ("osgr_lhs", "osgr_rhs", "gsnr_mean"):
        assert page.get_by_text(metric, exact=True).first.is_visible()
    assert page.get_by_text("6 matching runs").is_visible()
    _keep_picture(page, "charts")


def test_the_table_has_the_columns(page: Any, ui: Ui) -> None:
    page.goto(ui.address.replace("compareRunsMode=CHART", TABLE))
    page.get_by_text("6 matching runs").wait_for()
    page.locator("[col-id='params.`n`']").first.wait_for()
    shown = page.evaluate(
        "[...document.querySelectorAll('.ag-header-cell')]"
        ".sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x)"
        ".map(cell => cell.getAttribute('col-id'))"
    )
    wanted = [f"params.`{name}`" for name in ("n", "ch", "p_random", "seed")]
    wanted += [f"metrics.`{name}`" for name in ("osgr_lhs", "osgr_rhs")]
    assert [column for column in shown if column in wanted] == wanted
    assert page.get_by_text(re.compile(r"digits training \([0-9a-f]{16}\)")).first.is_visible()
    _keep_picture(page, "table")


def test_from_the_start_page_as_documented(page: Any, ui: Ui) -> None:
    page.goto(ui.server)
    page.get_by_text("Model training", exact=True).first.click()
    page.get_by_text("gsnr-sweep", exact=True).first.click()
    page.get_by_test_id("saved-views-trigger").click()
    menu = page.get_by_role("menuitem").filter(has_text="digits sweep")
    assert menu.count() == 2
    menu.first.click()  # the latest one
    page.get_by_text("6 matching runs").wait_for()
    page.locator("label").filter(has=page.locator("input[value=CHART]")).first.click()
    points(page, 6)


def test_the_sweeps_own_run_says_what_came_out(page: Any, ui: Ui, sweep: Path) -> None:
    store = MlflowClient(f"sqlite:///{sweep / 'mlflow.db'}")
    parent = store.search_runs(["1"], "tags.`gsnr.kind` = 'sweep'", max_results=1)[0]
    page.goto(f"{ui.server}/#/experiments/1/runs/{parent.info.run_id}")
    page.get_by_text("6 of 6 runs").wait_for()
    if (more := page.get_by_text("Show more")).count():
        more.first.click()
    assert page.get_by_text("LHS against RHS by epoch").is_visible()
    assert page.locator("table").filter(has_text="Pearson c").count() == 1
    command = page.locator("code").filter(has_text="launch.py -m")
    assert "n=30,40,50 ch=2,3" in command.last.inner_text()
    assert page.get_by_text(re.compile(r"digits training \([0-9a-f]{16}\)")).first.is_visible()
    _keep_picture(page, "description")


def test_more_runs_than_the_interface_fetches_at_once(
    page: Any, store: MlflowClient, folder: Path
) -> None:
    parent = store.create_run("0", run_name="big", tags={"gsnr.kind": "sweep"}).info.run_id
    for index in range(105):
        run = store.create_run("0", tags={"gsnr.kind": "run", "mlflow.parentRunId": parent})
        metrics = [Metric(m, index / 105, 1000, 0) for m in ("osgr_lhs", "osgr_rhs")]
        store.log_batch(run.info.run_id, metrics=metrics, params=[Param("n", str(index))])
    key = prepare_view(store, parent)
    with serving(f"sqlite:///{folder / 'mlflow.db'}", folder) as server:
        page.goto(page_address(server.address, "0", key))
        points(page, 100)
        page.locator(".ag-body-viewport").first.hover()
        page.mouse.wheel(0, 10_000)
        page.get_by_text("Load more").first.click()
        points(page, 105)


def _keep_picture(page: Any, name: str) -> None:
    """Keep what a person may want to look at, where asked."""
    if folder := os.environ.get("GSNR_PICTURES"):
        page.screenshot(path=str(Path(folder, f"{name}.png")))
