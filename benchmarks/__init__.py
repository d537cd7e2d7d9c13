"""Timings beside those of others; each module prints a table of what it measured here and now."""
