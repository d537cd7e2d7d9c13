"""What strangers, full disks and flipped bits may leave in a file: strategies for `hypothesis`."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ESCAPES = "\x1b]0;planted\x07", "\x1b[2J", "\x9b2J", "\x85", "\r", "\u202e", "\u2066", "\x08"
"""Control characters of the terminal, and of the direction of writing."""

_numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e308, -0.0, 5e-324]),
)
_texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "..", "/", "../../../..", "a\0b", "\ud800", "x" * 5000, "--user=root", *ESCAPES]
    ),
)
values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
"""Any value that JSON can hold, NaN and infinity included."""


def mutated(content: Any) -> st.SearchStrategy[Any]:
    """A JSON value as it should be, but for one place: left out, added to, or of another value."""
    places = list(_places(content))

    @st.composite
    def one(draw: st.DrawFn) -> Any:
        changed = json.loads(json.dumps(content))
        *way, last = draw(st.sampled_from(places))
        inner = changed
        for step in way:
            inner = inner[step]
        act = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        if act == "remove":
            del inner[last]
        elif act == "add" and isinstance(inner, dict):
            inner[draw(_texts)] = draw(values)
        else:
            inner[last] = draw(values)
        return changed

    return one()


def _places(content: Any, way: tuple[Any, ...] = ()) -> Any:
    if way:
        yield way
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        if isinstance(value, dict | list) and value:
            yield from _places(value, (*way, key))
        else:
            yield (*way, key)


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """A file cut off, with a byte of another value, or with bytes too many."""
    place = st.integers(0, max(len(whole) - 1, 0))
    cut = place.map(lambda at: whole[:at])
    other = st.tuples(place, st.integers(1, 255)).map(
        lambda drawn: (
            whole[: drawn[0]] + bytes([whole[drawn[0]] ^ drawn[1]]) + whole[drawn[0] + 1 :]
        )
    )
    longer = st.tuples(place, st.binary(min_size=1, max_size=8)).map(
        lambda drawn: whole[: drawn[0]] + drawn[1] + whole[drawn[0] :]
    )
    return st.one_of(cut, other, longer)


def contents(valid: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file: any, any JSON, or a valid file with one thing changed."""
    write: Callable[[Any], bytes] = lambda value: json.dumps(value).encode()  # noqa: E731
    return st.one_of(
        st.binary(max_size=40),
        values.map(write),
        mutated(valid).map(write),
        mutated(valid).map(write),
        damaged(write(valid)),
        st.sampled_from([b"[" * 100_000, b"\xff\xfe{\x00}\x00", b'{"state": 1' + b"0" * 5000, b""]),
    )
