"""The parts of the benchmarks, one a module."""
