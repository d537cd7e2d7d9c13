"""The manifest of a sweep: what is written is read back, and nothing else is taken for one."""

import json
import os
from pathlib import Path

import pytest

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import SWEEP_FILE, Manifest, SweepJob, SweepRun
from gsnr_sweep.records.reading import SMALL
from tests.fakes import put_sweep

RUNS = [
    SweepRun(0, "n=30", "feed", 12.5, "run", "0", resume_from="../old/3", resume_epoch=7),
    SweepRun(1, "n=40", "beef", 13.5, "reuse", "../old/4", "a" * 32, note="finished yesterday"),
    SweepRun(2, "n=40", "beef", 13.5, "repeat", "../old/4", "a" * 32),
    SweepRun(3, "n=50", "cafe", 1.0, "elsewhere", "../../other/1"),
]
JOBS = [SweepJob("12_0", [0], "here", 17.25), SweepJob("13", [0])]


def _manifest(folder: Path) -> Manifest:
    return put_sweep(
        folder,
        runs=list(RUNS),
        jobs=list(JOBS),
        created="2026-11-20T23:15:00+00:00",
        backend="slurm",
        experiment="tests",
        uri="sqlite:///x.db",
        parent_run_id="b" * 32,
        launch_folder="/some/where",
        max_retries=2,
    )


def test_everything_survives(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert manifest.write() == tmp_path / SWEEP_FILE
    assert [path.name for path in tmp_path.iterdir()] == [SWEEP_FILE]


def test_a_sweep_whose_folder_was_moved(tmp_path: Path) -> None:
    _manifest(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "other")
    moved = Manifest.read(tmp_path / "other")
    assert moved.folder == tmp_path / "other"
    assert str(tmp_path / "one") not in (tmp_path / "other" / SWEEP_FILE).read_text()
    assert moved.folder_of(moved.runs[0]) == tmp_path / "other" / "0"


def test_a_relative_folder_is_made_absolute(folder: Path) -> None:
    _manifest(folder / "sweep")
    assert Manifest.read(Path("sweep")).folder == folder / "sweep"


def test_where_runs_are(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path / "day" / "sweep")
    found = [manifest.folder_of(run) for run in manifest.runs]
    day = tmp_path / "day"
    assert found == [day / "sweep" / "0", day / "old/4", day / "old/4", tmp_path / "other/1"]


def test_an_earlier_run_is_found_through_a_link(tmp_path: Path) -> None:
    """Sweeps often lie on a large disk to which a link leads; ``..`` goes on from there."""
    real = tmp_path / "scratch" / "user" / "sweeps"
    (real / "now").mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    earlier = tmp_path / "outputs" / "earlier"
    earlier.mkdir(parents=True)
    relative = os.path.relpath(earlier.resolve(), (tmp_path / "link" / "now").resolve())
    manifest = Manifest("a", "b", tmp_path / "link" / "now")
    run = SweepRun(0, "", "", action="reuse", folder=relative)
    assert manifest.folder_of(run).resolve() == earlier.resolve()


def test_only_some_runs_are_computed_here(tmp_path: Path) -> None:
    assert _manifest(tmp_path).to_run() == RUNS[:1]


def test_the_stop_file_lies_in_the_sweeps_folder(tmp_path: Path) -> None:
    assert _manifest(tmp_path).stop_file == tmp_path / "stop"


def test_what_another_version_wrote_besides_is_left_out(tmp_path: Path) -> None:
    """Sweeps that an earlier one launched are still followed: their jobs say when they started."""
    path = _manifest(tmp_path).write()
    content = json.loads(path.read_text())
    content |= {"later": 1, "jobs": [{"id": "7", "runs": [0], "host": "here", "started": 1.5}]}
    path.write_text(json.dumps(content))
    (job,) = Manifest.read(tmp_path).jobs
    assert job == SweepJob("7", [0], "here", submitted=0.0, process="")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("schema"),
        lambda content: content.update(schema=2),
        lambda content: content.pop("runs"),
        lambda content: content.pop("id"),
        lambda content: content.update(runs=[{"index": 0}]),
        lambda content: content.update(jobs=[{"number": 0}]),
        lambda content: content.update(runs=3),
        lambda content: content.update(place=[3]),
    ],
    ids=["no version", "later", "no runs", "no id", "half run", "odd job", "number", "no place"],
)
def test_what_is_no_manifest(tmp_path: Path, change: object) -> None:
    _manifest(tmp_path)
    content = json.loads((tmp_path / SWEEP_FILE).read_text())
    change(content)  # type: ignore[operator]
    (tmp_path / SWEEP_FILE).write_text(json.dumps(content))
    with pytest.raises(GsnrError, match=r"sweep\.json is not the manifest of a sweep"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3", "\x00\xff"])
def test_what_is_no_json(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / SWEEP_FILE).write_bytes(content.encode("latin1"))
    with pytest.raises(GsnrError, match=r"sweep\.json is not the manifest of a sweep"):
        Manifest.read(tmp_path)


def test_a_sweep_of_many_runs(tmp_path: Path) -> None:
    """As many as a grid may have, whose manifest is larger than other files of ours may be."""
    manifest = _manifest(tmp_path)
    manifest.runs = [SweepRun(i, f"n={i} " + "x" * 200, "feed") for i in range(50_000)]
    assert manifest.write().stat().st_size > SMALL
    assert Manifest.read(tmp_path) == manifest
