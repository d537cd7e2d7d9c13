"""Reading a sweep back from its folder, and from MLflow where runs of earlier launches are."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gsnr_sweep.analysis.read_folder import read_folder
from gsnr_sweep.analysis.table import SweepTable, read_sweep
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest, SweepRun
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.tracking.query import find_parent
from tests.conftest import tiny_config
from tests.fakes import METRICS, put_record, put_run, put_sweep


def _record(folder: Path, seed: int, state: str = "finished", **fields: object) -> RunRecord:
    cfg = tiny_config(f"seed={seed}")
    values = {name: value + seed for name, value in METRICS.items()}
    measured = [Measurement(epoch, values) for epoch in (0, 2)]
    known = {"state": state, "measurements": measured, "name": f"run {seed}"}
    return put_record(folder, cfg, **{**known, **fields})


def _put(manifest: Manifest, index: int, state: str = "finished", **fields: object) -> None:
    folder = manifest.folder_of(manifest.runs[index])
    put_run(folder, state, run_id=f"{index}" * 32)
    _record(folder, index, state, **fields)


def _seeds(table: SweepTable) -> list[int]:
    return [int(seed) for seed in table.frame.drop_duplicates("config_hash")["seed"]]


def _left_out(table: SweepTable) -> dict[str, str]:
    return {left.name: left.reason for left in table.left_out}


@pytest.fixture
def sweep(tmp_path: Path) -> Manifest:
    manifest = put_sweep(tmp_path / "d" / "sweep", 4, parent_run_id="p" * 32)
    for index in range(4):
        _put(manifest, index)
    return manifest


def test_everything_is_in_the_table(sweep: Manifest) -> None:
    table = read_folder(sweep)
    assert (table.name, table.parent_id, table.runs) == ("digits sweep", "p" * 32, 4)
    assert _seeds(table) == [0, 1, 2, 3]
    assert len(table.frame) == 8
    assert list(table.frame["epoch"][:2]) == [0, 2]
    assert set(table.frame["run_id"]) == {f"{i}" * 32 for i in range(4)}
    assert table.frame["osgr_lhs"].iloc[-1] == METRICS["osgr_lhs"] + 3
    assert set(METRICS) <= set(table.metrics)
    assert table.left_out == ()


def test_a_sweep_without_a_store_has_no_parent(sweep: Manifest) -> None:
    sweep.parent_run_id = ""
    assert read_folder(sweep).parent_id is None


def test_what_is_left_out_and_why(sweep: Manifest) -> None:
    _put(sweep, 0, "failed")
    _put(sweep, 1, "running")
    (sweep.folder / "2" / "record.json").write_text("{")
    (sweep.folder / "3" / "record.json").unlink()
    sweep.runs.append(SweepRun(4, "run 4", "h", folder="4"))
    _record(sweep.folder / "4", 4, measurements=[])
    table = read_folder(sweep)
    assert table.runs == 0
    found = _left_out(table)
    assert found["run 0"] == "failed after 2 measured epochs"
    assert "still running" in found["run 1"]
    assert "cannot be read" in found["run 2"]
    assert found["run 3"] == "not started yet"
    assert found["run 4"] == "finished without a single measurement"


@pytest.mark.parametrize("action", ["reuse", "elsewhere"])
def test_runs_of_earlier_launches_are_read_where_they_are(sweep: Manifest, action: str) -> None:
    (sweep.folder / "1").rename(sweep.folder.parent / "old")
    sweep.runs[1].action, sweep.runs[1].folder = action, "../old"
    table = read_folder(sweep)
    assert _seeds(table) == [0, 1, 2, 3]


def test_a_run_that_is_asked_for_twice_counts_once(sweep: Manifest) -> None:
    sweep.runs.append(SweepRun(4, "run 4", "hash0", action="repeat", folder="0"))
    table = read_folder(sweep)
    assert (table.runs, _left_out(table)) == (4, {})


def test_a_reused_run_whose_record_is_gone(sweep: Manifest) -> None:
    sweep.runs[1].action, sweep.runs[1].folder = "reuse", "../gone"
    sweep.runs[2].action, sweep.runs[2].folder, sweep.runs[2].run_id = "reuse", "", "a" * 32
    table = read_folder(sweep)
    assert _seeds(table) == [0, 3]
    assert _left_out(table) == dict.fromkeys(("run 1", "run 2"), "its record is not to be found")


# --- from MLflow


def _stored(store: MlflowClient, folder: Path, seed: int, experiment: str = "0") -> str:
    run = store.create_run(experiment, run_name=f"run {seed}", tags={"gsnr.kind": "run"})
    _record(folder / "upload", seed)
    store.log_artifact(run.info.run_id, str(folder / "upload" / "record.json"))
    store.set_terminated(run.info.run_id)
    return str(run.info.run_id)


@pytest.fixture
def experiment(store: MlflowClient, folder: Path) -> str:
    return str(store.create_experiment("tests", (folder / "mlartifacts").as_uri()))


def test_a_reused_run_that_only_mlflow_has(
    sweep: Manifest, store: MlflowClient, folder: Path, experiment: str
) -> None:
    run_id = _stored(store, folder, 7, experiment)
    sweep.runs[1].action, sweep.runs[1].folder, sweep.runs[1].run_id = "reuse", "", run_id
    sweep.runs[2].action, sweep.runs[2].folder, sweep.runs[2].run_id = "reuse", "", "f" * 32
    table = read_folder(sweep, store)
    assert _seeds(table) == [0, 7, 3]
    assert list(table.frame["run_id"])[2] == run_id
    assert _left_out(table)["run 2"].startswith("its record could not be fetched: ")


def _parent(
    store: MlflowClient, folder: Path, experiment: str, name: str, runs: list[SweepRun] | None
) -> str:
    tags = {"gsnr.kind": "sweep"}
    parent = str(store.create_run(experiment, run_name=name, tags=tags).info.run_id)
    if runs is not None:
        manifest = put_sweep(folder / "to send", runs=runs)
        store.log_artifact(parent, str(manifest.folder / "sweep.json"))
    return parent


def _child(store: MlflowClient, folder: Path, experiment: str, parent: str, seed: int) -> str:
    run_id = _stored(store, folder, seed, experiment)
    store.set_tag(run_id, "mlflow.parentRunId", parent)
    return run_id


def test_a_sweep_in_mlflow_has_the_runs_that_it_reuses(
    store: MlflowClient, folder: Path, experiment: str
) -> None:
    """Nothing of it is on this machine."""
    old = [_stored(store, folder, seed, experiment) for seed in (1, 2)]
    runs = [
        SweepRun(0, "run 1", "h1", action="reuse", run_id=old[0]),
        SweepRun(1, "run 3", "h3", folder="1"),
        SweepRun(2, "run 2", "h2", action="repeat", run_id=old[1]),
        SweepRun(3, "run 9", "h9", action="reuse", folder="../untracked"),
    ]
    parent = _parent(store, folder, experiment, "new sweep", runs)
    own = _child(store, folder, experiment, parent, 3)
    table = read_sweep(store, parent)
    assert sorted(set(table.frame["run_id"])) == sorted([old[0], own])


def test_a_sweep_that_reuses_everything(
    store: MlflowClient, folder: Path, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsnr_sweep.tracking.query.IDS_AT_ONCE", 2)
    old = [_stored(store, folder, seed, experiment) for seed in range(5)]
    runs = [SweepRun(i, "", "", action="reuse", run_id=run) for i, run in enumerate(old)]
    parent = _parent(store, folder, experiment, "new sweep", runs)
    assert set(read_sweep(store, parent).frame["run_id"]) == set(old)


@pytest.mark.parametrize("content", [None, "{", '{"schema": 99}'])
def test_a_sweep_of_another_version(
    store: MlflowClient, folder: Path, experiment: str, content: str | None
) -> None:
    parent = _parent(store, folder, experiment, "old sweep", None)
    own = _child(store, folder, experiment, parent, 3)
    if content is not None:
        (folder / "sweep.json").write_text(content)
        store.log_artifact(parent, str(folder / "sweep.json"))
    assert set(read_sweep(store, parent).frame["run_id"]) == {own}


def test_a_sweep_without_any_run(store: MlflowClient, folder: Path, experiment: str) -> None:
    parent = _parent(store, folder, experiment, "new sweep", [])
    with pytest.raises(GsnrError, match="has no runs yet"):
        read_sweep(store, parent)


def test_finding_the_parent_run(store: MlflowClient, folder: Path, experiment: str) -> None:
    first = _parent(store, folder, experiment, "one", None)
    second = _parent(store, folder, experiment, "two", None)
    child = _child(store, folder, experiment, first, 3)
    for wanted in (first, first[:12], first[:12].upper(), "one"):
        found = find_parent(store, wanted)
        assert found is not None
        assert found.info.run_id == first
    for wanted in (child, "run 3", "three", ""):
        assert find_parent(store, wanted) is None
    store.set_tag(second, "mlflow.runName", "one")
    assert find_parent(store, "one") is None  # which of them?


def test_a_manifest_says_all_that_is_needed_elsewhere(sweep: Manifest) -> None:
    """It is sent as it is: it names no folder of this machine for the sweep itself."""
    content = json.loads((sweep.folder / "sweep.json").read_text())
    assert "folder" not in content
    assert [run["folder"] for run in content["runs"]] == ["0", "1", "2", "3"]
