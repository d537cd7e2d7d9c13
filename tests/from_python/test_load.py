"""Results are read back from folders and from MLflow, the same ones."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

import gsnr_sweep
from gsnr_sweep import GsnrError, RunRecord, Sweep
from tests.from_python.conftest import process_state, working_in

Launched = tuple[Path, Path]


@pytest.fixture
def sweep(here: Path, launched: Launched) -> Sweep:
    found = gsnr_sweep.load(launched[1])
    assert isinstance(found, Sweep)
    return found


def test_a_sweep_is_its_table_and_records(sweep: Sweep) -> None:
    assert sweep.table["n"].tolist() == [30, 30, 30, 40, 40, 40]
    assert [run.config["n"] for run in sweep.runs] == [30, 40]
    assert sweep.left_out == ()
    values = [m.metrics["osgr_lhs"] for run in sweep.runs for m in run.measurements]
    assert sweep.table["osgr_lhs"].tolist() == values


def test_its_figure_shows_each_run(sweep: Sweep) -> None:
    figure = sweep.figure()
    panels = [axes for axes in figure.axes if axes.collections]
    points = [sum(len(c.get_offsets()) for c in axes.collections) for axes in panels]
    assert len(panels) == 3  # epochs
    assert min(points) >= 2


def test_its_statistics_are_those_of_the_table(sweep: Sweep) -> None:
    assert sorted(sweep.statistics()) == sorted(set(sweep.table["epoch"]))
    with pytest.raises(GsnrError, match=r"no metric 'nix'\. There is: train_loss"):
        sweep.statistics("nix")


def test_its_report_is_a_page(sweep: Sweep, tmp_path: Path) -> None:
    before = process_state()
    path = sweep.report(tmp_path / "page.html")
    assert process_state() == before
    assert path == tmp_path / "page.html"
    assert sweep.name in path.read_text()


def test_an_unknown_figure(sweep: Sweep) -> None:
    with pytest.raises(GsnrError, match="nix"):
        sweep.figure("nix")


def test_what_names_a_sweep(sweep: Sweep, launched: Launched) -> None:
    before = process_state()
    names = [str(launched[1]), launched[1] / "sweep.json", sweep.mlflow_run_id, sweep.name]
    for name in names:
        assert name is not None
        found = gsnr_sweep.load(name)
        assert isinstance(found, Sweep)
        assert found.folder == launched[1]
        assert found.runs == sweep.runs
    assert process_state() == before


def test_what_names_a_run(sweep: Sweep, launched: Launched) -> None:
    run_id = str(sweep.table["run_id"].iloc[-1])
    uri = f"sqlite:///{launched[0]}/mlflow.db"
    with working_in(launched[1]):  # where there is no store
        for source, store in (("1", None), (Path("1/record.json"), None), (run_id, uri)):
            found = gsnr_sweep.load(source, store)
            assert isinstance(found, RunRecord)
            assert found == sweep.runs[1]


def test_the_store_named_in_the_environment(
    sweep: Sweep, launched: Launched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = str(sweep.table["run_id"].iloc[0])
    with working_in(tmp_path):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{launched[0]}/mlflow.db")
        assert gsnr_sweep.load(run_id) == sweep.runs[0]


def test_a_sweep_of_which_only_mlflow_is_left(sweep: Sweep, tmp_path: Path) -> None:
    for name in ("mlflow.db", "mlartifacts"):
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy
        copy(name, tmp_path / name)
    assert sweep.mlflow_run_id is not None
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.set_tag(sweep.mlflow_run_id, "gsnr.folder", str(tmp_path / "gone"))
    with working_in(tmp_path):
        found = gsnr_sweep.load(sweep.mlflow_run_id)
        assert isinstance(found, Sweep)
        assert found.folder is None
        both = [
            table.sort_values(["n", "epoch"], ignore_index=True)
            for table in (found.table, sweep.table)
        ]
        pd.testing.assert_frame_equal(*both)
        assert found.report().is_file()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "give a folder, the id of an MLflow run, or a sweep's id"),
        ("nix", "There is no sweep 'nix'"),
        ("f" * 32, f"There is no sweep '{'f' * 32}'"),
        (f"no{os.sep}where", "There is no folder no/where"),
        ("empty", "empty holds neither a run .record.json. nor a sweep .sweep.json."),
        ("broken", "broken, but its record cannot be read"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{")
    with working_in(tmp_path), pytest.raises(GsnrError, match=told):
        gsnr_sweep.load(source)


def test_an_mlflow_run_of_somebody_else(store: MlflowClient) -> None:
    run = store.create_run("0")
    with pytest.raises(GsnrError, match="is neither a run nor a sweep of gsnr-sweep"):
        gsnr_sweep.load(run.info.run_id)
