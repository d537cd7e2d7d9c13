"""Full-batch batch normalization against PyTorch's own on the whole batch, in float64."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gsnr_sweep.errors import GsnrError
from gsnr_sweep.gradients.batchnorm import (
    FullBatchNorm,
    Mode,
    norms_in_order,
    replace_batchnorm,
)
from gsnr_sweep.gradients.full_batch import full_batch_gradient, use_full_batch_statistics
from gsnr_sweep.gradients.parts import whole
from gsnr_sweep.losses.loss import CROSS_ENTROPY
from gsnr_sweep.models.table3_cnn import Table3CNN

N = 12


def _networks() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """The same weights with PyTorch's layers and with ours."""
    torch.manual_seed(0)
    reference = Table3CNN(2, (3, 16, 16), 4).double().train()
    with torch.no_grad():
        for module in reference.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.normal_(1, 0.2)
                module.bias.normal_(0, 0.2)
    torch.manual_seed(0)
    ours = replace_batchnorm(Table3CNN(2, (3, 16, 16), 4)).double().eval()
    ours.load_state_dict(dict(reference.named_parameters()))
    x, y = torch.randn(N, 3, 16, 16).double(), torch.randint(0, 4, (N,))
    return reference, ours, x, y


def _batches(x: Tensor, y: Tensor, size: int):
    return lambda: ((x[i : i + size], y[i : i + size]) for i in range(0, len(x), size))


def _loss_sum(outputs: Tensor, y: Tensor) -> Tensor:
    return CROSS_ENTROPY(outputs, y).sum()


@pytest.mark.parametrize("size", [1, 5, 12])
def test_gradient_through_the_statistics_is_that_of_one_full_batch(size: int) -> None:
    reference, ours, x, y = _networks()
    expected = torch.autograd.grad(_loss_sum(reference(x), y), list(reference.parameters()))
    norms = norms_in_order(ours, x[:2])
    found = full_batch_gradient(
        whole(ours, norms), _batches(x, y, size), _loss_sum, list(ours.parameters())
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [1, 5, 12])
def test_statistics_are_those_of_the_full_batch(size: int) -> None:
    reference, ours, x, y = _networks()
    norms = norms_in_order(ours, x[:2])
    assert [type(norm) for norm in norms] == [FullBatchNorm] * 8
    use_full_batch_statistics(ours, norms, _batches(x, y, size), n_batches=-(-N // size))
    assert all(norm.mode is Mode.FIXED for norm in norms)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), reference(x), rtol=1e-10, atol=1e-12)
        one_by_one = torch.cat([ours(x[i : i + 1]) for i in range(N)])
    torch.testing.assert_close(one_by_one, reference(x).detach(), rtol=1e-10, atol=1e-12)


def test_single_batch_mode_is_pytorchs_training_mode() -> None:
    reference, ours, x, y = _networks()
    for norm in norms_in_order(ours, x[:2]):
        norm.mode = Mode.BATCH
    expected = torch.autograd.grad(_loss_sum(reference(x), y), list(reference.parameters()))
    found = torch.autograd.grad(_loss_sum(ours(x), y), list(ours.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_float32_statistics_are_precise() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 3, 32, 32) * 0.5 + 3
    norm = replace_batchnorm(nn.BatchNorm2d(3)).eval()
    batches = partial(iter, [(x, x)])
    use_full_batch_statistics(norm, norms_in_order(norm, x), batches, 1)
    exact = x.double()
    torch.testing.assert_close(norm.mean.double(), exact.mean((0, 2, 3)), rtol=1e-7, atol=0)
    torch.testing.assert_close(
        norm.var.double(), exact.var((0, 2, 3), correction=0), rtol=1e-6, atol=0
    )


def test_a_layer_used_twice_is_refused() -> None:
    norm = nn.BatchNorm1d(3)
    model = replace_batchnorm(nn.Sequential(norm, nn.Tanh(), norm))
    with pytest.raises(GsnrError, match="twice"):
        norms_in_order(model, torch.randn(4, 3))
