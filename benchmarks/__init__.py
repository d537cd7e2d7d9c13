"""Timings beside those of others.

``python -m benchmarks`` measures everything and writes tables; ``python -m benchmarks.overhead``
and ``python -m benchmarks.planning`` measure one thing each and print it.
"""
