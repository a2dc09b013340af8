"""The files that hold worktrees' pointers: one word each (docs/format.md section 8). What a word means is `worktree`'s matter."""

from __future__ import annotations

import os

from envgit.store import storage


def read_pointer(git_dir: str, name: str) -> str | None:
    """Return the pointer of a worktree, None without."""
    try:
        with open(f"{git_dir}/checkouts/{name}/base", "rb") as file:
            return os.fsdecode(file.read().strip()) or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_pointer(git_dir: str, name: str, word: str | None) -> None:
    """Set the pointer of a worktree, durably; None removes it."""
    folder = f"{git_dir}/checkouts/{name}"
    if word is None:
        if storage.unlink(folder + "/base", step="worktree-unlink"):
            storage.sync_directory(folder, step="worktree-folder-sync")
        return
    if storage.make_directory(folder, step="worktree-folder", parents=True):
        storage.sync_directory(git_dir + "/checkouts", step="worktree-folder-sync")
    storage.write_file(folder + "/base", os.fsencode(word) + b"\n", step="worktree-write", scratch=git_dir)
