"""MLflow: the store, what runs and sweeps send to it, what is read from it."""
