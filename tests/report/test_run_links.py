"""Links from the page to the runs in MLflow: of servers, of files, of neither."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from gsnr_sweep.report.run_links import RunLinks, run_links
from tests.tables import make_run, make_table

PARENT = "3f9a" * 8
COMMAND = "python -m gsnr_sweep ui 3f9a3f9a"


class Server:
    """A client of a server that knows one run."""

    def __init__(self, uri: str, answers: bool = True) -> None:
        self.tracking_uri = uri
        self.answers = answers

    def get_run(self, run_id: str) -> Any:
        if not self.answers:
            raise MlflowException("API request failed")
        assert run_id in (PARENT, "0" * 32)
        return SimpleNamespace(info=SimpleNamespace(experiment_id="7"))


def links(client: Any, parent_id: str | None = PARENT) -> RunLinks:
    return run_links(client, make_table(make_run({"a": 1.0}), parent_id=parent_id))


@pytest.mark.parametrize("uri", ["http://host:5000", "http://ann:secret@host:5000/"])
def test_a_run_on_a_server_has_an_address_without_a_password(uri: str) -> None:
    address = "http://host:5000/#/experiments/7/runs/"
    assert links(Server(uri)) == RunLinks(address, COMMAND)
    assert links(Server(uri), parent_id=None) == RunLinks(address)  # all runs of an experiment


def test_no_secret_of_an_address_is_on_the_page() -> None:
    assert "secret" not in links(Server("http://host:5000/?token=secret")).address


def test_a_server_that_does_not_answer() -> None:
    assert links(Server("http://host:5000", answers=False)) == RunLinks("", COMMAND)


def test_a_file_is_opened_by_a_command(store: MlflowClient) -> None:
    assert links(store) == RunLinks("", COMMAND)


def test_no_store() -> None:
    assert links(None) == RunLinks()
    assert run_links(Server("http://host"), make_table()) == RunLinks()  # type: ignore[arg-type]
