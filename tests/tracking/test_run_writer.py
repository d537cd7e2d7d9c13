"""Names as MLflow takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

from gsnr_sweep.tracking.run_writer import LONGEST_NAME, legal_name


@pytest.mark.parametrize("name", ["osgr_lhs", "gsnr/fc1.weight", "a b:c-d", "é", ".a", "a."])
def test_a_name_that_is_legal_stays(name: str) -> None:
    _validate_metric_name(name)
    assert legal_name(name) == name


@given(st.text() | st.text(alphabet="./ab:\n"))
def test_whatever_a_name_holds_mlflow_takes_what_becomes_of_it(name: str) -> None:
    legal = legal_name(name)
    _validate_metric_name(legal)
    assert legal_name(legal) == legal
    assert len(legal) <= LONGEST_NAME == MAX_ENTITY_KEY_LENGTH


@pytest.mark.parametrize(
    "names", [("acc@5", "acc#5", "acc_5"), ("/a", "a", "a/", "./a"), ("m" * 300, "m" * 301)]
)
def test_names_that_differ_stay_apart(names: tuple[str, ...]) -> None:
    assert len(set(map(legal_name, names))) == len(names)
