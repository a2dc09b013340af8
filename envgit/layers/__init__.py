"""Filesystem trees: read them from a disk, write them to one, compare them, cache them. Knows no git."""
