"""Distributions Z from which the training sets D and the test set D' are drawn.

`distribution` turns a data config into a `Distribution`; `draw_sets` draws the M training sets and
the test set of one run from it, label noise included.
"""
