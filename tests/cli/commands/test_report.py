"""``python -m gsnr_sweep report``: which sweeps, which file, and what MLflow is given."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from rich.console import Console

from gsnr_sweep.cli.commands.report import report_command
from gsnr_sweep.cli.main import main
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest
from tests.fakes import put_record, put_run, put_sweep
from tests.report.reading import Page
from tests.tables import make_run

PRESET = {"name": "fig5_gsnr_curves", "scale": "smoke", "figures": ["gsnr_curves"]}
GSNR = (0.01, 0.02, 0.05, 0.04, 0.03, 0.02, 0.01)


def put(folder: Path, states: tuple[str, ...] = ("finished",) * 2, **fields: Any) -> Manifest:
    """A sweep whose runs measured the GSNR, with real labels and with random ones."""
    manifest = put_sweep(folder, len(states), **{"preset": PRESET, **fields})
    for run, state in zip(manifest.runs, states, strict=True):
        where = manifest.folder_of(run)
        if not state:
            continue
        put_run(where, state, alive=False, run_id=f"{run.index}" * 32 if manifest.uri else "")
        record = make_run({"gsnr_mean": GSNR}, p_random=float(run.index), seed=run.index)
        put_record(
            where,
            config=record.config,
            config_hash=run.config_hash,
            name=run.name,
            state=state,
            measurements=record.measurements,
        )
    return manifest


def report(here: Path, *wanted: str, output: Path | None = None) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    code = report_command(wanted, here, None, output, console)
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def read(path: Path) -> Page:
    page = Page(path.read_text())
    assert page.problems == []
    return page


@pytest.fixture
def sweep(folder: Path) -> Manifest:
    return put(folder / "sweep")


def test_a_page_on_a_sweep_in_its_folder(sweep: Manifest, folder: Path) -> None:
    code, out = report(folder, "sweep")
    path = sweep.folder / "report.html"
    assert (code, out.strip()) == (0, f"Written: {path}")
    page = read(path)
    assert "fig5_gsnr_curves, smoke scale" in page.text
    assert "2 of 2 runs" in page.text
    assert "with real labels the GSNR rises" in page.text
    assert len(page.pictures) == 1
    assert (sweep.folder / "gsnr_curves.png").is_file()
    assert not (sweep.folder / "lhs_rhs.png").exists()


def test_again_is_harmless(sweep: Manifest, folder: Path) -> None:
    pages = []
    for _ in range(2):
        assert report(folder, "sweep")[0] == 0
        pages.append(re.sub("Page made [^.]*", "", (sweep.folder / "report.html").read_text()))
    assert pages[0] == pages[1]


def test_every_run_counts_although_no_store_gave_it_an_id(folder: Path) -> None:
    """Records on disk only: tracking=none."""
    put(folder / "sweep", ("finished",) * 4)
    report(folder, "sweep")
    rows = (folder / "sweep" / "table.csv").read_text().splitlines()[1:]
    assert len({row.split(",")[0] for row in rows}) == 4


def test_failed_and_missing_runs_are_named(folder: Path) -> None:
    states = ("finished", "failed", "diverged", "")
    put(folder / "sweep", states)
    code, _ = report(folder, "sweep")
    assert code == 0
    text = read(folder / "sweep" / "report.html").text
    assert "3 runs did not finish" in text
    assert "1 of 4 runs" in text
    for name, why in (("run 1", "failed after 7"), ("run 2", "diverged"), ("run 3", "not started")):
        assert re.search(rf"{name}[^:]*: {why}", text)


@pytest.mark.parametrize("states", [("failed", ""), ("", "")])
def test_a_sweep_without_any_finished_run(folder: Path, states: tuple[str, ...]) -> None:
    put(folder / "sweep", states)
    code, _ = report(folder, "sweep")
    assert code == 0
    page = read(folder / "sweep" / "report.html")
    assert "None of 2 runs has finished." in page.text
    assert "run 1: not started yet" in page.text
    assert page.pictures == []


def test_the_latest_sweep_if_none_is_named(folder: Path) -> None:
    for number in (1, 2):
        put(folder / "multirun" / "d" / str(number), id=f"{number}" * 8, created=str(number))
    assert report(folder)[0] == 0
    assert (folder / "multirun" / "d" / "2" / "report.html").is_file()
    assert not (folder / "multirun" / "d" / "1" / "report.html").exists()


def test_several_sweeps_on_one_page(folder: Path) -> None:
    put(folder / "one", id="1" * 8)
    put(folder / "two", ("", ""), id="2" * 8)
    code, out = report(folder, "one", "two")
    assert (code, out.strip()) == (0, f"Written: {folder / 'report.html'}")
    page = read(folder / "report.html")
    assert page.tags["section"] == 2
    assert not (folder / "one" / "report.html").exists()


def test_a_file_of_ones_own(sweep: Manifest, folder: Path) -> None:
    path = folder / "deep" / "down" / "x.html"
    assert report(folder, "sweep", output=path)[0] == 0
    read(path)
    assert not (sweep.folder / "report.html").exists()


def test_a_place_that_cannot_be_written_to(
    sweep: Manifest, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("")
    assert main(["report", "sweep", "--output", str(folder / "file" / "x.html")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {folder / 'file'} cannot be made")
    assert main(["report", "sweep", "--output", str(folder)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(GsnrError):
        report(folder, "sweep", output=Path("/proc/x/y.html"))


def test_a_sweep_that_there_is_not(
    sweep: Manifest, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "sweep", "xyz"]) == 1
    assert "There is no sweep 'xyz'" in capsys.readouterr().err
    assert not (folder / "report.html").exists()


def test_a_name_with_markup_is_printed_as_it_is(folder: Path) -> None:
    put(folder / "a [red] sweep", name="<b> & [red]")
    code, out = report(folder, "a [red] sweep")
    assert code == 0
    assert "a [red] sweep" in out
    assert "<b> & [red]" in read(folder / "a [red] sweep" / "report.html").text


def test_a_sweep_of_which_something_unforeseen_was_measured_has_a_page(folder: Path) -> None:
    """The measures of its experiment were replaced."""
    manifest = put(folder / "sweep")
    for run in manifest.runs:
        record = make_run({"other": 1.0})
        put_record(manifest.folder_of(run), config=record.config, measurements=record.measurements)
    assert report(folder, "sweep")[0] == 0
    assert "gsnr_curves needs gsnr_mean" in read(manifest.folder / "report.html").text


# --- with a tracking store


@pytest.fixture
def tracked(store: MlflowClient, folder: Path) -> Manifest:
    number = store.create_experiment("tests", (folder / "mlartifacts").as_uri())
    tags = {"gsnr.kind": "sweep"}
    parent = store.create_run(number, tags=tags, run_name="a sweep").info.run_id
    return put(
        folder / "sweep", uri=store.tracking_uri, parent_run_id=parent, launch_folder=str(folder)
    )


def artifacts(store: MlflowClient, run_id: str) -> set[str]:
    return {file.path for file in store.list_artifacts(run_id)}


def test_the_page_is_with_the_sweeps_run(
    tracked: Manifest, store: MlflowClient, folder: Path
) -> None:
    for _ in range(2):
        assert report(folder, "sweep")[0] == 0
    assert artifacts(store, tracked.parent_run_id) == {"report.html"}
    fetched = store.download_artifacts(tracked.parent_run_id, "report.html", str(folder))
    assert Path(fetched).read_text() == (tracked.folder / "report.html").read_text()


def test_the_page_has_one_name_in_mlflow_whatever_the_file_is_called(
    tracked: Manifest, store: MlflowClient, folder: Path
) -> None:
    assert report(folder, "sweep", output=folder / "x.html")[0] == 0
    assert artifacts(store, tracked.parent_run_id) <= {"report.html"}


def test_a_page_on_several_sweeps_does_not_replace_that_on_one(
    tracked: Manifest, store: MlflowClient, folder: Path
) -> None:
    report(folder, "sweep")
    put(folder / "other", id="2" * 8)
    report(folder, "sweep", "other")
    fetched = store.download_artifacts(tracked.parent_run_id, "report.html", str(folder / "sweep"))
    assert Page(Path(fetched).read_text()).tags["section"] == 1


def test_a_store_that_does_not_answer(tracked: Manifest, folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"garbage" * 1000)
    code, out = report(folder, "sweep")
    assert code == 1
    assert "Not added to MLflow: The tracking store" in out
    read(tracked.folder / "report.html")


def test_a_sweep_that_only_mlflow_has(store: MlflowClient, folder: Path) -> None:
    number = store.create_experiment("tests", (folder / "mlartifacts").as_uri())
    tags = {
        **{"gsnr.kind": "sweep", "gsnr.command": "python launch.py -m x=1,2"},
        "gsnr.preset": json.dumps(PRESET | {"scale": "laptop"}),
    }
    parent = store.create_run(number, tags=tags, run_name="far away").info.run_id
    for seed in (0, 1):
        child = {"gsnr.kind": "run", "mlflow.parentRunId": parent}
        run_id = store.create_run(number, tags=child, run_name=f"run {seed}").info.run_id
        record = make_run({"gsnr_mean": GSNR}, seed=seed)
        store.log_artifact(run_id, str(record.write(folder)))
        store.set_terminated(run_id)
    (folder / "record.json").unlink()
    for wanted in ("far away", parent, parent[:8]):
        code, out = report(folder, wanted)
        assert code == 0
        path = folder / "aggregate" / "far-away" / "report.html"
        assert f"Written: {path}" in out
        text = read(path).text
        assert "fig5_gsnr_curves, laptop scale" in text
        assert "python launch.py -m x=1,2" in text
        assert "2 of 2 runs" in text
        path.unlink()
    assert artifacts(store, parent) == {"report.html"}


def test_of_two_sweeps_of_a_name_neither_is_taken(
    store: MlflowClient, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = store.create_experiment("tests", (folder / "mlartifacts").as_uri())
    for _ in range(2):
        store.create_run(number, tags={"gsnr.kind": "sweep"}, run_name="twice")
    assert main(["report", "twice"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
