"""Dockerfiles: their grammar and values. Knows no repository (docs/dockerfile.md)."""
