"""The sets of a run: independent draws, the same for the same config, label noise as asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.fingerprint import describe_data, samples_digest
from gsnr_sweep.data.registry import distribution
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.sampling import RunSets, draw_sets
from tests.conftest import tiny_config

SOURCES = ["data=digits", "data=toy"]
POOL = 150


def pair() -> Any:
    """A user's own pair of data sets: sample i is (i, 2 i), its label i modulo 7."""
    dataset = [((float(i), 2.0 * i), i % 7) for i in range(POOL)]
    return dataset, dataset


OWN = ("data=custom", f"data._target_={__name__}.pair")


@pytest.fixture
def npz(tmp_path: Path) -> tuple[str, ...]:
    """The same samples in an .npz file."""
    x, y = np.arange(POOL)[:, None] * np.array([1.0, 2.0]), np.arange(POOL) % 7
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return ("data=npz", f"data.path={tmp_path / 'mine.npz'}")


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


@pytest.mark.parametrize("source", [OWN, "npz"])
def test_a_larger_n_extends_the_smaller_set_of_a_pool(
    source: tuple[str, ...] | str, npz: tuple[str, ...]
) -> None:
    own = npz if isinstance(source, str) else source
    small, large = (_sets(*own, f"n={n}", f"n_test={n}", "p_random=0.5") for n in (30, 149))
    for a, b in zip([*small.train, small.test], [*large.train, large.test], strict=True):
        assert len(_images(b)) == len(b) == 149
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


# --- confusion sets


@pytest.mark.parametrize("noise", ["p_random=0", "p_random=0.5", "random_labels=true"])
@pytest.mark.parametrize("source", ["digits", "pair", "npz"])
def test_the_clean_part_does_not_depend_on_the_confusion_set(
    source: str, noise: str, npz: tuple[str, ...]
) -> None:
    own = {"digits": ("data=digits",), "pair": OWN, "npz": npz}[source]
    without = _sets(*own, noise)
    assert all(samples.clean is None for samples in (*without.train, without.test))
    sets = {size: _sets(*own, noise, f"data.confusion={size}") for size in (1, 20, 70)}
    for size, drawn in sets.items():
        assert _same(drawn.test, without.test)
        assert drawn.test.clean is None
        for samples, clean, largest in zip(drawn.train, without.train, sets[70].train, strict=True):
            assert (samples.clean, len(samples)) == (30, 30 + size)
            assert _same(samples.clean_part, clean)
            assert torch.equal(samples.x, largest.x[: len(samples)])
            assert torch.equal(samples.y, largest.y[: len(samples)])
            assert len(_images(samples)) == len(samples)  # none of the n, and none twice


def test_a_confusion_set_is_the_next_of_the_permutation_with_labels_of_its_own() -> None:
    sets = _sets(*OWN, "n=40", "data.confusion=110", "seed=5", "p_random=0")
    values = np.arange(POOL)
    for m, samples in enumerate(sets.train):
        place = np.random.SeedSequence(5, spawn_key=(1, m)).spawn(1)[0]
        order = np.random.Generator(np.random.Philox(place)).permutation(POOL)
        place = np.random.SeedSequence(5, spawn_key=(7, m)).spawn(1)[0]
        labels = np.random.Generator(np.random.Philox(place)).integers(7, size=110)
        expected = (values[order] - values.mean()) / values.std()  # standardized by the pool
        np.testing.assert_allclose(samples.x[:, 0].numpy(), expected, atol=1e-6)
        assert samples.y.tolist() == [*(order[:40] % 7), *labels]


def test_confusion_labels_are_uniform_and_say_nothing_of_the_images() -> None:
    size = 4000
    (train, other) = _sets(f"data.confusion={size}", "n_sets=2").train
    truth = distribution(tiny_config().data).train_set(30 + size, 0, 0).y[30:]
    labels = train.y[30:]
    assert int(labels.min()) == 0
    table = torch.zeros(10, 10)
    table.index_put_((truth, labels), torch.ones(size), accumulate=True)
    expected = table.sum(1, keepdim=True) / 10
    assert float(((table - expected).square() / expected).sum()) < 150  # χ², 90 degrees: 99.99 %
    assert abs(float((labels == other.y[30:]).double().mean()) - 0.1) < 0.025


@pytest.mark.parametrize("change", ["p_random=0.5", "p_random=1", "data.label_noise=different"])
def test_confusion_labels_do_not_depend_on_label_noise(change: str) -> None:
    plain, other = _sets("data.confusion=50"), _sets("data.confusion=50", change)
    for a, b in zip(plain.train, other.train, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y[30:], b.y[30:])


def test_a_confusion_set_is_noted_in_the_record() -> None:
    cfg = tiny_config("data.confusion=8")
    source = distribution(cfg.data)
    noted = describe_data(source.spec, draw_sets(source, cfg.sampling), [])
    assert (noted["train_size"], noted["confusion"], noted["test_size"]) == (38, 8, 50)
    plain = describe_data(source.spec, _sets(), [])
    assert plain["confusion"] == 0
    assert plain["train_digest"] != noted["train_digest"]
