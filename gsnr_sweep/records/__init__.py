"""The files on disk: record, status, checkpoint, manifest, leases."""
