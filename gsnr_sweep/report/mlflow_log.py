"""Putting what came out of a sweep beside its runs: onto the sweep's parent run in MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gsnr_sweep.tracking.query import readable_store_errors
from gsnr_sweep.tracking.run_writer import legal_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from gsnr_sweep.analysis.statistics import PairStatistics

ARTIFACT_FOLDER = "aggregate"
LOGGED = (
    *("pearson", "pearson_low", "pearson_high"),
    *("spearman", "spearman_low", "spearman_high"),
    *("slope", "intercept"),
)
"""Statistics that become metrics of the parent run; the step is the epoch.

Those of places within an epoch are in the files alone. Where trainings stop at epochs of their own,
those of their ends are called ``pearson_end``.
"""
BATCH = 1000
"""Metrics that MLflow takes in one call."""


def log_to_parent(
    client: MlflowClient,
    parent_id: str,
    statistics: Mapping[float, PairStatistics],
    files: Iterable[Path],
    prefix: str = "",
) -> None:
    """Log the statistics as metrics and the files as artifacts under ``aggregate/``.

    Only finite statistics are logged, and only those that the run does not hold already, so that
    aggregating twice leaves one point an epoch.

    Args:
        client: Client of the store.
        parent_id: The parent run's id.
        statistics: Statistics by epoch.
        files: Files to upload.
        prefix: What the metrics' names begin with.

    Raises:
        GsnrError: The store did not take it.
    """
    with readable_store_errors(client.tracking_uri):
        metrics = _new_metrics(client, parent_id, statistics, prefix)
        for start in range(0, len(metrics), BATCH):
            client.log_batch(parent_id, metrics=metrics[start : start + BATCH])
        for path in files:
            client.log_artifact(parent_id, str(path), ARTIFACT_FOLDER)


def _new_metrics(
    client: MlflowClient, parent_id: str, statistics: Mapping[float, PairStatistics], prefix: str
) -> list[Metric]:
    """Return the finite statistics that differ from what the run holds for their epoch."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = []
    for name in LOGGED:
        for key, by_step in _by_key(f"{prefix}{name}", statistics).items():
            held = {m.step: m.value for m in client.get_metric_history(parent_id, key)}
            for step, one in by_step.items():
                value = getattr(one, name)
                if math.isfinite(value) and held.get(step) != value:
                    metrics.append(Metric(legal_name(key), value, now, step))
    return metrics


def _by_key(
    key: str, statistics: Mapping[float, PairStatistics]
) -> dict[str, dict[int, PairStatistics]]:
    """Sort the statistics by the metric and the step that hold them."""
    whole = {e: one for e, one in statistics.items() if isinstance(e, int)}
    at_end = statistics.get(math.inf)
    return {key: whole} | ({f"{key}_end": {0: at_end}} if at_end else {})
