"""Clusters for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, UnavailableError, running_cluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A SLURM whose ``sacct`` answers."""
    try:
        with running_cluster() as cluster:
            yield cluster
    except UnavailableError as error:
        pytest.skip(f"no SLURM here: {error}")


@pytest.fixture(scope="session")
def slurm_without_accounting() -> Iterator[Cluster]:
    """A SLURM whose ``sacct`` fails, with arrays of 5 at most and a short memory for ended jobs.

    Not so short that a launcher which a busy machine holds up misses how a job ended: the
    controller looks every 10 s.
    """
    try:
        with running_cluster(
            nodes=2, max_array_size=5, min_job_age=30, accounting="none"
        ) as cluster:
            yield cluster
    except UnavailableError as error:
        pytest.skip(f"no SLURM here: {error}")
