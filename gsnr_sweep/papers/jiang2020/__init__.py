"""Jiang et al. 2020, "Fantastic Generalization Measures and Where to Find Them"."""
