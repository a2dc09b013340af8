"""Capture of a worktree's upper directory with the project's ignore rules."""

from __future__ import annotations

import os

from envgit.layers.capture import Captured, capture
from envgit.layers.ignore import IgnoreRules
from envgit.model import DirectoryRef, TreeReader, TreeWriter
from envgit.repo import Repository
from envgit.sandbox.mount_notes import read_notes

IGNORE_FILE = ".envgitignore"


class Everything(IgnoreRules):
    """No rule at all: everything in an upper directory or layer counts."""

    __slots__ = ()

    def is_volatile(self, directory: bytes) -> bool:
        return False

    def is_placeholder(self, path: bytes, size: int) -> bool:
        return False

    def matches(self, path: bytes, is_directory: bool) -> bool:
        return False


def read_ignore_rules(repo: Repository) -> IgnoreRules:
    """Return the built-in rules and those of PROJECT/.envgitignore."""
    try:
        with open(os.path.join(repo.project, IGNORE_FILE), "rb") as file:
            return IgnoreRules.parse(file.read())
    except FileNotFoundError:
        return IgnoreRules.parse(None)


def capture_upper(
    repo: Repository,
    upper_fd: int,
    base: DirectoryRef,
    reader: TreeReader,
    writer: TreeWriter,
    ignore: IgnoreRules | None = None,
) -> Captured:
    """Capture an open upper directory over `base`; the process must be in the tree namespace.

    With the project's rules also what its runs made only as mount points is left out.
    """
    rules = ignore
    if rules is None:
        rules = read_ignore_rules(repo)
        rules.mount_points = read_notes(upper_fd).created
    return capture(upper_fd, base, reader, writer, repo.disk_ids, rules, repo.monitor)
