"""The view of a sweep: what it says, read as MLflow's interface does; whom it may not disturb."""

import base64
import hashlib
import json
import logging
import re
import zlib
from pathlib import Path
from urllib.parse import parse_qs

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import SweepRun
from gsnr_sweep.tracking import prepared_view
from gsnr_sweep.tracking.prepared_view import (
    COMPRESSED,
    VIEW_TAG,
    PreparedView,
    page_address,
    prepare_view,
    where_to_browse,
)
from tests.fakes import put_sweep

SCRIPTS = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"


def read(tag: str) -> tuple[str, dict]:
    """The name and the state of a view; of one that is on no list no name."""
    content = json.loads(tag) if tag.startswith("{") else {"name": "", "state": tag}
    assert content["state"].startswith(COMPRESSED)
    packed = base64.b64decode(content["state"].removeprefix(COMPRESSED))
    return content["name"], json.loads(zlib.decompress(packed))


def put_parent(store: MlflowClient, name: str = "a sweep", grid: str = "{}") -> str:
    tags = {"gsnr.kind": "sweep", "gsnr.grid": grid}
    return store.create_run("0", run_name=name, tags=tags).info.run_id


def put_child(store: MlflowClient, parent: str) -> str:
    tags = {"gsnr.kind": "run", "mlflow.parentRunId": parent}
    return store.create_run("0", tags=tags).info.run_id


def found(store: MlflowClient, condition: str) -> set[str]:
    return {run.info.run_id for run in store.search_runs(["0"], condition)}


def views(store: MlflowClient) -> dict[str, str]:
    tags = store.get_experiment("0").tags
    return {k.removeprefix(VIEW_TAG): v for k, v in tags.items() if k.startswith(VIEW_TAG)}


def test_the_installed_interface_knows_what_a_view_says() -> None:
    """An upgrade of MLflow that renames something must be looked at in a browser."""
    told = "".join(path.read_text() for path in SCRIPTS.glob("*.js"))
    state = PreparedView("a" * 32).state()
    words = {VIEW_TAG, COMPRESSED, "viewStateShareKey", "compareRunsMode", "machine_learning"}
    words |= state.keys() | {"SHOW_ALL", "All Runs", "runDateAndNestInfo", "Model metrics"}
    words |= {key for chart in state["compareRunCharts"] for key in chart}
    words |= {key for section in state["compareRunSections"] for key in section}
    assert {word for word in words if word not in told} == set()


def test_runs_columns_and_charts(store: MlflowClient) -> None:
    grid = "{'n': ['1', '2'], 'data': ['toy', 'digits'], '+data.args.turns': ['1', '3']}"
    parent = put_parent(store, "my sweep", grid)
    children = {put_child(store, parent) for _ in range(3)}
    put_child(store, put_parent(store, "another"))
    key = prepare_view(store, parent)
    name, state = read(views(store)[key])
    assert name == "my sweep"
    assert found(store, state["searchFilter"]) == children
    columns = state["selectedColumns"]
    assert columns[:2] == ["params.`n`", "params.`data.name`"]
    assert columns[2:6] == [
        f"params.`{name}`" for name in ("data.args.turns", "p_random", "ch", "seed")
    ]
    metrics = ("osgr_lhs", "osgr_rhs", "osgr_lhs_se", "osgr_rhs_se")
    assert set(columns) > {f"metrics.`{name}`" for name in metrics}
    charts = state["compareRunCharts"]
    scatter = charts[0]
    assert (scatter["type"], scatter["xaxis"]["key"], scatter["yaxis"]["key"]) == (
        *("SCATTER", "osgr_rhs"),
        "osgr_lhs",
    )
    lines = {chart["metricKey"] for chart in charts if chart["type"] == "LINE"}
    assert lines == {"osgr_lhs", "osgr_rhs", "gsnr_mean"}
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    unfolded = {s["uuid"] for s in state["compareRunSections"] if s["display"]}
    assert {chart["metricSectionId"] for chart in charts} == unfolded
    assert state["runsHiddenMode"] == "SHOW_ALL"


@pytest.mark.parametrize("saved", [True, False])
def test_what_somebody_saved_over_it_stays(store: MlflowClient, saved: bool) -> None:
    parent = put_parent(store)
    key = prepare_view(store, parent)
    content = json.loads(views(store)[key]) | {"state": PreparedView("b" * 32).packed()}
    content["updatedAt"] += saved
    store.set_experiment_tag("0", f"{VIEW_TAG}{key}", json.dumps(content))
    assert prepare_view(store, parent) == key
    shown = read(views(store)[key])[1]["searchFilter"]
    assert ("b" * 32 in shown, parent in shown) == (saved, not saved)


def test_a_view_that_nobody_can_read_stays(store: MlflowClient) -> None:
    parent = put_parent(store)
    key = prepare_view(store, parent)
    for text in ("changed", "[]", "{}", '{"createdAt": 1, "updatedAt": 1, "state": "deflate;AA"}'):
        store.set_experiment_tag("0", f"{VIEW_TAG}{key}", text)
        assert prepare_view(store, parent) == key
        assert views(store) == {key: text}


def test_reused_runs_are_shown_too(store: MlflowClient, folder: Path) -> None:
    old = [put_child(store, put_parent(store, "before")) for _ in range(2)]
    parent = put_parent(store)
    new = put_child(store, parent)
    manifest = put_sweep(folder / "s", 1, parent_run_id=parent)
    manifest.runs += [SweepRun(1, "r", "h", action="reuse", run_id=old[0])]
    store.log_artifact(parent, str(manifest.write()))
    key = prepare_view(store, parent)
    _, state = read(views(store)[key])
    assert found(store, state["searchFilter"]) == {new, old[0]}
    later = put_child(store, parent)  # begun meanwhile
    prepare_view(store, parent)
    _, state = read(views(store)[key])
    assert found(store, state["searchFilter"]) == {new, old[0], later}
    assert {name for name in store.get_run(old[0]).data.tags if "gsnr" in name} == {"gsnr.kind"}


def test_people_can_still_save_views_of_their_own(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(1000))
    monkeypatch.setattr(prepared_view.time, "time", lambda: next(moments))
    store.set_experiment_tag("0", f"{VIEW_TAG}mine", '{"name": "mine"}')
    keys = [prepare_view(store, put_parent(store, f"sweep {i}")) for i in range(23)]
    there = views(store)
    assert there.pop("mine") == '{"name": "mine"}'
    assert there.keys() == set(keys)
    assert [read(there[key])[0] for key in keys] == [
        "",
        "",
        "",
        *(f"sweep {i}" for i in range(3, 23)),
    ]
    assert all(read(there[key])[1]["compareRunCharts"] for key in keys)


def test_a_store_that_refuses_it(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("read-only")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    with caplog.at_level(logging.WARNING):
        assert prepare_view(store, put_parent(store)) == ""
    assert "no view of sweep" in caplog.text
    assert "read-only" in caplog.text


@pytest.mark.parametrize("grid", ["", "{'n': ['1'", "[1, 2]", "nonsense(", "{" * 5000])
def test_a_grid_that_cannot_be_read(store: MlflowClient, grid: str) -> None:
    key = prepare_view(store, put_parent(store, grid=grid))
    assert read(views(store)[key])[1]["selectedColumns"][0] == "params.`n`"


def test_more_than_a_tag_can_hold(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = [hashlib.sha256(bytes(divmod(i, 256))).hexdigest()[:32] for i in range(2000)]
    with pytest.raises(GsnrError, match="1 axes and 2000 runs"):
        PreparedView("a" * 32, ("n",), names).listed_as("a sweep")
    assert len(PreparedView("a" * 32, ("n",), names[:600]).listed_as("a sweep")) <= 20_000
    assert len(PreparedView("a" * 32, ("n", "data.eta")).listed_as("x" * 999)) < 2500
    monkeypatch.setattr(prepared_view, "_LONGEST", 100)
    assert prepare_view(store, put_parent(store)) == ""
    assert "longer than 100 characters" in caplog.text


def test_the_address() -> None:
    address = page_address("http://127.0.0.1:5000/", "7", "gsnr-1")
    page, _, options = address.partition("?")
    assert page == "http://127.0.0.1:5000/#/experiments/7/runs"
    assert parse_qs(options) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "viewStateShareKey": ["gsnr-1"],
    }
    assert "Share" not in page_address("http://h", "7")


def test_only_a_server_has_an_address(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = put_parent(store)
    assert where_to_browse(store, parent) == ""
    uri = property(lambda _: "https://ann:secret@mlflow.example.org/team/")
    monkeypatch.setattr(MlflowClient, "tracking_uri", uri)
    address = where_to_browse(store, parent)
    assert address.startswith("https://mlflow.example.org/team/#/experiments/0/runs?")
    assert re.search(r"viewStateShareKey=gsnr-[0-9a-f]{16}$", address)
