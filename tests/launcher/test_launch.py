"""Real sweeps through ``python launch.py -m``: what they leave behind, and that numbers agree."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from gsnr_sweep.records.record import RunRecord
from gsnr_sweep.records.status import Status, read_status
from tests.conftest import TINY, Launched, launch, launch_here, read_csv

NAMES = [f"n=30 ch={ch} p={p}" for ch in (2, 3) for p in (0.0, 0.5)]
GRID = ("ch=2,3", "p_random=0,0.5")
EXPERIMENT = """\
# @package _global_
n: 30
n_sets: 2
n_test: 50
epochs: 2
measure_at: [0, 2]
hydra:
  launcher:
    workers: 1
  sweeper:
    params:
      ch: 2,3
      p_random: 0,0.5
"""
SINGLE = (*TINY, "ch=3", "p_random=0.5")
IDENTITY = ["run_id"]
Numbers = dict[str, list[tuple[int, dict[str, float], list[str]]]]


@dataclass(frozen=True)
class Sweep:
    """A sweep that is over, and what it left."""

    ended: Launched
    own: Path | None = None

    @property
    def folder(self) -> Path:
        if self.own is not None:
            return self.own
        (folder,) = self.ended.folder.glob("multirun/*/*")
        return folder

    @cached_property
    def records(self) -> list[RunRecord]:
        """The records on disk in the order of the grid."""
        paths = sorted(self.folder.glob("*/record.json"), key=lambda path: int(path.parent.name))
        return [RunRecord.read(path) for path in paths]

    @cached_property
    def statuses(self) -> list[Status]:
        found = [read_status(self.folder / str(i)) for i in range(len(self.records))]
        return [status for status in found if status is not None]

    @property
    def numbers(self) -> Numbers:
        return {record.name: _numbers(record) for record in self.records}

    @cached_property
    def table(self) -> pd.DataFrame:
        """The aggregate, without the columns that say which runs these were."""
        table = read_csv(self.folder / "table.csv")
        return table.drop(columns=IDENTITY)

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.ended.folder / 'mlflow.db'}")

    @cached_property
    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name("gsnr-sweep")
        return list(self.client.search_runs([experiment.experiment_id]))

    @property
    def parent(self) -> Run:
        (run,) = [run for run in self.runs if run.data.tags["gsnr.kind"] == "sweep"]
        return run

    @property
    def children(self) -> dict[str, Run]:
        found = {r.info.run_name: r for r in self.runs if r.data.tags["gsnr.kind"] == "run"}
        assert len(found) == len(self.runs) - 1
        return found

    def artifacts(self, run: Run) -> set[str]:
        return {file.path for file in self.client.list_artifacts(run.info.run_id)}


def _numbers(record: RunRecord) -> list[tuple[int, dict[str, float], list[str]]]:
    return [(m.epoch, m.metrics, m.nonfinite) for m in record.measurements]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Four runs in two workers that are the first to use their store."""
    folder = tmp_path_factory.mktemp("sweep")
    return Sweep(launch(folder, "-m", *TINY, *GRID, "hydra.launcher.workers=2"))


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The same four runs in one worker, as an experiment in a folder of the user's, untracked."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "own" / "experiment").mkdir(parents=True)
    (folder / "own" / "experiment" / "four.yaml").write_text(EXPERIMENT)
    return Sweep(
        launch_here(folder, "--config-dir", "own", "experiment=four", "-m", "tracking=none")
    )


# --- what a user sees


def test_a_sweep_shows_its_plan_its_runs_and_its_results(sweep: Sweep) -> None:
    assert (sweep.ended.code, sweep.ended.err) == (0, "")
    out = sweep.ended.out
    assert "plan: 4 runs" in out
    assert "ch ∈ {2, 3} × p_random ∈ {0, 0.5}" in out
    assert "2 processes of 1 thread" in out
    assert "(browse: python -m gsnr_sweep ui)" in " ".join(out.replace("│", " ").split())
    for name in NAMES:
        assert re.search(rf"\] {re.escape(name)}  \d+ (s|min)  epoch 2: LHS ", out)
    assert [f"[{i}/4]" in out for i in (1, 2, 3, 4)] == [True] * 4
    assert out.index("plan:") < out.index("[1/4]") < out.index("[4/4]") < out.index("Pearson")


def test_output_that_is_no_terminal_is_quiet(sweep: Sweep) -> None:
    assert "\x1b" not in sweep.ended.out
    assert "\r" not in sweep.ended.out
    assert "ETA" not in sweep.ended.out


# --- on disk


def test_every_run_has_its_folder(sweep: Sweep) -> None:
    for index, name in enumerate(NAMES):
        folder = sweep.folder / str(index)
        assert RunRecord.read(folder / "record.json").name == name
        assert {p.name for p in (folder / ".hydra").iterdir()} == {
            *("config.yaml", "hydra.yaml", "overrides.yaml"),
        }
        saved = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
        assert (saved["ch"], saved["p_random"]) == (2 + index // 2, 0.5 * (index % 2))
    assert [status.state for status in sweep.statuses] == ["finished"] * 4
    assert (sweep.folder / "multirun.yaml").is_file()


def test_nothing_else_is_left_in_the_working_folder(sweep: Sweep, again: Sweep) -> None:
    left = {path.name for path in sweep.ended.folder.iterdir()}
    assert left == {"multirun", "mlflow.db", "mlartifacts"}
    assert {path.name for path in again.ended.folder.iterdir()} == {"multirun", "own"}


def test_the_aggregate_lies_in_the_sweeps_folder(sweep: Sweep) -> None:
    names = {path.name for path in sweep.folder.iterdir()}
    assert {"table.csv", "table.parquet", "lhs_rhs.png", "lhs_rhs.pdf"} <= names
    rows = (sweep.folder / "table.csv").read_text().splitlines()
    assert len(rows) - 1 == 4 * 2  # runs × epochs


# --- in MLflow


def test_a_sweep_is_a_parent_with_a_child_for_each_point(sweep: Sweep) -> None:
    assert set(sweep.children) == set(NAMES)
    parent = sweep.parent
    assert re.fullmatch(r"digits sweep 20[-\d: ]+ \(ch × p_random\)", parent.info.run_name)
    assert parent.info.status == "FINISHED"
    for child in sweep.children.values():
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.data.tags["gsnr.runs"] == "4"
    command = parent.data.tags["gsnr.command"]
    assert "launch.py" in command
    assert "ch=2,3" in command


def test_the_parent_has_what_the_runs_share(sweep: Sweep) -> None:
    params = sweep.parent.data.params
    assert (params["n"], params["epochs"], params["data.name"]) == ("30", "2", "digits")
    assert not {"ch", "p_random"} & set(params)
    assert sweep.artifacts(sweep.parent)


def test_children_have_their_settings_their_code_and_their_machine(sweep: Sweep) -> None:
    for index, name in enumerate(NAMES):
        child = sweep.children[name]
        params, tags = child.data.params, child.data.tags
        assert (params["ch"], float(params["p_random"])) == (str(2 + index // 2), 0.5 * (index % 2))
        assert params["measures.functions.osgr_lhs"] == "gsnr_sweep.measures.osgr_lhs.osgr_lhs"
        assert tags["gsnr.config_hash"] == sweep.records[index].config_hash
        assert {"gsnr.host", "gsnr.device", "gsnr.python", "gsnr.version.torch"} <= set(tags)
        assert tags["gsnr.state"] == "finished"
    assert len({run.data.tags["gsnr.config_hash"] for run in sweep.children.values()}) == 4


def test_children_have_the_numbers_of_their_records(sweep: Sweep) -> None:
    for record in sweep.records:
        run = sweep.children[record.name]
        for name in ("osgr_lhs", "osgr_rhs", "train_loss", "p_same_sign"):
            history = sweep.client.get_metric_history(run.info.run_id, name)
            assert [(m.step, m.value) for m in history] == [
                (m.epoch, m.metrics[name]) for m in record.measurements
            ]
        assert run.data.metrics["run/wall_time_s"] > 0
        assert run.data.metrics["run/train_samples_per_s"] > 0


def test_children_have_their_files_and_their_data(sweep: Sweep) -> None:
    for record in sweep.records:
        run = sweep.children[record.name]
        assert {"record.json", "config.yaml"} <= sweep.artifacts(run)
        local = sweep.client.download_artifacts(run.info.run_id, "record.json")
        assert RunRecord.read(Path(local)) == record
        contexts = {i.tags[0].value: i.dataset for i in run.inputs.dataset_inputs}
        assert set(contexts) == {"training", "testing"}
        assert all("digits" in dataset.name for dataset in contexts.values())


# --- the same numbers, whatever the way


def test_the_grid_gives_four_different_results(sweep: Sweep) -> None:
    values = {r.measurements[1].metrics["osgr_lhs"] for r in sweep.records}
    assert len(values) == 4


def test_one_worker_or_two_and_an_experiment_file_give_the_same_numbers(
    sweep: Sweep, again: Sweep
) -> None:
    assert (again.ended.code, again.ended.err) == (0, "")
    assert "1 process of 1 thread" in again.ended.out
    assert again.numbers == sweep.numbers


def test_an_untracked_sweep_says_so_and_is_aggregated_from_disk(sweep: Sweep, again: Sweep) -> None:
    assert "none: records on disk only" in again.ended.out
    assert "Logged to" not in again.ended.out
    pd.testing.assert_frame_equal(again.table, sweep.table, check_exact=True)


# --- the same command once more


@pytest.fixture(scope="module")
def once_more(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The command of the first sweep, and a fifth point, where that sweep's results are."""
    folder = tmp_path_factory.mktemp("once_more") / "moved"
    shutil.copytree(sweep.ended.folder, folder)
    first = set(folder.glob("multirun/*/*"))
    ended = launch_here(
        folder, "-m", *TINY, "ch=2,3,4", "p_random=0,0.5", "hydra.launcher.workers=1"
    )
    (second,) = set(folder.glob("multirun/*/*")) - first
    return Sweep(Launched(ended.code, ended.out, ended.err, folder), second)


def test_what_is_finished_is_reused(sweep: Sweep, once_more: Sweep) -> None:
    assert (once_more.ended.code, once_more.ended.err) == (0, "")
    assert "4 finished before" in " ".join(once_more.ended.out.split())
    assert "[2/2]" in once_more.ended.out
    assert [record.name for record in once_more.records] == [f"n=30 ch=4 p={p}" for p in (0.0, 0.5)]
    old = once_more.table[once_more.table["ch"] < 4]
    assert len(once_more.table) == 6 * 2
    pd.testing.assert_frame_equal(old.reset_index(drop=True), sweep.table, check_exact=True)


def test_what_is_reused_stays_as_it_is_in_mlflow(sweep: Sweep, once_more: Sweep) -> None:
    runs = {run.info.run_id: run for run in once_more.runs}
    kinds = [run.data.tags["gsnr.kind"] for run in runs.values()]
    assert (kinds.count("sweep"), kinds.count("run")) == (2, 6)
    for child in sweep.children.values():
        assert runs[child.info.run_id].data.tags == child.data.tags
        assert runs[child.info.run_id].data.metrics == child.data.metrics
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> list[Launched]:
    """One of the four runs launched alone, twice at the same time."""
    folder = tmp_path_factory.mktemp("single")
    shutil.copy(migrated_store, folder / "mlflow.db")
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(launch, folder, *SINGLE, "rerun=true") for _ in range(2)]
        return [run.result() for run in runs]


def _single(ended: Launched) -> RunRecord:
    """The record that a run names at its end."""
    return RunRecord.read(Path(ended.out.rpartition("record: ")[2].splitlines()[0]))


def test_a_run_launched_alone_gives_the_sweeps_numbers(
    sweep: Sweep, singles: list[Launched]
) -> None:
    assert [(ended.code, ended.err) for ended in singles] == [(0, "")] * 2
    first, second = map(_single, singles)
    assert _numbers(first) == _numbers(second) == _numbers(sweep.records[3])
    assert first.config_hash == sweep.records[3].config_hash


def test_runs_launched_in_the_same_second_have_folders_of_their_own(
    singles: list[Launched],
) -> None:
    assert len(list(singles[0].folder.glob("outputs/*/*/record.json"))) == 2


def test_a_run_launched_alone_shows_its_results(singles: list[Launched]) -> None:
    out = singles[0].out
    assert "plan: 1 run" in out
    assert "n=30 ch=3 p=0.5" in out
    assert "LHS (23)" in out
    lhs = _single(singles[0]).measurements[1].metrics["osgr_lhs"]
    assert f"{lhs:.3f} ± " in out
    assert "record: " in out
    assert "\x1b" not in out
    client = MlflowClient(f"sqlite:///{singles[0].folder / 'mlflow.db'}")
    experiment: Any = client.get_experiment_by_name("gsnr-sweep")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert all("mlflow.parentRunId" not in run.data.tags for run in runs)


def test_a_run_launched_alone_is_reused_the_next_time(singles: list[Launched]) -> None:
    """After the others: it counts on the folders that they leave."""
    before = set(singles[0].folder.glob("outputs/*/*/record.json"))
    again = launch_here(singles[0].folder, *SINGLE)
    assert (again.code, again.err) == (0, "")
    assert "Reused; rerun=true runs it again." in again.out
    assert _numbers(_single(again)) == _numbers(_single(singles[0]))
    assert set(singles[0].folder.glob("outputs/*/*/record.json")) == before
