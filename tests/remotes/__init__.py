"""Remotes: what is configured, fetched, pushed, followed."""
