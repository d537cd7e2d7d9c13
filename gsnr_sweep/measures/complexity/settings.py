"""Settings of measures of trained networks (Neyshabur et al. 2017), part of group ``measures``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from gsnr_sweep.settings import default, unset


@dataclass
class ComplexityConfig:
    """How trained networks are measured; nothing here changes a step's measures."""

    networks_at: str = default(
        "all",
        "when trained networks are measured: all (at every scheduled epoch), or end (at the end of "
        "training only)",
    )
    on: str = default(
        "union",
        "training samples that trained networks are measured on: union (all), or clean (without "
        "those of data.confusion)",
    )
    margin_epsilon: float = default(
        0.05, "share of training samples whose margin lies below γ (norms over γ²)"
    )
    margin_rule: str = default(
        "interpolated",
        "γ between two samples' margins: interpolated, or order (the margin of a sample)",
    )
    norm_bias: str = default(
        "edge", "biases in path norms: edge (from a unit that is always 1), or none (left out)"
    )
    norm_pooling: str = default(
        "as_is",
        "pooling in path norms: as_is (largest or mean of a window), or paths (its sum)",
    )
    max_sharpness_alpha: float = default(
        5e-4, "α of max sharpness: weights move by at most α(|w| + 1)"
    )
    max_sharpness_steps: int = default(2000, "steps of gradient ascent to the largest loss")
    max_sharpness_batch: int | None = default(
        64, "samples in a mini-batch of the ascent; null: the whole training set"
    )
    max_sharpness_starts: int = default(
        1, "ascents, the larger result counts: 1 (momentum), or 2 (and one along signs)"
    )
    sharpness_alpha: float = default(
        1e-3, "smallest α of expected sharpness: noise of standard deviation α(10|w| + 1)"
    )
    sharpness_alpha_ratio: float = default(1.2, "ratio of neighbouring α of expected sharpness")
    sharpness_alpha_count: int = default(21, "how many α expected sharpness is taken at")
    sharpness_draws: int = default(50, "draws of the noise, the same for every α")
    sharpness_samples: int | None = default(
        1000, "training samples that expected sharpness is taken on, the first ones; null: all"
    )
    sharpness_batch: int | None = unset(
        "samples in a random mini-batch for each draw of the noise; null: all of them"
    )
    sharpness_level: float = default(0.05, "expected sharpness at which log10_kl_at_sharpness is")
    pac_bayes_delta: float = default(0.05, "δ of the PAC-Bayes bound, which holds with 1 − δ")
    flatness_drop: float = default(
        0.1, "loss of training accuracy that noise of the weights may cause (flatness)"
    )
    flatness_draws: int = default(10, "draws of that noise, the same at every level")
    flatness_steps: int = default(20, "steps of gradient ascent to a box's worst point (flatness)")
    flatness_samples: int | None = default(
        1000, "training samples that flatness is taken on, the first ones; null: all"
    )
    condition_samples: int = default(10, "training samples that the conditions are checked on")
    condition_draws: int = default(10, "draws of the perturbation of the weights, for C2")

    def for_trial(self) -> ComplexityConfig:
        """Return settings with which every measure is as good as free, to see whether it works."""
        own = {item.name: getattr(self, item.name) for item in fields(ComplexityConfig)}
        return replace(
            ComplexityConfig(**own),
            networks_at="all",
            max_sharpness_steps=2,
            sharpness_alpha_count=2,
            sharpness_draws=2,
            flatness_draws=1,
            flatness_steps=1,
            condition_samples=1,
            condition_draws=2,
        )

    @property
    def sharpness_alphas(self) -> list[float]:
        """The α of expected sharpness, a geometric grid."""
        ratio, count = self.sharpness_alpha_ratio, self.sharpness_alpha_count
        return [self.sharpness_alpha * ratio**k for k in range(count)]
