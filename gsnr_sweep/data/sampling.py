"""The M training sets and the test set of one run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gsnr_sweep.data.base import DataSpec, Distribution
from gsnr_sweep.data.label_noise import confusion_labels, randomize_labels
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import Stream
from gsnr_sweep.data.settings import SamplingSettings


@dataclass(frozen=True)
class RunSets:
    """The data of one run.

    Attributes:
        train: M training sets of n samples and, behind them, the K of its confusion set.
        test: One test set, common to all replicas.
        pool: Number of samples that the training sets are drawn from; None for fresh draws.
    """

    train: list[Samples]
    test: Samples
    pool: int | None = None


def draw_sets(source: Distribution, settings: SamplingSettings) -> RunSets:
    """Draw a run's sets from a distribution, label noise and confusion sets included.

    Test labels are randomized as training labels are unless ``data.noisy_test`` is off: eq. (19)
    holds for a test set that is a draw of the same distribution Z.
    """
    spec = source.spec
    train = [_train_set(source, settings, m) for m in range(settings.n_sets)]
    test = source.test_set(settings.n_test, settings.seed)
    if settings.noisy_test:
        test = _noisy(test, spec, settings, Stream.TEST_LABELS, 0)
    return RunSets(train, test, spec.n_train)


def _train_set(source: Distribution, settings: SamplingSettings, m: int) -> Samples:
    """Draw a training set and, as samples n + 1 to n + K of the same draw, its confusion set.

    A larger set begins with the smaller one, so that the n samples do not depend on K, and the
    confusion set of a larger K begins with that of a smaller one.
    """
    spec, size, seed = source.spec, settings.confusion, settings.seed
    drawn = source.train_set(settings.n + size, m, seed)
    if not size:
        return _noisy(drawn, spec, settings, Stream.TRAIN_LABELS, m)
    marked = replace(drawn, clean=settings.n)
    noisy = _noisy(marked.clean_part, spec, settings, Stream.TRAIN_LABELS, m)
    confused = confusion_labels(size, spec.n_outputs, seed, m).to(noisy.y)
    return replace(marked, y=torch.cat([noisy.y, confused]))


def _noisy(
    samples: Samples, spec: DataSpec, settings: SamplingSettings, stream: Stream, index: int
) -> Samples:
    if settings.p_random == 0 or spec.task == "regression":
        return samples
    kind = settings.label_noise
    labels = randomize_labels(
        samples.y, spec.n_outputs, settings.p_random, kind, settings.seed, stream, index
    )
    return replace(samples, y=labels)
