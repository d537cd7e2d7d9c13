"""Loading measures by name."""

import numpy as np
import pytest
import torch

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.measures import load_measures, measure_all
from gsnr_sweep.measures.registry import checked_values
from gsnr_sweep.records.record import Measurement


def test_loads_and_applies_functions() -> None:
    loaded = load_measures({"one": "tests.measures.test_registry.one"})
    assert measure_all(loaded, None) == {"one": 1.0}  # type: ignore[arg-type]


def test_two_measures_with_one_name_are_refused() -> None:
    loaded = load_measures(dict.fromkeys(("a", "b"), "tests.measures.test_registry.one"))
    with pytest.raises(ValueError, match="another one has too"):
        measure_all(loaded, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["gsnr_sweep.measures.nothing.here", "nopackage.f", "plain"])
def test_an_unknown_path_is_explained(path: str) -> None:
    with pytest.raises(GsnrError, match=r"measures\.functions\.mine=.*cannot be imported"):
        load_measures({"mine": path})


NUMBERS = {
    "float": 0.5,
    "int": 3,
    "nan": float("nan"),
    "bool": True,
    "float32": np.float32(0.5),
    "int64": np.int64(3),
    "one of an array": np.array([0.5, 2.0])[1:].sum(),
    "tensor": torch.tensor(0.5),
    "whole tensor": torch.tensor(3),
    "array of no axes": np.array(0.5),
    "list": [0.5, float("inf"), 3],
    "list of none": [],
    "list of float32": [np.float32(0.5)],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_and_lists_of_them_are_values_that_a_record_can_hold(name: str) -> None:
    values = checked_values("here", {"mine": NUMBERS[name]})
    assert values["mine"] is NUMBERS[name]
    measured = Measurement.from_values(0, values)  # type: ignore[arg-type]
    assert len(measured.metrics) + len(measured.nonfinite) + len(measured.arrays) == 1
    assert "mine" in {**measured.metrics, **dict.fromkeys(measured.nonfinite), **measured.arrays}


NEEDED = "a float, an int, or a list of floats is needed"


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (None, "it returned None; a dictionary of values by metric name is needed, such as"),
        (0.5, "it returned a value of type float; a dictionary"),
        ([("acc", 0.5)], "it returned a value of type list; a dictionary"),
        ({"acc": "0.5"}, f"metric 'acc' is of type str; {NEEDED}."),
        ({"loss": 1, "acc": None}, f"metric 'acc' is of type NoneType; {NEEDED}."),
        ({"acc": 1j}, f"metric 'acc' is of type complex; {NEEDED}."),
        ({"acc": (0.5, 0.5)}, f"metric 'acc' is of type tuple; {NEEDED}."),
        ({"acc": np.array(["a"])[0]}, f"metric 'acc' is of type str_ and of shape (); {NEEDED}."),
        (
            {"acc": torch.ones(3)},
            f"metric 'acc' is of type Tensor and of shape (3,); {NEEDED}, as its .tolist() makes.",
        ),
        (
            {"acc": np.ones((2, 2))},
            f"metric 'acc' is of type ndarray and of shape (2, 2); {NEEDED}.",
        ),
        ({"acc": torch.tensor(1j)}, f"metric 'acc' is of type Tensor and of shape (); {NEEDED}."),
        ({"acc": [0.5, "1"]}, f"metric 'acc' is a list whose item 1 is of type str; {NEEDED}."),
        ({"acc": [[0.5]]}, f"metric 'acc' is a list whose item 0 is of type list; {NEEDED}."),
        (
            {"acc": [0.5, None]},
            f"metric 'acc' is a list whose item 1 is of type NoneType; {NEEDED}.",
        ),
        ({7: 0.5}, "the metric name 7 is of type int; a text is needed."),
        ({("a", "b"): 0.5}, "the metric name ('a', 'b') is of type tuple; a text is needed."),
    ],
)
def test_other_values_are_refused_with_their_metric(returned: object, problem: str) -> None:
    with pytest.raises(GsnrError) as refusal:
        measure_all({"noise": lambda _: returned}, None)  # type: ignore[arg-type, dict-item, return-value]
    assert str(refusal.value).startswith(f"measures.functions.noise: {problem}")
    assert "\n" not in str(refusal.value)


def one(_: object) -> dict[str, float]:
    """A measure."""
    return {"one": 1.0}
