"""Sizes that no machine can hold are refused before anything of them is made."""

import dataclasses
import os
import shutil
from typing import Any

import pytest
import torch
from torch import nn

from gsnr_sweep.data.base import DataSpec
from gsnr_sweep.errors import GsnrError
from gsnr_sweep.preflight import measure_check, model_check, size_check
from gsnr_sweep.preflight.check import check
from gsnr_sweep.preflight.cost import estimate
from gsnr_sweep.preflight.size_check import available_memory, check_sets, check_weights
from tests.conftest import TINY, expanded, tiny_config

IMAGES = DataSpec("digits", (1, 28, 28), 10, "classification", None, None, "")


@pytest.fixture
def of_16_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_check, "available_memory", lambda: (16 * 10**9, "this machine has"))


def told(*arguments: str) -> str:
    with pytest.raises(GsnrError) as refusal:
        check(expanded(*TINY, *arguments).points)
    said = str(refusal.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("n=1000000000000", "n=1000000000000: 2 training sets of n=1000000000000 and a test set"),
        ("n=100000000", "take at least 161.6 GB of memory; this machine has 16.0 GB. Give a "),
        ("n_test=1000000000", "n_test=1000000000: 2 training sets of n=30 and"),
        ("n_sets=1000000000", "n_sets=1000000000: 1000000000 training sets of n=30 and"),
        ("n=9223372036854775807", "take at least 14,904 EB of memory"),
        ("n=9223372036854775808", "n: size of each training set must be at most 92233720368547"),
        (f"n_sets={'9' * 300}", "n_sets: number M of training sets, and so of replicas must be at"),
        (f"n_sets={'9' * 400}", "no key takes a number of 400 digits"),
    ],
)
@pytest.mark.usefixtures("of_16_gb")
def test_sets_beyond_the_machine(argument: str, words: str) -> None:
    said = told(argument)
    assert words in said
    assert len(said) < 400


@pytest.mark.usefixtures("of_16_gb")
def test_nothing_is_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*_: object, **__: object) -> None:
        raise AssertionError("something was made")

    monkeypatch.setattr(model_check, "build_model", make)
    assert "Give a smaller n." in told("n=1000000000")


@pytest.mark.usefixtures("of_16_gb")
def test_a_confusion_set_beyond_the_machine() -> None:
    said = told("data.confusion=100000000")
    assert said.startswith(
        "data.confusion=100000000: 2 training sets of n=30 + 100000000 of a confusion set and a "
    )
    assert said.endswith("Give a smaller data.confusion.")


@pytest.mark.parametrize("confusion", [0, 1000])
def test_what_is_counted(confusion: int) -> None:
    cfg = dataclasses.replace(tiny_config(), n=10**6, n_sets=4, n_test=10**5)
    least = 4 * 10**6 * (784 + 8 + 16) + 10**5 * (784 + 8) + 4 * 5000
    if confusion:
        cfg = dataclasses.replace(
            cfg, n=10**6 - confusion, data=dataclasses.replace(cfg.data, confusion=confusion)
        )

    def refused_at(memory: int) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(size_check, "available_memory", lambda: (memory, "this machine has"))
            try:
                check_sets(cfg, IMAGES)
            except GsnrError:
                return True
            return False

    assert refused_at(least - 1)
    assert not refused_at(least)


@pytest.mark.parametrize("width", [10**9, 10**15, 10**18, 10**30])
@pytest.mark.parametrize("model", ["mlp", "table2_cnn", "table3_cnn", "vgg"])
@pytest.mark.usefixtures("of_16_gb")
def test_widths_beyond_the_machine(model: str, width: int) -> None:
    said = told(f"model={model}", f"ch={width}")
    assert said.startswith(f"ch={width}: ") or said.startswith("ch: width of the model")
    assert "Give a smaller ch." in said or "must be at most" in said


@pytest.mark.usefixtures("of_16_gb")
def test_weights_beyond_the_machine() -> None:
    check_weights(3, 129_032_258)  # 124 bytes each
    with pytest.raises(GsnrError, match=r"ch=3: a network this wide has 129,032,259 weights"):
        check_weights(3, 129_032_259)


@pytest.mark.usefixtures("of_16_gb")
def test_a_width_whose_weights_would_fit_but_not_their_trial() -> None:
    said = told("model=mlp", "ch=170000")
    assert said.startswith("ch=170000: a network this wide has 135,150,010 weights. To measure one")
    assert said.endswith(
        "takes about 16.8 GB of memory; this machine has 16.0 GB. Give a smaller ch."
    )


@pytest.mark.usefixtures("of_16_gb")
def test_what_is_to_run_here_must_fit_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_check, "available_memory", lambda: (4 * 10**12, "nobody has"))
    monkeypatch.setattr(size_check, "memory_limit", lambda: 16 * 10**9)
    check_weights(3, 129_032_259)
    check_weights(3, 129_032_258, here=True)
    with pytest.raises(GsnrError, match=r"of memory; this process may have 16\.0 GB\. Give"):
        check_weights(3, 129_032_259, here=True)


def test_what_only_a_larger_machine_can_measure_is_tried_at_half_its_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a cluster is at hand; nothing of its own size is made, and its memory is stated."""
    monkeypatch.setattr(size_check, "available_memory", lambda: (4 * 10**12, "nobody has"))
    monkeypatch.setattr(size_check, "memory_limit", lambda: 10**8)
    monkeypatch.setattr(model_check, "_MOST_TRIED", 800_000)
    made = []
    real = model_check.build_model

    def build(cfg: object, ch: int, *rest: Any, **more: Any) -> nn.Module:
        model = real(cfg, ch, *rest, **more)  # type: ignore[arg-type]
        made.append(0 if next(model.parameters()).is_meta else ch)
        return model

    monkeypatch.setattr(model_check, "build_model", build)
    monkeypatch.setattr(measure_check, "build_model", build)
    arguments = ("data=digits", "model=mlp", "ch=16000", "measures=neyshabur")
    (point,) = check(expanded(*TINY, *arguments).points)
    assert point.n_parameters == 795 * 16000 + 10
    assert set(made) == {0, 1000}
    (found,) = estimate([point], [])
    assert found.seconds is None
    assert found.memory_bytes > 124 * point.n_parameters


def test_a_network_that_fits_is_tried_as_before() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    (point,) = check(expanded(*TINY, "ch=7").points)
    assert point.n_parameters == 51_294
    assert torch.equal(torch.get_rng_state(), before)


def test_where_slurm_is_at_hand_runs_may_be_for_larger_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}.__getitem__)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert available_memory() == (3 * 4096, "this process may have")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert available_memory()[0] == 4 * 10**12
