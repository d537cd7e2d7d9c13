"""Loading the compiled kernels, and the kernels one by one against plain sums in float64."""

import shutil
from pathlib import Path

import pytest
import torch

from gsnr_sweep.engine.cpu.kernels import Kernels, available, compiled, load_kernels
from gsnr_sweep.errors import GsnrError
from tests.engine.instruction_sets import EACH, needs_kernels


@pytest.fixture(params=EACH)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param)


@needs_kernels
def test_the_best_instruction_set_is_taken() -> None:
    found = load_kernels()
    assert found is not None
    assert found.instruction_set == available()[0]
    assert load_kernels("none") is None
    baseline = load_kernels("baseline")
    assert baseline is not None
    assert baseline.lanes == 4


def test_without_a_compiler_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: ())
    assert load_kernels() is None
    with pytest.raises(GsnrError, match=r"kernels=avx2: .*There is: auto, none\."):
        load_kernels("avx2")


def test_a_broken_library_counts_as_none(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "_lanes.so"
    broken.write_text("not a library")
    monkeypatch.setattr(compiled, "_compiled", lambda: broken)
    assert available.__wrapped__() == ()


def test_strided_tensors_are_refused(kernels: Kernels) -> None:
    with pytest.raises(AssertionError):
        kernels.call("conv_bias", None, torch.zeros(4, 4).T)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 300])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (7, 70), (40, 64)])
def test_outer_products(kernels: Kernels, n: int, outputs: int, inputs: int) -> None:
    generator = torch.Generator().manual_seed(n)
    b = torch.randn(n, outputs, generator=generator)
    b = b * (torch.rand(n, outputs, generator=generator) > 0.5)
    a = torch.randn(n, inputs, generator=generator) * (torch.rand(n, inputs) > 0.3)
    gradients = b.double()[:, :, None] * a.double()[:, None, :]
    expected = torch.stack(
        [
            gradients.sum(0),
            gradients.square().sum(0),
            (gradients > 0).sum(0),
            (gradients < 0).sum(0),
        ]
    )
    for wanted in (1, 2, 4):
        sums = torch.ones(wanted, outputs, inputs, dtype=torch.float64)
        scratch = torch.empty(kernels.scratch("outer", n, outputs))
        kernels.call("outer_products", b, a, sums, scratch, n, outputs, inputs, wanted)
        torch.testing.assert_close(sums - 1, expected[:wanted], rtol=1e-5, atol=2e-5)
        if wanted == 4:
            assert torch.equal(sums[2:] - 1, expected[2:])


def test_outer_products_pass_nan_on(kernels: Kernels) -> None:
    b, a = torch.zeros(3, 2), torch.ones(3, 5)
    b[1, 0] = float("nan")
    sums = torch.zeros(1, 2, 5, dtype=torch.float64)
    scratch = torch.empty(kernels.scratch("outer", 3, 2))
    kernels.call("outer_products", b, a, sums, scratch, 3, 2, 5, 1)
    assert sums[0, 0].isnan().all()
    assert (sums[0, 1] == 0).all()


@needs_kernels
def test_kernels_of_other_sources_are_not_used(
    tmp_path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    for path in Path(compiled.__file__).parent.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    assert available.__wrapped__() == available()
    (tmp_path / "lanes.h").write_text("/* edited since */")
    assert available.__wrapped__() == ()
    assert "install the package again" in caplog.text
