"""What finished runs of an experiment have cost, to estimate new ones by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from gsnr_sweep import config
from gsnr_sweep.config import Config
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.estimate import Observed
from gsnr_sweep.launcher.ledger import run_folders
from gsnr_sweep.preflight import CheckedPoint, sample_passes
from gsnr_sweep.record import read_record
from gsnr_sweep.status import read_status

_MOST_STATUS_FILES = 400
_MOST_RECORDS = 40


def observed_runs(
    points: Sequence[CheckedPoint], roots: Sequence[Path], experiment: str
) -> list[Observed]:
    """Return what the newest finished runs have cost that used a network of this grid.

    Args:
        points: The grid.
        roots: Folders below which run folders lie.
        experiment: Only runs of this one count.
    """
    forward = {_network(point.cfg): point.forward_flops for point in points}
    found: list[Observed] = []
    for folder in run_folders(roots)[::-1][:_MOST_STATUS_FILES]:
        status = read_status(folder)
        if status is None or status.state != "finished" or status.experiment != experiment:
            continue
        if (one := _observed(folder, forward)) is not None:
            found.append(one)
        if len(found) == _MOST_RECORDS:
            break
    return found


def _observed(folder: Path, forward: dict[tuple[str, str, int], float]) -> Observed | None:
    record = read_record(folder)
    if record is None:
        return None
    known = {key: value for key, value in record.config.items() if key in _KEYS}
    try:
        cfg = config.from_omegaconf(OmegaConf.create(known))
    except GsnrError:  # a record of another version
        return None
    flops, summary = forward.get(_network(cfg)), record.summary
    if flops is None or not {"wall_time_s", "peak_memory_mb"} <= set(summary):
        return None
    return Observed(
        model=cfg.model.name,
        data=cfg.data.name,
        ch=cfg.ch,
        flops=flops * sample_passes(cfg),
        seconds=summary["wall_time_s"],
        peak_memory_bytes=round(summary["peak_memory_mb"] * 1e6),
        device=record.environment.get("device", ""),
    )


def _network(cfg: Config) -> tuple[str, str, int]:
    return cfg.model.name, cfg.data.name, cfg.ch


_KEYS = set(Config.__dataclass_fields__)
