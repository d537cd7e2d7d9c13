"""Data sets as inputs of a run: of one run its own, of a sweep all together."""

import hashlib
import json

from gsnr_sweep.tracking.data_sets import inputs_of


def data(train: str, test: str = "t", size: int = 50, name: str = "digits") -> dict:
    digests = {"train_digest": train, "test_digest": test}
    sizes = {"train_size": size, "train_sets": 10, "test_size": 200}
    return {"name": name, "source": "scikit-learn", **digests, **sizes}


def told(*each: dict) -> dict:
    inputs = inputs_of(each)
    assert all(len(i.tags) == 1 and i.tags[0].key == "mlflow.data.context" for i in inputs)
    return {
        (i.dataset.name, i.tags[0].value): (i.dataset.digest, json.loads(i.dataset.profile))
        for i in inputs
    }


def test_one_run() -> None:
    assert told(data("a")) == {
        ("digits training", "training"): ("a", {"samples": 50, "sets": 10}),
        ("digits testing", "testing"): ("t", {"samples": 200, "sets": 1}),
    }
    (source,) = {i.dataset.source for i in inputs_of([data("a")])}
    assert json.loads(source) == {"uri": "scikit-learn"}


def test_sets_that_differ_are_one_input_whatever_their_order() -> None:
    both = hashlib.sha256(b"a b").hexdigest()[:16]
    expected = {
        ("digits training", "training"): (both, {"samples": [50, 100], "sets": 20}),
        ("digits testing", "testing"): ("t", {"samples": 200, "sets": 1}),
    }
    assert told(data("b", size=100), data("a"), data("a")) == expected
    assert told(data("a"), data("b", size=100)) == expected


def test_each_kind_of_data_has_its_own() -> None:
    assert set(told(data("a"), data("b", name="toy"))) == {
        (f"{name} {context}", context)
        for name in ("digits", "toy")
        for context in ("training", "testing")
    }


def test_what_has_no_digests_is_left_out() -> None:
    assert inputs_of([{}, {"name": "digits", "source": "", "test_digest": "t"}]) == []
