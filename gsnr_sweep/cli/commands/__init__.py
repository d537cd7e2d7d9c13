"""What can be done with a sweep from another process, or another machine: follow, collect, cancel.

Everything is told from the sweep's folder, the backend's queue and the tracking store. ``measure``
alone is of no sweep.
"""

COMMANDS = {
    "status": "show how far each run is",
    "collect": "write table, figure and coefficients of what is there",
    "report": "write one HTML page on one or more sweeps",
    "rank": "rank the measures by how well they predict generalization",
    "ui": "browse a sweep in MLflow's web interface: its runs, and charts of them",
    "aggregate": "draw a sweep or experiment again from the tracking store alone",
    "measure": "measure checkpoints (files of weights) without any training",
    "cancel": "stop all runs after a checkpoint",
    "logs": "show what failed runs and their jobs printed last",
    "sync": "send to MLflow what it does not have; without SWEEP, of all sweeps here",
}
