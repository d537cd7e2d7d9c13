"""The measurements for a script or notebook: no Hydra, no MLflow, no config.

`functions` holds the two entry points, `tracker` one for a training loop; `data`, `network` and
`loss` take apart what a user gives, `measuring` makes the passes, `statistics` and `one_step` are
what comes back.
"""
