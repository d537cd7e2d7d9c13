"""``python -m gsnr_sweep ui``: which page it opens, what it serves, how it ends."""

import io
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.cli.commands import ui
from gsnr_sweep.cli.main import main
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest
from gsnr_sweep.tracking.uri import without_password
from tests.fakes import put_sweep

SERVER = "http://127.0.0.1:5999"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, int | None]]:
    """What was served; the user presses Ctrl-C at once."""
    calls: list[tuple[str, Path, int | None]] = []

    def wait() -> None:
        raise KeyboardInterrupt

    @contextmanager
    def serving(uri: str, folder: Path, port: int | None) -> Iterator[SimpleNamespace]:
        calls.append((uri, folder, port))
        yield SimpleNamespace(address=SERVER, wait=wait)

    monkeypatch.setattr(ui, "serving", serving)
    return calls


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open, on a machine with a screen."""
    addresses: list[str] = []
    monkeypatch.setattr(ui.webbrowser, "open", addresses.append)
    monkeypatch.setenv("DISPLAY", ":0")
    return addresses


def put(store: MlflowClient, folder: Path, name: str = "a sweep", runs: int = 4) -> Manifest:
    tags = {"gsnr.kind": "sweep", "gsnr.runs": str(runs)}
    parent = store.create_run("0", run_name=name, tags=tags).info.run_id
    return put_sweep(
        folder / "multirun" / "day" / name.replace(" ", "-"),
        1,
        id=parent[:8],
        name=name,
        uri="sqlite:///mlflow.db",
        parent_run_id=parent,
        launch_folder=str(folder),
        created=name,
    )


def show(folder: Path, wanted: str | None = None, **options: object) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=80)
    code = ui.ui_command(wanted, folder, None, console, **options)  # type: ignore[arg-type]
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def page(manifest: Manifest) -> str:
    options = f"compareRunsMode=CHART&viewStateShareKey=gsnr-{manifest.parent_run_id[:16]}"
    return f"{SERVER}/#/experiments/0/runs?workflowType=machine_learning&{options}"


def test_the_latest_sweep(store, folder, served, opened) -> None:
    put(store, folder, "first")
    manifest = put(store, folder, "second")
    code, out = show(folder, port=1234)
    assert code == 0
    assert out.splitlines() == [
        "Starting MLflow's web interface…",
        page(manifest),
        "Ctrl-C ends it.",
        "",
        "MLflow's web interface has ended.",
    ]
    assert served == [(f"sqlite:///{folder / 'mlflow.db'}", folder, 1234)]
    assert opened == [page(manifest)]
    assert f"mlflow.sharedViewState.gsnr-{manifest.parent_run_id[:16]}" in (
        store.get_experiment("0").tags
    )


def test_a_named_sweep_without_a_browser(store, folder, served, opened) -> None:
    manifest = put(store, folder, "first")
    put(store, folder, "second")
    assert page(manifest) in show(folder, "first", browser=False)[1]
    assert opened == []


def test_a_sweep_whose_folder_is_not_here(store, folder, served, opened) -> None:
    manifest = put(store, folder, "first")
    put(store, folder, "second")
    shutil.rmtree(manifest.folder)
    assert page(manifest) in show(folder, manifest.parent_run_id)[1]


def test_from_another_folder_the_store_of_the_launch_is_served(
    store, folder, served, opened, tmp_path_factory
) -> None:
    manifest = put(store, folder)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert page(manifest) in show(elsewhere, str(manifest.folder))[1]
    assert served == [(f"sqlite:///{folder / 'mlflow.db'}", folder, None)]
    assert list(elsewhere.iterdir()) == []


def test_no_browser_takes_over_a_terminal(store, folder, served, opened, monkeypatch) -> None:
    monkeypatch.setattr(ui.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    put(store, folder)
    assert show(folder)[0] == 0
    assert opened == []


@pytest.mark.parametrize(("runs", "told"), [(100, False), (101, True)])
def test_that_more_runs_have_to_be_loaded_is_said(
    store, folder, served, opened, runs: int, told: bool
) -> None:
    put(store, folder, runs=runs)
    assert (f"The page shows 100 of {runs} runs; Load more" in show(folder)[1]) is told


def test_a_store_without_a_sweep(store, folder, served, opened) -> None:
    _, out = show(folder)
    assert f"{SERVER}/#/experiments?workflowType=machine_learning" in out
    with pytest.raises(GsnrError, match="There is no sweep 'xyz'"):
        show(folder, "xyz")


def test_nothing_was_launched_here(folder, served, opened) -> None:
    with pytest.raises(GsnrError, match="nothing was launched here yet"):
        show(folder)
    assert (served, list(folder.iterdir())) == ([], [])


def test_a_sweep_that_is_not_in_mlflow(folder, served, opened) -> None:
    put_sweep(folder / "multirun" / "d" / "t", 1)
    with pytest.raises(GsnrError, match="launched with tracking=none"):
        show(folder)
    assert served == []


def test_a_server_is_shown_and_not_served(store, folder, served, opened, monkeypatch) -> None:
    manifest = put(store, folder)
    uri = "https://ann:secret@mlflow.example.org/team"
    manifest.uri = without_password(uri)
    manifest.write()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(MlflowClient, "tracking_uri", property(lambda _: uri))
    monkeypatch.setattr(ui, "connect", lambda _: store)
    code, out = show(folder)
    assert code == 0
    assert out == page(manifest).replace(SERVER, "https://mlflow.example.org/team") + "\n"
    assert (served, opened) == ([], [out.strip()])


def test_a_request_to_end_leaves_no_server(store, folder, served, opened, monkeypatch) -> None:
    put(store, folder)
    before = signal.getsignal(signal.SIGTERM)
    ended = []

    @contextmanager
    def serving(*_: object) -> Iterator[SimpleNamespace]:
        try:
            wait = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
            yield SimpleNamespace(address=SERVER, wait=wait)
        finally:
            ended.append(True)

    monkeypatch.setattr(ui, "serving", serving)
    assert show(folder)[0] == 0
    assert ended == [True]
    assert signal.getsignal(signal.SIGTERM) == before


def test_from_the_command_line(store, folder, served, opened, capsys) -> None:
    manifest = put(store, folder)
    assert main(["ui", manifest.id, "--port", "6001", "--no-browser"]) == 0
    assert page(manifest) in capsys.readouterr().out
    assert served[0][2] == 6001
    assert opened == []
