"""Ids of runs by SQL are those that MLflow finds."""

from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from gsnr_sweep.tracking import run_ids
from gsnr_sweep.tracking.query import PARENT_TAG, runs_by_id, search_runs
from gsnr_sweep.tracking.run_ids import of_parent, present

Ids = tuple[str, list[str], str]


@pytest.fixture
def ids(store: MlflowClient) -> Ids:
    """An experiment, the ids of its runs, the last deleted, and one of another experiment."""
    mine, other = store.create_experiment("mine"), store.create_experiment("other")

    def run(experiment: str, parent: str = "p") -> str:
        return str(store.create_run(experiment, tags={PARENT_TAG: parent}).info.run_id)

    found = [run(mine) for _ in range(3)] + [run(mine, "q"), run(mine)]
    store.delete_run(found[-1])
    return mine, found, run(other)


@pytest.fixture(params=["sql", "mlflow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By SQL, or by MLflow where the schema is another one."""
    if request.param == "mlflow":
        for name in ("_PRESENT", "_OF_PARENT"):
            monkeypatch.setattr(run_ids, name, "SELECT {} FROM tables_to_come WHERE ? ? ?")


@pytest.mark.usefixtures("way")
def test_those_that_are_there(store: MlflowClient, ids: Ids) -> None:
    experiment, mine, elsewhere = ids
    asked = [*mine, elsewhere, "0" * 32]
    assert present(store, experiment, asked) == set(mine[:-1])
    assert {r.info.run_id for r in runs_by_id(store, experiment, asked)} == set(mine[:-1])
    assert present(store, experiment, []) == set()
    assert present(store, experiment, [mine[0], *map(str, range(1200))]) == {mine[0]}


@pytest.mark.usefixtures("way")
def test_those_of_a_parent(store: MlflowClient, ids: Ids) -> None:
    experiment, mine, _ = ids
    assert of_parent(store, experiment, "p") == set(mine[:3])
    found = search_runs(store, [experiment], f"tags.`{PARENT_TAG}` = 'p'")
    assert {run.info.run_id for run in found} == set(mine[:3])
    assert of_parent(store, experiment, "nobody") == set()


def test_a_file_is_asked_without_mlflow(
    store: MlflowClient, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("MLflow was asked")

    forbidden: Callable[..., None] = never
    monkeypatch.setattr(run_ids, "runs_by_id", forbidden)
    monkeypatch.setattr(run_ids, "search_runs", forbidden)
    experiment, mine, _ = ids
    assert present(store, experiment, mine) == set(mine[:-1])
    assert of_parent(store, experiment, "q") == {mine[3]}
