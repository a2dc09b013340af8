"""The rows of the table, one file each, in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence

from ..row import Row
from . import (
    build,
    checkout_cached,
    commit_file,
    commit_packages,
    copies,
    import_tree,
    many_commits,
    materialise,
    memory,
    ports,
    sharing,
    start,
    status_many,
)

ROWS: Sequence[Row] = (
    import_tree.ROW,
    commit_packages.ROW,
    commit_file.ROW,
    checkout_cached.ROW,
    start.ROW,
    copies.ROW,
    ports.ROW,
    build.ROW,
    status_many.ROW,
    materialise.ROW,
    memory.ROW,
    many_commits.ROW,
    sharing.ROW,
)
