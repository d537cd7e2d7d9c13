"""Figures over the runs of a sweep, one a module; none of them opens a window or keeps state."""
