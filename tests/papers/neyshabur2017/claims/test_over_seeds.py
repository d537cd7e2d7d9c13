"""Tables by seed, and the groups by which claims are judged."""

import math

from pandas import DataFrame

from gsnr_sweep.papers.neyshabur2017.claims.over_seeds import (
    by_seed,
    judge_groups,
    sentence,
)
from gsnr_sweep.papers.neyshabur2017.networks import trained_networks
from tests.papers.neyshabur2017 import made_up
from tests.tables import make_analysis


def test_a_table_by_seed_knows_finite_values_only() -> None:
    frame = DataFrame(
        {"seed": [0, 0, 1, 1], "n": [1, 2, 1, 2], "value": [1.0, math.inf, 3.0, math.nan]}
    )
    table = by_seed(frame, "value", "n")
    assert table.to_dict() == {1: {0: 1.0, 1: 3.0}}
    assert by_seed(frame, "other", "n").empty
    assert by_seed(frame, "value", "ch").empty


def test_what_else_was_swept_is_judged_for_itself() -> None:
    analysis = make_analysis(*made_up.labels(lr=0.01), *made_up.labels(lr=0.1))
    groups: list[tuple[int, str]] = []

    def note(own: DataFrame, about: str) -> list:
        groups.append((len(own), about))
        return []

    judge_groups(analysis, trained_networks(analysis), ("n", "p_random"), note)
    assert groups == [(24, "lr = 0.01: "), (24, "lr = 0.1: ")]


def test_a_sentence_begins_with_what_it_is_about_or_a_capital() -> None:
    assert sentence("", "the norm rises.") == "The norm rises."
    assert sentence("lr = 1: ", "the norm rises.") == "lr = 1: the norm rises."
