"""packages.lock in the tree of a commit: what package units installed, up to it (building/package_sets/package_list.py)."""

from __future__ import annotations

from envgit.repo import Repository
from envgit.snapshot import Snapshot

PACKAGES_NAME = b"packages.lock"


def read_packages(repo: Repository, snapshot: Snapshot) -> bytes:
    """Return the list of what package units installed up to a commit (building/package_sets/package_list.py); b"" when none did."""
    oid = next((oid for _, name, oid in snapshot.tree_entries if name == PACKAGES_NAME), None)
    return b"" if oid is None else repo.objects.read(oid)[1]
