"""Data sets as MLflow keeps them: inputs of a run, with name, digest, size and source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_CONTEXTS = {"training": "train", "testing": "test"}
_DIGEST = 16


def inputs_of(data: Iterable[Mapping[str, Any]]) -> list[DatasetInput]:
    """Return the training sets of a run as one input, and its test set as another.

    MLflow keeps one input a name and digest. Of a sweep of hundreds of runs all training sets are
    one input, too: each stands by itself with the run that uses it. Of sets that differ the digest
    is that of their digests.

    Args:
        data: `gsnr_sweep.records.record.RunRecord.data` of the run, or of each run of the sweep.
            What has no digests is left out.
    """
    by_name: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in data:
        if {"name", "source", "train_digest", "test_digest"} <= one.keys():
            by_name.setdefault((str(one["name"]), str(one["source"])), []).append(one)
    return [
        _input(f"{name} {context}", source, context, kind, of_name)
        for (name, source), of_name in by_name.items()
        for context, kind in _CONTEXTS.items()
    ]


def _input(
    name: str, source: str, context: str, kind: str, data: list[Mapping[str, Any]]
) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    sets = {str(one[f"{kind}_digest"]): one for one in data}
    sizes = sorted({int(one[f"{kind}_size"]) for one in sets.values()})
    dataset = Dataset(
        name=name,
        digest=_digest(sets),
        source_type="local",
        source=json.dumps({"uri": source}),
        profile=json.dumps(
            {
                "samples": sizes[0] if len(sizes) == 1 else sizes,
                "sets": sum(int(one.get(f"{kind}_sets", 1)) for one in sets.values()),
            }
        ),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _digest(digests: Iterable[str]) -> str:
    known = sorted(digests)
    if len(known) == 1:
        return known[0]
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:_DIGEST]
