"""Builds: recipes of stages and units, run on top of each other, each a commit (docs/build.md)."""
