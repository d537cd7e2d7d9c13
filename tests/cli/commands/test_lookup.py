"""Finding a sweep by whatever its user has at hand."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from gsnr_sweep.cli.commands.lookup import all_sweeps, find_sweep
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import Manifest
from tests.fakes import listing, put_sweep

DAY = "multirun/2026-11-20"


def _put(folder: Path, place: str, **fields: object) -> Manifest:
    number = len(list(folder.rglob("sweep.json")))
    known = {
        "id": f"{number}a1b2c3d",
        "name": f"sweep {number}",
        "created": f"2026-11-20T0{number}:00:00+00:00",
        "parent_run_id": f"{number}a1b2c3d" + 24 * "e",
    }
    return put_sweep(folder / place, **{**known, **fields})  # type: ignore[arg-type]


def _told(wanted: str | None, here: Path) -> str:
    with pytest.raises(GsnrError) as refusal:
        find_sweep(wanted, here)
    return str(refusal.value)


@pytest.fixture
def three(folder: Path) -> list[Manifest]:
    return [_put(folder, f"{DAY}/0{i}-00-00.0") for i in range(3)]


@pytest.mark.parametrize(
    "wanted",
    ["1a1b2c3d", "1a1", "1A1B", "1", "sweep 1", "1a1b2c3d" + 24 * "e", f"{DAY}/01-00-00.0"],
    ids=["id", "start", "capitals", "digit", "name", "run id", "folder"],
)
def test_whatever_is_at_hand(three: list[Manifest], folder: Path, wanted: str) -> None:
    assert find_sweep(wanted, folder) == three[1]


def test_the_latest_if_none_is_named(three: list[Manifest], folder: Path) -> None:
    assert find_sweep(None, folder) == three[2]
    assert all_sweeps(folder) == three
    for manifest in three:
        manifest.created = "same"
        manifest.write()
    assert find_sweep(None, folder) == three[2]


@pytest.mark.parametrize("place", [".", "mine", f"{DAY}/x", f"{DAY}/x/from-20"])
def test_where_sweeps_lie(folder: Path, place: str) -> None:
    manifest = _put(folder, place)
    found = find_sweep(None, folder)
    assert found.folder.resolve() == (folder / place).resolve()
    assert find_sweep(manifest.id, folder).name == "sweep 0"


def test_a_folder_elsewhere(folder: Path, tmp_path: Path) -> None:
    manifest = _put(tmp_path, "far/away/from/here/it/is")
    here = tmp_path / "here"
    here.mkdir()
    assert find_sweep(str(manifest.folder), here) == manifest


def test_more_than_one(three: list[Manifest], folder: Path) -> None:
    for manifest in three[:2]:
        manifest.name = "the same"
        manifest.write()
    told = _told("the same", folder)
    assert told.startswith("2 sweeps are called the same:")
    for manifest in three[:2]:
        assert manifest.id in told
        assert str(manifest.folder) in told
    assert three[2].id not in told


def test_a_start_that_fits_more_than_one(folder: Path) -> None:
    ids = ["abc1", "abc2"]
    for index, name in enumerate(ids):
        _put(folder, f"{DAY}/{index}", id=name, parent_run_id="")
    assert all(name in _told("abc", folder) for name in ids)
    assert find_sweep("abc2", folder).id == "abc2"


def test_unknown(three: list[Manifest], folder: Path) -> None:
    told = _told("xyz", folder)
    assert told.startswith("There is no sweep 'xyz' in ")
    assert all(manifest.id in told for manifest in three)
    assert told.index(three[2].id) < told.index(three[0].id)  # the latest first
    assert listing(folder).keys() & {"mlflow.db"} == set()


def test_a_long_list_is_cut(folder: Path) -> None:
    for index in range(8):
        _put(folder, f"{DAY}/{index}")
    told = _told("xyz", folder)
    assert told.count("\n  ") == 6
    assert "and 3 more" in told


def test_none_at_all(folder: Path) -> None:
    assert _told(None, folder).startswith("There is no sweep in ")
    assert _told("xyz", folder).endswith("start this in the folder of its launch.")
    assert all_sweeps(folder) == []


def test_what_cannot_be_read_is_passed_over(three: list[Manifest], folder: Path) -> None:
    (three[2].folder / "sweep.json").write_text("{")
    assert find_sweep(None, folder) == three[1]
    assert "is not the manifest" in _told(str(three[2].folder), folder)


# --- by the tracking store


def _tracked(store: MlflowClient, name: str, folder: Path | None, kind: str = "sweep") -> str:
    tags = {"gsnr.kind": kind} | ({"gsnr.folder": str(folder)} if folder else {})
    return str(store.create_run("0", run_name=name, tags=tags).info.run_id)


def test_a_sweep_that_lies_elsewhere(store: MlflowClient, folder: Path) -> None:
    manifest = put_sweep(folder / "far" / "away" / "sweep")
    run_id = _tracked(store, "far sweep", manifest.folder)
    _tracked(store, "another", folder / "gone")
    for wanted in (run_id, run_id[:8], run_id[:8].upper(), "far sweep"):
        assert find_sweep(wanted, folder) == manifest


def test_another_store(store: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = put_sweep(folder / "far" / "away" / "sweep")
    _tracked(store, "far sweep", manifest.folder)
    here = folder / "here"
    here.mkdir()
    assert "There is no sweep" in _told("far sweep", here)
    assert find_sweep("far sweep", here, store.tracking_uri) == manifest
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    assert find_sweep("far sweep", here) == manifest


@pytest.mark.parametrize("case", ["twice", "no folder", "gone", "no sweep"])
def test_what_the_store_cannot_tell(store: MlflowClient, folder: Path, case: str) -> None:
    place = put_sweep(folder / "far" / "away" / "sweep").folder
    if case == "twice":
        _tracked(store, "far sweep", place)
    known = {"no folder": None, "gone": folder / "gone"}
    kind = "run" if case == "no sweep" else "sweep"
    _tracked(store, "far sweep", known.get(case, place), kind)
    assert "There is no sweep 'far sweep'" in _told("far sweep", folder)


def test_a_broken_store_is_said_to_be(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"garbage" * 1000)
    assert "cannot be used" in _told("xyz", folder)
