"""The M training sets and the test set of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from gsnr_sweep.config.schema import Config
from gsnr_sweep.data.base import DataSpec, Distribution
from gsnr_sweep.data.label_noise import randomize_labels
from gsnr_sweep.data.samples import Samples
from gsnr_sweep.data.seeding import Stream


@dataclass(frozen=True)
class RunSets:
    """The data of one run.

    Attributes:
        train: M training sets of n samples.
        test: One test set, common to all replicas.
    """

    train: list[Samples]
    test: Samples


def draw_sets(source: Distribution, cfg: Config) -> RunSets:
    """Draw a run's sets from a distribution, label noise included.

    Test labels are randomized as training labels are unless ``data.noisy_test`` is off: eq. (19)
    holds for a test set that is a draw of the same distribution Z.
    """
    spec = source.spec
    train = [
        _noisy(source.train_set(cfg.n, m, cfg.seed), spec, cfg, Stream.TRAIN_LABELS, m)
        for m in range(cfg.n_sets)
    ]
    test = source.test_set(cfg.n_test, cfg.seed)
    if cfg.data.noisy_test:
        test = _noisy(test, spec, cfg, Stream.TEST_LABELS, 0)
    return RunSets(train, test)


def _noisy(samples: Samples, spec: DataSpec, cfg: Config, stream: Stream, index: int) -> Samples:
    if cfg.p_random == 0 or spec.task == "regression":
        return samples
    kind = cast(Literal["uniform", "different"], cfg.data.label_noise)
    labels = randomize_labels(
        samples.y, spec.n_outputs, cfg.p_random, kind, cfg.seed, stream, index
    )
    return Samples(samples.x, labels, samples.standardization)
