"""A sweep's page in MLflow's web interface: a view of its runs, kept in a tag of the experiment.

The interface keeps views under ``mlflow.sharedViewState.KEY``: JSON with a name under which it
lists the view, and the view itself, JSON that may be compressed. ``viewStateShareKey=KEY`` in a
page's address opens it. The format is the interface's own and written down nowhere: all that is
known of it here stands in this file, and without a view everything else works.
"""

from __future__ import annotations

import ast
import base64
import json
import logging
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.tracking.query import reused_ids
from gsnr_sweep.tracking.run_ids import of_parent, present
from gsnr_sweep.tracking.store import PARENT_TAG, store_problem
from gsnr_sweep.tracking.sweep_tracker import GRID_TAG
from gsnr_sweep.tracking.uri import server_address
from gsnr_sweep.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

VIEW_TAG = "mlflow.sharedViewState."
COMPRESSED = "deflate;"
RUNS_AT_ONCE = 100
"""Runs that the interface fetches before it is asked for more."""
_OWN = "gsnr-"
_LONGEST = 20_000  # enough for some 650 runs by name
_LONGEST_NAME = 200
_LISTED = 20  # at 40 in all, the interface lets nobody save one more

_SETTINGS = ("n", "p_random", "ch", "seed")
_METRICS = ("osgr_lhs", "osgr_rhs", "osgr_lhs_se", "osgr_rhs_se")
_OVER_EPOCHS = ("osgr_lhs", "osgr_rhs", "gsnr_mean")
_GROUPS = ("data", "model", "optim", "loss")
_FIRST_COLUMNS = ("attributes.`Run Name`", "runDateAndNestInfo")
_DATA_SETS = "attributes.`Dataset`"
_SECTION = "GSNR and generalization"
_FOLDED = ("gap_share", "gsnr_mean", "loss_share", "p_same_sign", "run", "Model metrics")


def prepare_view(client: MlflowClient, parent_id: str) -> str:
    """Write the view of a sweep where there is none yet, or an old one that nobody has changed.

    Args:
        client: Of the store.
        parent_id: The sweep's own run.

    Returns:
        The key that opens it; empty if the store did not take it, which is only noted in the log.
    """
    try:
        parent = client.get_run(parent_id)
        tags = client.get_experiment(parent.info.experiment_id).tags
        view = PreparedView(parent_id, _axes(parent), _members(client, parent))
        if not (view.tag in tags and _is_settled(tags[view.tag], view.state())):
            name = parent.info.run_name or parent_id
            client.set_experiment_tag(parent.info.experiment_id, view.tag, view.listed_as(name))
            _shorten_the_list(client, parent.info.experiment_id, tags)
        return view.key
    except Exception as error:
        log.warning(
            "MLflow: no view of sweep %s was prepared (%s)", parent_id, store_problem(error)
        )
        return ""


@dataclass(frozen=True)
class PreparedView:
    """What the page of a sweep shows: its runs as a table, and charts of them.

    Attributes:
        parent_id: The sweep's own run.
        axes: Settings that vary; they are the first columns.
        members: Its runs, where some are of earlier launches; else they are found by their parent.
    """

    parent_id: str
    axes: Sequence[str] = ()
    members: Sequence[str] = ()

    @property
    def key(self) -> str:
        """What opens the view."""
        return f"{_OWN}{self.parent_id[:16]}"

    @property
    def _condition(self) -> str:
        if self.members:
            return f"attributes.run_id IN ({', '.join(map(repr, self.members))})"
        return f"tags.`{PARENT_TAG}` = '{self.parent_id}'"

    @property
    def tag(self) -> str:
        """The experiment's tag that holds it."""
        return f"{VIEW_TAG}{self.key}"

    def listed_as(self, name: str) -> str:
        """Return the tag's content.

        Raises:
            GsnrError: It is longer than a store takes.
        """
        now = int(time.time() * 1000)
        content = {
            "name": printable(name)[:_LONGEST_NAME],
            "createdAt": now,
            "updatedAt": now,
            "state": self.packed(),
        }
        text = json.dumps(content)
        if len(text) > _LONGEST:
            raise GsnrError(
                f"{len(self.axes)} axes and {len(self.members)} runs, some of which are reused, "
                f"make it longer than {_LONGEST} characters"
            )
        return text

    def packed(self) -> str:
        """Return the view as the tag holds it."""
        text = json.dumps(self.state(), separators=(",", ":"))
        return COMPRESSED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()

    def state(self) -> dict[str, Any]:
        """Return the view as the interface reads it.

        Runs stand alone, not folded below their parent, as they are sorted by a metric.
        """
        params = [f"params.`{name}`" for name in dict.fromkeys((*self.axes, *_SETTINGS))]
        metrics = [f"metrics.`{name}`" for name in _METRICS]
        return {
            "searchFilter": self._condition,
            "orderByKey": "metrics.`osgr_rhs`",
            "orderByAsc": True,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": [*params, *metrics, _DATA_SETS],
            "columnOrder": [*_FIRST_COLUMNS, *params, *metrics, _DATA_SETS, "duration"],
            "runsHiddenMode": "SHOW_ALL",
            "hideEmptyCharts": True,
            "isAccordionReordered": True,
            "compareRunSections": [_section(_SECTION, unfolded=True), *map(_section, _FOLDED)],
            "compareRunCharts": [_scatter("osgr_rhs", "osgr_lhs"), *map(_line, _OVER_EPOCHS)],
        }


def page_address(server: str, experiment_id: str, key: str = "") -> str:
    """Return the address of an experiment's runs.

    Args:
        server: Address of the server.
        experiment_id: The experiment.
        key: Of a prepared view, which opens with its charts; empty for the table of all runs.

    Example:
        >>> page_address("http://127.0.0.1:5000", "1")
        'http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning'
    """
    options = {"workflowType": "machine_learning"}  # else it shows traces of language models
    if key:
        options |= {"compareRunsMode": "CHART", "viewStateShareKey": key}
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{urlencode(options)}"


def where_to_browse(client: MlflowClient, parent_id: str) -> str:
    """Prepare the view of a sweep and return its address; empty if the store is no server."""
    key = prepare_view(client, parent_id)
    if server := server_address(client.tracking_uri):
        return page_address(server, client.get_run(parent_id).info.experiment_id, key)
    return ""


def _axes(parent: Run) -> tuple[str, ...]:
    """Return the parameters that vary, as they are called in the runs."""
    try:
        grid = ast.literal_eval(parent.data.tags.get(GRID_TAG, ""))
    except (ValueError, SyntaxError):  # of an older version, or cut off
        return ()
    names = [str(key).lstrip("+") for key in grid] if isinstance(grid, dict) else []
    return tuple(f"{name}.name" if name in _GROUPS else name for name in names)


def _members(client: MlflowClient, parent: Run) -> tuple[str, ...]:
    """Return the runs of a sweep that reuses some of others; none where all are its own."""
    experiment_id, parent_id = parent.info.experiment_id, parent.info.run_id
    reused = present(client, experiment_id, reused_ids(client, parent))
    own = of_parent(client, experiment_id, parent_id)
    return tuple(sorted(own | reused)) if reused - own else ()


def _is_settled(text: str, state: Mapping[str, Any]) -> bool:
    """Whether a view is as it should be, or as somebody saved it."""
    try:
        content = json.loads(text)
        if content["createdAt"] != content["updatedAt"]:
            return True
        packed = base64.b64decode(content["state"].removeprefix(COMPRESSED))
        return bool(json.loads(zlib.decompress(packed)) == state)
    except (ValueError, TypeError, KeyError, zlib.error):  # off the list, or not ours any more
        return True


def _shorten_the_list(client: MlflowClient, experiment_id: str, before: Mapping[str, str]) -> None:
    """Take the oldest of our views off the list; their addresses still open them."""
    listed: list[tuple[int, str, str]] = []
    for tag, text in before.items():
        if tag.startswith(f"{VIEW_TAG}{_OWN}") and text.startswith("{"):
            content = json.loads(text)
            listed.append((int(content["createdAt"]), tag, str(content["state"])))
    for _, tag, state in sorted(listed, reverse=True)[_LISTED - 1 :]:
        client.set_experiment_tag(experiment_id, tag, state)


def _section(name: str, unfolded: bool = False) -> dict[str, Any]:
    """Lay out a group of charts; the interface adds one of each other metric by its prefix."""
    return {"uuid": _id(name), "name": name, "display": unfolded, "isReordered": True}


def _chart(kind: str, name: str) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": _id(f"{kind} {name}"),
        "metricSectionId": _id(_SECTION),
        "deleted": False,
        "isGenerated": False,
    }


def _scatter(x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart("SCATTER", y) | axes


def _line(metric: str) -> dict[str, Any]:
    return _chart("LINE", metric) | {
        "metricKey": metric,
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _id(name: str) -> str:
    return _OWN + re.sub(r"\W+", "-", name).lower()
