"""Pearson's and Spearman's coefficients against SciPy, of the sweep and of its resamples."""

import numpy as np
import pytest
from scipy import stats

from gsnr_sweep.analysis.correlation import pearson, spearman
from gsnr_sweep.analysis.seeds import Resamples
from tests.analysis.ranking.made_up import grid


@pytest.mark.parametrize("ties", [False, True])
def test_resamples_are_scipys_of_their_networks(ties: bool) -> None:
    networks, measure = grid(3)
    measure = np.round(measure) if ties else measure
    resamples = Resamples(3, 15)
    points = (measure, networks.target, resamples.weights(networks.seeds))
    found = pearson(*points), spearman(*points)
    for row, counts in enumerate(resamples.counts):
        drawn = np.repeat(np.arange(len(networks)), counts[networks.seeds].astype(int))
        x, y = measure[drawn], networks.target[drawn]
        assert found[0][row] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
        assert found[1][row] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
