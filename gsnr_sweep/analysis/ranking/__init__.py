"""How well measures order trained networks by their generalization, after Jiang et al. 2020."""

from gsnr_sweep.analysis.ranking.ranking import Kind, MeasureRank, Ranking, rank_measures
from gsnr_sweep.analysis.seeds import Statistic

__all__ = ["Kind", "MeasureRank", "Ranking", "Statistic", "rank_measures"]
