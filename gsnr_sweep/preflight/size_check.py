"""Whether a run's sets and weights can fit a machine, judged before anything of them is made.

What is counted is the least that a run needs, so that nothing which could run is refused; the
plan's own estimate (`gsnr_sweep.preflight.memory`) is meant as an upper bound.
"""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

from gsnr_sweep.config.schema import Config, value_at
from gsnr_sweep.data.settings import CustomDataConfig
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.machine import memory_limit

if TYPE_CHECKING:
    from gsnr_sweep.data.base import DataSpec

_LARGEST_MACHINE = 4 * 10**12  # bytes; of a cluster, whose machines are not known here
_MINE = "this process may have"
_TARGETS, _LOSSES = 8, 8  # bytes a sample
_REPLICA = 5000  # bytes of the objects that a replica of the smallest network consists of
# Bytes a weight of a run that measures, and of the trial before a launch, which holds float64
# copies and gradients of some samples. Measured on perceptrons of 16 and 32 million: 124 both.
_WEIGHT = 124


def check_sets(cfg: Config, spec: DataSpec) -> None:
    """Refuse training sets and a test set that no machine at hand can hold.

    A training set of n samples and K of a confusion set takes (n + K) · (inputs + target) bytes,
    with two losses each; M of them are held, with as many replicas, and a test set whose losses are
    held for each replica.

    Raises:
        GsnrError: They take more than there is; the key with the largest share is named.
    """
    in_bytes = len(spec.input_shape) == 3  # images may be kept in uint8
    kept = 1 if in_bytes and not isinstance(cfg.data, CustomDataConfig) else 4
    sample = math.prod(spec.input_shape) * kept + _TARGETS
    factors = {"n": cfg.n, "data.confusion": cfg.data.confusion, "n_sets": cfg.n_sets}
    shares = {
        max(factors, key=factors.__getitem__): cfg.n_sets * cfg.train_size * (sample + 2 * _LOSSES),
        "n_test": cfg.n_test * sample,
    }
    shares["n_sets"] = shares.get("n_sets", 0) + cfg.n_sets * _REPLICA
    confusion = f" + {cfg.data.confusion} of a confusion set" if cfg.data.confusion else ""
    what = (
        f"{cfg.n_sets} training sets of n={cfg.n}{confusion} and a test set of n_test={cfg.n_test}"
    )
    _refuse_beyond(shares, what, cfg)


def check_weights(ch: int, n_weights: int, here: bool = False) -> None:
    """Refuse a network that no machine at hand can measure.

    Args:
        ch: Its width.
        n_weights: Number of its weights.
        here: Whether it is this machine that is to run it, and no other.

    Raises:
        GsnrError: It takes more memory than there is.
    """
    most, whose = (memory_limit(), _MINE) if here else available_memory()
    needed = memory_of_weights(n_weights)
    if needed > most:
        raise GsnrError(
            f"ch={ch}: a network this wide has {n_weights:,} weights. To measure one takes about "
            f"{_bytes(needed)} of memory; {whose} {_bytes(most)}. Give a smaller ch."
        )


def memory_of_weights(n_weights: int) -> int:
    """Return the bytes that a network's weights take where it is tried or measured."""
    return n_weights * _WEIGHT


def can_be_tried(n_weights: int) -> bool:
    """Say whether a network can be tried here, which may not be where it is to run."""
    return memory_of_weights(n_weights) <= memory_limit()


def available_memory() -> tuple[int, str]:
    """Return the memory that a run may have in bytes, and in words whose it is.

    Where SLURM can be asked, runs may be meant for machines larger than this one.
    """
    if shutil.which("sbatch"):
        return _LARGEST_MACHINE, "no machine is expected to have more than"
    return memory_limit(), _MINE


def _refuse_beyond(shares: dict[str, int], what: str, cfg: Config) -> None:
    needed, (most, whose) = sum(shares.values()), available_memory()
    if needed > most:
        key = max(shares, key=shares.__getitem__)
        raise GsnrError(
            f"{key}={value_at(cfg, key)}: {what} take at least {_bytes(needed)} of memory; {whose} "
            f"{_bytes(most)}. Give a smaller {key}."
        )


def _bytes(n: int) -> str:
    for power, unit in ((18, "EB"), (15, "PB"), (12, "TB")):
        if n >= 10**power:
            return f"{n // 10**power:,} {unit}"
    return f"{n / 1e9:,.1f} GB"
