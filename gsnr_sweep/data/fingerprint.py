"""What tells one draw of data sets from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.data.files import describe_files
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets


def describe_data(spec: DataSpec, sets: RunSets, files: Iterable[Path]) -> dict[str, Any]:
    """Describe the sets of a run by name, source, sizes and digests, labels included.

    Args:
        spec: Of the distribution.
        sets: As they were drawn.
        files: That they were read from; their sizes and checksums are noted.
    """
    train = sets.train[0]
    return {
        "name": spec.name,
        "source": spec.source,
        "train_digest": samples_digest(sets.train),
        "train_size": len(train),
        "confusion": 0 if train.clean is None else len(train) - train.clean,
        "train_sets": len(sets.train),
        "test_digest": samples_digest([sets.test]),
        "test_size": len(sets.test),
        "files": describe_files(files),
    }


def samples_digest(sets: Iterable[Samples]) -> str:
    """Identify the samples of one or more sets, labels included, by 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for samples in sets:
        for tensor in (samples.x, samples.y):
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
