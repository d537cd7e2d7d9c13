"""Values of JSON files become fields of dataclasses, or are refused by name."""

import json
import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from gsnr_sweep.records.reading import check_time, from_json, read_json, read_whole


class Colour(StrEnum):
    RED = "red"


@dataclass
class Inner:
    name: str


@dataclass
class Outer:
    whole: int
    number: float = 0.5
    switch: bool = False
    colour: Colour = Colour.RED
    inner: list[Inner] = field(default_factory=list)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)


def test_every_kind_of_field() -> None:
    content = {
        "whole": 3,
        "number": 1,
        "switch": True,
        "colour": "red",
        "inner": [{"name": "a"}, {"name": "b"}],
        "values": {"x": [1, None, 0.5]},
        "anything": {"y": [{}]},
    }
    assert from_json(Outer, content) == Outer(
        3, 1, True, Colour.RED, [Inner("a"), Inner("b")], {"x": [1, None, 0.5]}, {"y": [{}]}
    )
    assert from_json(Outer, {"whole": 3, "more": 1}, skip_unknown=True) == Outer(3)
    assert from_json(Outer, {"number": 2.5}, whole=4) == Outer(4, 2.5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], r"a mapping is needed where \[\] stands"),
        ({}, "missing 1 required positional argument: 'whole'"),
        ({"whole": 1, "more": 2}, "'more' is unknown"),
        ({"whole": 1.0}, "whole cannot be 1.0"),
        ({"whole": True}, "whole cannot be True"),
        ({"whole": "1"}, "whole cannot be '1'"),
        ({"whole": 2**63}, "whole cannot be 9223"),
        ({"whole": 1, "number": float("nan")}, "number cannot be nan"),
        ({"whole": 1, "number": True}, "number cannot be True"),
        ({"whole": 1, "switch": 1}, "switch cannot be 1"),
        ({"whole": 1, "colour": "blue"}, "'blue' is not a valid Colour"),
        ({"whole": 1, "colour": 5}, "colour cannot be 5"),
        ({"whole": 1, "inner": {}}, r"inner cannot be \{\}"),
        ({"whole": 1, "inner": [{"name": 1}]}, "name cannot be 1"),
        ({"whole": 1, "inner": [{"name": "a\0b"}]}, "name cannot be"),
        ({"whole": 1, "values": {"x": ["a"]}}, "values cannot be 'a'"),
    ],
)
def test_what_does_not_fit_is_named(content: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(Outer, content)


def test_a_file_is_an_ordinary_one_of_some_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path) == {"a": [1]}
    with pytest.raises(ValueError, match="it has 10 bytes"):
        read_whole(path, 9)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "none"):
        with pytest.raises(OSError, match=r"no ordinary file|directory"):
            read_whole(tmp_path / name)


@pytest.mark.parametrize("seconds", [-1, 1e12, 10**400])
def test_times_are_of_years_that_there_are(seconds: float) -> None:
    check_time(1.8e9)
    with pytest.raises(ValueError, match="is no time"):
        check_time(seconds)
