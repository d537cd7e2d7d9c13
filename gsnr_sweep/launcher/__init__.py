"""Running many grid points: workers, progress, and the sweep that holds them together.

Nothing here knows what a run computes; a run does not know who launched it.
"""
