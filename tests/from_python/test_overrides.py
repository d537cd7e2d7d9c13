"""Values given in Python reach Hydra as what they are."""

from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.from_python.overrides import command_arguments

VALUES = [
    *(3, -1, 0.1, 1e-30, True, False, None),
    *("toy", "true", "null", "nan", "3", "", "a b", "it's", 'say "no"', "a,b", "back\\slash", "é"),
    *("x=1", "my_models.Net", "every:10", "[0,1]", "~/data", "C:\\"),
    *([0, 20], [], ["fc1", "a b"], {"depth": 3, "act": "relu"}, [[1, 2], [None, True]]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_back_by_hydra(value: object) -> None:
    (text,) = command_arguments((), {"key": value}, sweep=False)
    (read,) = OverridesParser.create().parse_overrides([text])
    assert not read.is_sweep_override()
    assert read.value() == value
    assert type(read.value()) is type(value)


@pytest.mark.parametrize("several", [[1, 2], (1, 2), range(1, 3), np.array([1, 2])], ids=repr)
def test_several_values_are_an_axis_of_a_sweep_and_a_list_of_a_run(several: object) -> None:
    assert command_arguments((), {"n": several}, sweep=True) == ["-m", "n=1,2"]
    assert command_arguments((), {"n": several}, sweep=False) == ["n=[1,2]"]


def test_a_list_within_an_axis_is_one_value() -> None:
    given = command_arguments((), {"measure_at": [[0, 2], [1]]}, sweep=True)
    assert given == ["-m", "measure_at=[0,2],[1]"]
    (read,) = OverridesParser.create().parse_overrides(given[1:])
    assert list(read.sweep_iterator()) == [[0, 2], [1]]


def test_texts_come_first_and_stay_as_they_are() -> None:
    given = command_arguments(
        ("n=1,2", "--config-dir", "x"), {"data.eta": np.float32(0.5)}, sweep=True
    )
    assert given == ["-m", "n=1,2", "--config-dir", "x", "data.eta=0.5"]


@pytest.mark.parametrize(
    ("overrides", "settings", "told"),
    [
        ((3,), {}, "3: an override is a text such as 'n=1000'"),
        ((), {"n": []}, r"n=\[\]: a sweep over no values"),
        ((), {"model": object}, "model=<class 'object'>: a value of type type cannot stand"),
        ((), {"n": [1, {2}]}, r"n=\{2\}: a value of type set"),
    ],
)
def test_what_cannot_be_written_is_refused(overrides, settings, told: str) -> None:
    with pytest.raises(GsnrError, match=told):
        command_arguments(overrides, settings, sweep=True)


def test_a_path_is_a_text() -> None:
    assert command_arguments((), {"data.path": Path("a/b.npz")}, sweep=False) == [
        "data.path=a/b.npz"
    ]
