"""OCI runtime specification: our spec as config.json and back, other runtimes, and our own life cycle of containers."""
