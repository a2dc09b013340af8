"""Packages that an environment says it has, read from the databases of its package managers; runs nothing of it."""
