"""Runs repeated over seeds, as claims need them."""

from copy import deepcopy

from gsnr_sweep.records.record import RunRecord

SEEDS = 3


def over_seeds(*runs: RunRecord, seeds: int = SEEDS) -> list[RunRecord]:
    """Return the runs as every seed would have found them: means over seeds have no error."""
    repeated = []
    for seed in range(seeds):
        for run in runs:
            other = deepcopy(run)
            other.config["seed"] = seed
            repeated.append(other)
    return repeated
