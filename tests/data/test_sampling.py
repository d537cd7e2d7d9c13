"""The sets of a run: independent draws, the same for the same config, label noise as asked."""

import pytest
import torch
from torch import Tensor

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.fingerprint import samples_digest
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets, draw_sets
from tests.conftest import tiny_config

SOURCES = ["data=digits", "data=toy"]


def _sets(*overrides: str) -> RunSets:
    cfg = tiny_config("n_sets=3", *overrides)
    return draw_sets(distribution(cfg.data), cfg.sampling)


def sets_digest(sets: RunSets) -> str:
    return samples_digest([*sets.train, sets.test])


def _same(one: Samples, other: Samples) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


def _images(samples: Samples) -> set[bytes]:
    return {image.numpy().tobytes() for image in samples.x}


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_config_gives_the_same_sets(source: str) -> None:
    one, other = _sets(source), _sets(source)
    assert sets_digest(one) == sets_digest(other)
    assert all(map(_same, [*one.train, one.test], [*other.train, other.test]))


@pytest.mark.parametrize("source", SOURCES)
def test_sets_do_not_depend_on_the_order_of_drawing(source: str) -> None:
    cfg = tiny_config(source, "n_sets=3")
    expected = _sets(source)
    place = distribution(cfg.data)
    test = place.test_set(cfg.n_test, cfg.seed)
    train = [place.train_set(cfg.n, m, cfg.seed) for m in (2, 0, 1)]
    assert _same(test, expected.test)
    assert all(_same(train[i], expected.train[m]) for i, m in enumerate((2, 0, 1)))


@pytest.mark.parametrize("source", SOURCES)
def test_no_two_sets_share_a_sample(source: str) -> None:
    sets = _sets(source, "n=200", "n_test=200")
    seen: set[bytes] = set()
    for samples in (*sets.train, sets.test):
        images = _images(samples)
        assert len(images) == 200
        assert not images & seen
        seen |= images


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("change", ["seed=1", "n=31", "n_test=51", "n_sets=4"])
def test_other_configs_give_other_sets(source: str, change: str) -> None:
    cfg = tiny_config(source, "n_sets=3", change)
    assert sets_digest(draw_sets(distribution(cfg.data), cfg.sampling)) != sets_digest(
        _sets(source)
    )


@pytest.mark.parametrize("source", [*SOURCES, "p_random=0.5"])
def test_a_larger_n_extends_the_smaller_set(source: str) -> None:
    small, large = _sets(source), _sets(source, "n=70", "n_test=90")
    for a, b in zip([*small.train, small.test], [*large.train, large.test], strict=True):
        assert torch.equal(a.x, b.x[: len(a)])
        assert torch.equal(a.y, b.y[: len(a)])


@pytest.mark.parametrize(
    "change", ["ch=9", "lr=0.5", "epochs=1", "measure_at=[1]", "dtype=float64", "chunk_size=3"]
)
def test_settings_of_training_leave_the_sets_alone(change: str) -> None:
    assert sets_digest(_sets()) == sets_digest(_sets("measure_at=[0]", change))


def _changed(noisy: Samples, clean: Samples) -> Tensor:
    return noisy.y != clean.y


def test_label_noise_changes_labels_and_nothing_else() -> None:
    clean = _sets("n=500", "n_test=500")
    noisy = _sets("n=500", "n_test=500", "p_random=0.5")
    changed = []
    for a, b in zip([*clean.train, clean.test], [*noisy.train, noisy.test], strict=True):
        assert torch.equal(a.x, b.x)
        changed.append(_changed(b, a).double())
    assert all(0.35 < float(one.mean()) < 0.55 for one in changed)  # 0.5 · 9/10 ± 4.5 σ
    for i, one in enumerate(changed):
        for other in changed[:i]:  # each set has noise of its own
            assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.2


def test_test_labels_stay_clean_if_asked() -> None:
    clean, noisy = _sets(), _sets("p_random=0.5", "data.noisy_test=false")
    assert _same(noisy.test, clean.test)
    assert not torch.equal(noisy.train[0].y, clean.train[0].y)


def test_always_a_different_class() -> None:
    clean, noisy = _sets(), _sets("p_random=1", "data.label_noise=different")
    assert all(bool(_changed(b, a).all()) for a, b in zip(clean.train, noisy.train, strict=True))


def test_targets_of_a_regression_are_never_randomized() -> None:
    cfg = tiny_config("data=toy")
    randomized: Config = tiny_config("data=toy", "p_random=0.5")  # refused before a run
    place = distribution(cfg.data)
    assert sets_digest(draw_sets(place, cfg.sampling)) == sets_digest(
        draw_sets(place, randomized.sampling)
    )
