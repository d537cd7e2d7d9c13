"""The paper's own curves, read from its figures, laid out as a sweep's runs are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from gsnr_sweep.analysis.analysis import Analysis
from gsnr_sweep.analysis.table import table_of
from gsnr_sweep.records.record import Measurement, RunRecord
from gsnr_sweep.records.state import State

FILE = "paper_curves.json"
Part = Literal["labels", "confusion", "width"]
_AS_LOGARITHM = ("_over_margin2", "kl", "kl_at_sharpness")


def paper_networks(part: Part) -> Analysis:
    """Return the paper's networks of some of its figures, a run a network.

    Args:
        part: ``labels`` (Figs. 1 and 2), ``confusion`` (Fig. 3) or ``width`` (Fig. 4).

    Returns:
        An analysis with the settings and metrics of a sweep's runs, as far as the paper shows them.
        Measures of which it shows scaled values only are ``scaled_l2`` and so on.
    """
    text = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    runs = [(f"{place}", _record(one)) for place, one in enumerate(json.loads(text)[part])]
    return Analysis(table_of("Neyshabur et al. 2017", None, runs, []))


def _record(network: Mapping[str, Any]) -> RunRecord:
    values = dict(network["metrics"])
    values |= {name: network[name] for name in ("kl", "expected_sharpness") if name in network}
    config = network["config"] | {"seed": 0, "model": {"name": "the paper's"}}
    record = RunRecord("", config, "", {}, State.FINISHED)
    logarithms = dict(_as_logarithm(name, value) for name, value in values.items())
    record.measurements = [Measurement.from_values(1, logarithms)]
    return record


def _as_logarithm(name: str, value: Any) -> tuple[str, Any]:
    """Return a value under the name, and as the logarithm, that a run's record has it."""
    if not name.endswith(_AS_LOGARITHM):
        return name, value
    several = isinstance(value, list)
    return f"log10_{name}", [math.log10(v) for v in value] if several else math.log10(value)
