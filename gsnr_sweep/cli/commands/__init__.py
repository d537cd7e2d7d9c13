"""What can be done with a sweep from another process, or another machine: follow, collect, cancel.

Everything is told from the sweep's folder, the backend's queue and the tracking store.
"""
