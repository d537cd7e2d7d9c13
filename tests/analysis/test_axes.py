"""The axes of a sweep: what was swept, and what others leave open."""

from typing import Any

import pytest
from pandas import DataFrame

from gsnr_sweep.analysis.axes import open_axes, swept_axes
from gsnr_sweep.config.identity import science_part
from gsnr_sweep.records.record import flatten
from tests.conftest import tiny_config
from tests.tables import make_analysis, make_run


def frame(**columns: Any) -> DataFrame:
    return DataFrame(columns)


def test_settings_that_vary_are_axes_and_missing_ones_count_as_a_value() -> None:
    table = frame(n=[1, 1, 2, 2], ch=[6, 6, 6, 6], width=[None, None, None, 3.0])
    assert swept_axes(table, ("n", "ch", "width")) == ("n", "width")
    assert swept_axes(table.iloc[:2], ("n", "ch", "width")) == ()


def test_axes_are_those_settings_that_decide_numbers() -> None:
    cfg = tiny_config()
    plain = [key for key in flatten(_plain(cfg)) if key != "measures.name"]
    every = [key for key in plain if not key.startswith("measures.functions.")]
    science = {key for key in flatten(science_part(cfg)) if not key.startswith("measures.func")}
    # Keys that came later are left out of the identity at the values that earlier runs have.
    later = {"tf32", "loss.name", "stop.train_loss", "stop.train_error"}
    later |= {"measures.own_steps", "measures.batch_norm", "data.confusion"}
    later |= {"seed_weights", "seed_data"}
    table = frame(**{key: [1, 2] for key in every})
    assert set(swept_axes(table, every)) == science | later


def test_random_labels_are_told_by_p_random() -> None:
    table = frame(p_random=[0.0, 1.0], random_labels=[False, True])
    assert swept_axes(table, tuple(table)) == ("p_random",)


def test_what_was_measured_is_no_axis() -> None:
    runs = [make_run({"x": 1.0}, measures={"functions": {"x": path}}) for path in ("a.b", "c.d")]
    assert make_analysis(*runs).axes == ()


@pytest.mark.parametrize(
    ("told_apart", "expected"), [((), ["n", "ch"]), (("ch",), ["n"]), (("n", "ch"), [])]
)
def test_open_axes(told_apart: tuple[str, ...], expected: list[str]) -> None:
    """The rate follows from n, the depth from n and ch together."""
    table = frame(n=[1, 1, 2, 2], ch=[6, 8, 6, 8], lr=[0.1, 0.1, 0.2, 0.2], depth=[1, 2, 3, 4])
    assert open_axes(table, ("n", "ch", "lr", "depth"), told_apart) == expected


def _plain(cfg: object) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(cfg)  # type: ignore[call-overload, no-any-return]
