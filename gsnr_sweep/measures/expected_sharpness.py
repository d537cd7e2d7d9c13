"""Expected sharpness against KL divergence, and the PAC-Bayes bound of both."""

from __future__ import annotations

import math

from gsnr_sweep.measures.complexity import pac_bayes
from gsnr_sweep.measures.complexity.settings import ComplexityConfig
from gsnr_sweep.measures.progress import Progress
from gsnr_sweep.measures.trained_network import PassCounts, TrainedNetwork, of_network
from gsnr_sweep.measures.undefined import Undefined


def _cost(settings: ComplexityConfig) -> PassCounts:
    networks = float(settings.sharpness_alpha_count * settings.sharpness_draws)
    samples = settings.sharpness_batch or settings.sharpness_samples
    return PassCounts(1.0, networks * samples) if samples else PassCounts(networks)


@of_network(passes=_cost)
def expected_sharpness(network: TrainedNetwork) -> dict[str, float | list[float]]:
    """E_ν[L̂(f_{w+ν})] − L̂(f_w) and KL for ν_i ~ N(0, σ_i²), σ_i = α(10|w_i| + 1), over α.

    Neyshabur et al. 2017, eqs. (4) and (5) and Figs. 2 to 4; batch normalization folded, the same
    draws at every α.

    Returns:
        Lists over α: ``sharpness_alphas``, ``expected_sharpness``, ``expected_sharpness_se``, its
        standard error over the draws, and ``log10_kl``, of Σ_i w_i² / (2σ_i²). Numbers:
        ``log10_kl_at_sharpness`` where expected sharpness is ``measures.sharpness_level``, and
        ``pac_bayes_bound``, the smallest over the α of the bound (4) with δ shared among them.
    """
    settings, alphas = network.settings, network.settings.sharpness_alphas
    size = settings.sharpness_samples or len(network.samples)
    found = pac_bayes.expected_sharpness(
        network.folded,
        next(network.samples.parts(size)),
        network.loss,
        alphas,
        draws=settings.sharpness_draws,
        batch_size=settings.sharpness_batch,
        chunk_size=network.chunk_size,
        on_progress=Progress("expected sharpness"),
    )
    kl = pac_bayes.kl(network.folded, alphas)
    crossing = pac_bayes.kl_at_sharpness(alphas, found.mean, kl, settings.sharpness_level)
    m, delta = len(network.samples), settings.pac_bayes_delta / len(alphas)
    bounds = pac_bayes.pac_bayes_bound(found.train_loss, found.mean, kl, m, delta)
    return {
        "sharpness_alphas": alphas,
        "expected_sharpness": found.mean.tolist(),
        "expected_sharpness_se": found.standard_error.tolist(),
        "log10_kl": kl.log10().tolist(),
        "log10_kl_at_sharpness": (
            Undefined(crossing.reason) if crossing.reason else math.log10(crossing.kl)
        ),
        "pac_bayes_bound": pac_bayes.smallest_bound(alphas, bounds).bound,
    }
