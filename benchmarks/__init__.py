"""Benchmarks: whole commands of envgit beside those of the peers, run alternately on the same files."""
