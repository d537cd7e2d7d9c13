"""What tells one draw of data sets from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets


def describe_data(name: str, source: str, sets: RunSets) -> dict[str, Any]:
    """Describe the sets of a run by name, source, sizes and digests, labels included."""
    return {
        "name": name,
        "source": source,
        "train_digest": samples_digest(sets.train),
        "train_size": len(sets.train[0]),
        "train_sets": len(sets.train),
        "test_digest": samples_digest([sets.test]),
        "test_size": len(sets.test),
    }


def samples_digest(sets: Iterable[Samples]) -> str:
    """Identify the samples of one or more sets, labels included, by 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for samples in sets:
        for tensor in (samples.x, samples.y):
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
