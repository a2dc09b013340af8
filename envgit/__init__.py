"""envgit: git for environments."""

__version__ = "0.1.0"
