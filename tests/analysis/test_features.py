"""Which features predict the target, and when their GSNR is largest (the paper's Table 1)."""

from collections.abc import Sequence
from typing import Any

import pytest

from gsnr_sweep.analysis.features import feature_table
from gsnr_sweep.records.record import RunRecord
from tests.tables import make_run, make_table

EPOCHS = (0, 10, 20)
Values = Sequence[Sequence[float | None]]
"""By epoch, then by feature."""


def run(
    ratio: Values, target: Values | None, weight: str = "fc2.weight", **fields: Any
) -> RunRecord:
    arrays = {f"gsnr/{weight}": ratio}
    if target is not None:
        arrays[f"feature_target/{weight}"] = target
    measured = {name: _by_epoch(values) for name, values in arrays.items()}
    return make_run({"train_loss": 1.0}, epochs=EPOCHS, arrays=measured, **fields)


def _by_epoch(values: Values) -> Any:
    return lambda epoch: list(values[EPOCHS.index(epoch)])


RATIO = [(0.1, 0.9), (0.5, 0.2), (0.3, 0.1)]
TARGET = [(0.1, 0.7), (-0.8, 0.6), (0.2, 0.5)]


def rows(*runs: RunRecord) -> list[tuple[Any, ...]]:
    table = feature_table(make_table(*runs))
    assert table is not None
    names = ["feature", "gsnr_t0", "gsnr_max", "t_max", "c_t0", "c_tmax"]
    return [tuple(row) for row in table[names].itertuples(index=False)]


def test_each_feature_at_the_start_and_at_its_largest_gsnr() -> None:
    assert rows(run(RATIO, TARGET)) == [
        (0, 0.1, 0.5, 10, 0.1, -0.8),
        (1, 0.9, 0.9, 0, 0.7, 0.7),
    ]


def test_every_run_has_its_own_features_and_settings() -> None:
    runs = [run(RATIO, TARGET), run(RATIO[::-1], TARGET, seed=1, init="small", frozen=["fc1"])]
    table = feature_table(make_table(*runs))
    assert table is not None
    assert table["run_id"].nunique() == 2
    assert table["seed"].tolist() == [0, 0, 1, 1]
    assert table["init"].tolist() == ["he", "he", "small", "small"]
    assert table["model.frozen"].tolist() == ["[]", "[]", '["fc1"]', '["fc1"]']
    assert table["t_max"].tolist() == [10, 0, 10, 20]


def test_a_feature_that_was_dead_for_a_while() -> None:
    """A ReLU that is off for every sample: neither GSNR nor correlation are defined."""
    ratio = [(None, 0.9), (0.5, None), (0.3, None)]
    target = [(None, 0.7), (-0.8, None), (0.2, None)]
    first, second = rows(run(ratio, target))
    assert first[:4] == (0, 0.5, 0.5, 10)
    assert first[4] != first[4]  # NaN
    assert first[5] == -0.8
    assert second == (1, 0.9, 0.9, 0, 0.7, 0.7)


def test_a_feature_that_was_always_dead_is_left_out() -> None:
    none = [(None, a) for _, a in RATIO]
    assert [row[0] for row in rows(run(none, TARGET))] == [1]
    assert feature_table(make_table(run([(None, None)] * 3, TARGET))) is None


def test_the_first_of_equal_maxima_counts() -> None:
    assert rows(run([(0.5, 0.1)] * 3, TARGET))[0][3] == 0


@pytest.mark.parametrize("target", [None])
def test_runs_that_did_not_follow_features_have_no_table(target: None) -> None:
    assert feature_table(make_table(run(RATIO, target))) is None
    assert feature_table(make_table(make_run({"train_loss": 1.0}))) is None
    assert feature_table(make_table()) is None


def test_only_some_runs_follow_features() -> None:
    assert len(rows(run(RATIO, TARGET), make_run({"train_loss": 1.0}, seed=1))) == 2


def test_several_weights_are_told_apart() -> None:
    """Feature 0 of one layer is not feature 0 of another."""
    both = run(RATIO, TARGET)
    other = run(RATIO[::-1], TARGET, "fc3.weight")
    for mine, theirs in zip(both.measurements, other.measurements, strict=True):
        mine.arrays |= theirs.arrays
    table = feature_table(make_table(both))
    assert table is not None
    assert len(table) == 4
    about = [c for c in table if c not in ("gsnr_t0", "gsnr_max", "t_max", "c_t0", "c_tmax")]
    assert len(table.drop_duplicates(about)) == 4
