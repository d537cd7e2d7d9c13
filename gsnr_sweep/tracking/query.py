"""Finding the runs of a sweep in the MLflow store by whatever name its user has at hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.records.manifest import SWEEP_FILE, Manifest
from gsnr_sweep.records.state import Action
from gsnr_sweep.tracking.uri import without_password
from gsnr_sweep.wording import did_you_mean

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "gsnr.kind"
PRESET_TAG = "gsnr.preset"
SHORT_ID = 8
LISTED = 5
PAGE = 1000
MAX_TEXT = 240
IDS_AT_ONCE = 100


@dataclass(frozen=True)
class Sweep:
    """A sweep as the store knows it.

    Attributes:
        name: Name of the parent run, or of the experiment.
        parent_id: The parent run's id; None where the sweep is a whole experiment.
        runs: The grid points, oldest first.
        preset: Which experiment of the paper it was launched as, as JSON; empty if not known.
    """

    name: str
    parent_id: str | None
    runs: list[Run]
    preset: str = ""


def find_sweep(client: MlflowClient, wanted: str) -> Sweep:
    """Find a sweep by run id, parent run's name, experiment name or start of the run id.

    The first of these that fits, in this order, counts.

    Raises:
        GsnrError: Nothing fits, or more than one thing does, or the store does not answer.
    """
    wanted = wanted.strip()
    with readable_store_errors(client.tracking_uri):
        if run := _run_by_id(client, wanted):
            return _children(client, run)
        experiments = _experiments(client)
        sweeps = _sweeps(client, experiments)
        if named := [run for run in sweeps if run.info.run_name == wanted]:
            return _children(client, _the_only(named, wanted, "name"))
        if found := next((e for e in experiments if e.name == wanted), None):
            return _of_experiment(client, found)
        if wanted and (started := [r for r in sweeps if r.info.run_id.startswith(wanted.lower())]):
            return _children(client, _the_only(started, wanted, "start of a run id"))
    raise GsnrError(_unknown(wanted, sweeps, experiments, client.tracking_uri))


def find_parent(client: MlflowClient, wanted: str) -> Run | None:
    """Find the parent run of a sweep by run id, start of it, or name; None if there is not one.

    Raises:
        GsnrError: The store does not answer.
    """
    with readable_store_errors(client.tracking_uri):
        sweeps = _sweeps(client, _experiments(client))
    lower = wanted.lower()
    found = [r for r in sweeps if r.info.run_name == wanted or r.info.run_id.startswith(lower)]
    return found[0] if len(found) == 1 else None


@contextmanager
def readable_store_errors(uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises about its store into one readable message.

    Raises:
        GsnrError: The store at `uri` cannot be used.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise GsnrError(
            f"The tracking store {without_password(uri)} cannot be used: {_cause(error)} Check the "
            "address, that its server runs and answers this machine, and that the installed "
            "MLflow is not older than the store."
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, of a long one its first sentences."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    if len(line) <= MAX_TEXT:
        return line
    sentences, full_stop, _ = line[:MAX_TEXT].rpartition(". ")
    return f"{sentences}." if full_stop else f"{line[:MAX_TEXT]}…"


def _cause(error: Exception) -> str:
    """Return what is wrong with a store as a sentence."""
    if "ConnectionPool" in str(error):
        return "no server answers there."
    if "database is locked" in str(error):
        return "another process keeps it locked."
    line = first_line(error)
    return line if line.endswith((".", "…")) else f"{line}."


def describe(run: Run) -> str:
    """Return a run's name, the start of its id and when it started, in UTC."""
    started = datetime.fromtimestamp((run.info.start_time or 0) / 1000, UTC)
    return f"{run.info.run_name}  ({run.info.run_id[:SHORT_ID]}, {started:%Y-%m-%d %H:%M} UTC)"


def _run_by_id(client: MlflowClient, wanted: str) -> Run | None:
    """Return the run with this very id, if there is one."""
    from mlflow.exceptions import MlflowException

    if not re.fullmatch(r"[0-9a-f]{32}", wanted):
        return None
    try:
        return client.get_run(wanted)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _children(client: MlflowClient, parent: Run) -> Sweep:
    """Return the sweep of a parent run."""
    run_id, name = parent.info.run_id, parent.info.run_name or parent.info.run_id
    runs = search_runs(client, [parent.info.experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'")
    runs = [*_reused(client, parent), *runs]
    if runs:
        return Sweep(name, run_id, runs, parent.data.tags.get(PRESET_TAG, ""))
    if above := parent.data.tags.get(PARENT_TAG):
        raise GsnrError(f"Run {name} is one run of a sweep, not a sweep: aggregate {above}.")
    if parent.data.tags.get(KIND_TAG) == "sweep":
        raise GsnrError(f"Sweep {describe(parent)} has no runs yet: there is nothing to aggregate.")
    raise GsnrError(
        f"Run {describe(parent)} was launched alone; one run has nothing to aggregate. To take all "
        "runs of its experiment together, give the name of the experiment."
    )


def _reused(client: MlflowClient, parent: Run) -> list[Run]:
    """Return the runs of earlier launches that a sweep reuses."""
    return runs_by_id(client, parent.info.experiment_id, reused_ids(client, parent))


def reused_ids(client: MlflowClient, parent: Run) -> list[str]:
    """Return the ids of the runs of earlier launches that a sweep reuses, from its manifest."""
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory() as temporary:
        try:
            path = client.download_artifacts(parent.info.run_id, SWEEP_FILE, temporary)
            manifest = Manifest.read(Path(path).parent)
        except (MlflowException, OSError, GsnrError):
            return []  # of an older version, or of a run alone
    return [run.run_id for run in manifest.runs if run.action == Action.REUSE and run.run_id]


def runs_by_id(client: MlflowClient, experiment_id: str, ids: Sequence[str]) -> list[Run]:
    """Return those runs of an experiment that are there and not deleted."""
    runs: list[Run] = []
    for start in range(0, len(ids), IDS_AT_ONCE):
        listed = ", ".join(f"'{one}'" for one in ids[start : start + IDS_AT_ONCE])
        runs += search_runs(client, [experiment_id], f"attributes.run_id IN ({listed})")
    return runs


def _of_experiment(client: MlflowClient, experiment: Experiment) -> Sweep:
    """Return all runs of an experiment, in sweeps or alone, as one sweep."""
    runs = search_runs(client, [experiment.experiment_id], f"tags.`{KIND_TAG}` = 'run'")
    if not runs:
        raise GsnrError(f"Experiment {experiment.name} holds no runs: nothing to aggregate.")
    return Sweep(experiment.name, None, runs)


def _sweeps(client: MlflowClient, experiments: Sequence[Experiment]) -> list[Run]:
    """Return the parent runs of all sweeps, newest first."""
    ids = [e.experiment_id for e in experiments]
    return search_runs(client, ids, f"tags.`{KIND_TAG}` = 'sweep'")[::-1]


def search_runs(client: MlflowClient, experiment_ids: list[str], condition: str) -> list[Run]:
    """Return all runs that fulfil the condition, oldest first."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            experiment_ids,
            condition,
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _experiments(client: MlflowClient) -> list[Experiment]:
    """Return all experiments that are not deleted."""
    experiments: list[Experiment] = []
    token = None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        experiments += page
        token = page.token
        if not token:
            return experiments


def _the_only(runs: Sequence[Run], wanted: str, kind: str) -> Run:
    """Return the one run, or say among which the user has to choose."""
    if len(runs) == 1:
        return runs[0]
    raise GsnrError(
        f"{len(runs)} sweeps have the {kind} {wanted}; give more of the run id:\n{_listing(runs)}"
    )


def _listing(runs: Sequence[Run]) -> str:
    lines = [f"  {describe(run)}" for run in runs[:LISTED]]
    if len(runs) > LISTED:
        lines.append(f"  and {len(runs) - LISTED} more")
    return "\n".join(lines)


def _unknown(
    wanted: str, sweeps: Sequence[Run], experiments: Sequence[Experiment], uri: str
) -> str:
    """Say that nothing is called `wanted`, and what there is instead."""
    known = [e.name for e in experiments]
    names = [*(run.info.run_name or "" for run in sweeps), *known]
    text = f"No sweep, run id or experiment is called {wanted!r} in {without_password(uri)}."
    if hint := did_you_mean(wanted, names):
        text += f" {hint}"
    text += f" Experiments: {', '.join(known) or 'none'}."
    if not sweeps:
        return f"{text} There is no sweep in this store yet."
    return f"{text} The latest sweeps:\n{_listing(sweeps)}"
