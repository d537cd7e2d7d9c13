"""Standardization and batches against NumPy."""

import numpy as np
import pytest
import torch

from gsnr_sweep.data.samples import Samples, Standardization

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, size=(11, 3, 4, 5), dtype=np.uint8)


def test_standardization_is_by_channel() -> None:
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.25, 2.0])
    rule = Standardization(tuple(mean), tuple(std), 255.0)
    expected = (PIXELS / 255 - mean[:, None, None]) / std[:, None, None]
    found = rule(torch.from_numpy(PIXELS).double())
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


def test_standardization_of_plain_features() -> None:
    x = rng.normal(size=(7, 3))
    found = Standardization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), (x - [1, 2, 3]) / [4, 5, 6], atol=1e-6)


def test_without_constants_only_pixels_are_scaled() -> None:
    x = torch.from_numpy(PIXELS).double()
    assert torch.equal(Standardization(scale=255.0)(x), x / 255)
    assert Standardization()(x) is x


def test_the_clean_part_is_known_on_every_device() -> None:
    samples = Samples(torch.arange(10.0).view(5, 2), torch.arange(5), clean=3)
    there = samples.to(torch.device("meta"))
    assert (there.clean, len(there), there.x.device.type) == (3, 5, "meta")
    part = samples.clean_part
    assert torch.equal(part.x, samples.x[:3])
    assert part.y.tolist() == [0, 1, 2]
    assert part.clean is None
    assert part.clean_part is part


@pytest.mark.parametrize("size", [1, 3, 11, 50])
def test_chunks_go_through_all_samples_in_order(size: int) -> None:
    samples = Samples(
        torch.from_numpy(PIXELS), torch.arange(11), Standardization((0.1,) * 3, (0.3,) * 3, 255.0)
    )
    chunks = list(samples.chunks(size, torch.float32))
    assert all(len(x) == len(y) <= size for x, y in chunks)
    assert torch.equal(torch.cat([y for _, y in chunks]), torch.arange(11))
    whole, _ = samples.batch(0, 11, torch.float32)
    assert whole.dtype == torch.float32
    assert torch.equal(torch.cat([x for x, _ in chunks]), whole)
    expected = (PIXELS / 255 - 0.1) / 0.3
    np.testing.assert_allclose(whole.numpy(), expected, atol=2e-6)
