import pytest

from benchmarks.statistics import Spread, number, ratio, take_turns


def test_ratio_is_the_median_of_the_rounds_not_of_the_times():
    found = ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0])
    assert found == Spread(2.0, 1.0, 3.0)


def test_contenders_take_turns():
    order = []
    contenders = {name: lambda name=name: order.append(name) or 1.0 for name in "ABC"}
    assert take_turns(contenders, 2) == {"A": [1.0, 1.0], "B": [1.0, 1.0], "C": [1.0, 1.0]}
    assert "".join(order) == "ABCABC"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (1.5, "1.50"), (15.26, "15.3"), (1234.5, "1,234"), (float("nan"), "–")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_spread_names_median_and_range():
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.00 (1.00..3.00)"
    assert Spread.of([1.0, 1.0]).text() == "1.00"
