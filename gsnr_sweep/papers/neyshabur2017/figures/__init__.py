"""The paper's figures over the runs of a sweep, one a module."""
