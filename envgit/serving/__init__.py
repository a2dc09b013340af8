"""A repository offered to others over HTTP, to be read only: git's smart protocol and nothing else."""
