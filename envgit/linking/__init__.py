"""Tying environments to code: the link file, the git repository that the code is in, and its hooks."""
