"""M replicas from the same initial weights, trained and measured.

`Ensemble` trains; `Snapshot` is what one measured step leaves for the measures.
"""
