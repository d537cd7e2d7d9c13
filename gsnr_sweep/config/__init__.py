"""The typed config of a run: schema, checks, composition by Hydra, grids, identity."""
