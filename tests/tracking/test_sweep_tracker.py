"""What a sweep's own run in MLflow says of it: its description and its data sets."""

import pytest
from mlflow import MlflowClient

from gsnr_sweep.tracking.sweep_tracker import describe_sweep, first_note, log_data_of_sweep
from tests.tracking.test_data_sets import data


@pytest.fixture
def parent(store: MlflowClient) -> str:
    tags = {"gsnr.command": "python launch.py -m", "mlflow.note.content": "`python launch.py -m`"}
    return store.create_run("0", tags=tags).info.run_id


def note(store: MlflowClient, run_id: str) -> str:
    return store.get_run(run_id).data.tags["mlflow.note.content"]


def test_what_we_wrote_is_replaced(store: MlflowClient, parent: str) -> None:
    assert note(store, parent) == first_note("python launch.py -m")
    for text in ("**one**", "two", "two"):
        describe_sweep(store, parent, text)
        assert note(store, parent) == text


@pytest.mark.parametrize("before", [True, False])
def test_what_somebody_else_wrote_stays(store: MlflowClient, parent: str, before: bool) -> None:
    if before:
        describe_sweep(store, parent, "ours")
    store.set_tag(parent, "mlflow.note.content", "my own words")
    describe_sweep(store, parent, "ours again")
    assert note(store, parent) == "my own words"


def test_an_empty_description_is_filled(store: MlflowClient) -> None:
    run_id = store.create_run("0").info.run_id
    describe_sweep(store, run_id, "text")
    assert note(store, run_id) == "text"


def test_data_sets_are_logged_once(store: MlflowClient, parent: str) -> None:
    def names() -> list[str]:
        return [i.dataset.name for i in store.get_run(parent).inputs.dataset_inputs]

    log_data_of_sweep(store, parent, [{}])
    assert names() == []
    log_data_of_sweep(store, parent, [data("a"), data("b")])
    assert sorted(names()) == ["digits testing", "digits training"]
    log_data_of_sweep(store, parent, [data("a"), data("c")])
    assert len(names()) == 2
