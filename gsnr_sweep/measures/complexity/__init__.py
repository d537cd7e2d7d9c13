"""Measures of a trained network: norms over margin, sharpness, PAC-Bayes, Theorem 1."""
