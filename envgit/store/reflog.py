"""Reflogs in git's format: `OLD NEW name <email> seconds offset TAB message LF`, one file per ref under logs/."""

from __future__ import annotations

import os
from typing import NamedTuple

from envgit.store import storage
from envgit.store.objects import ZERO_OID, Signature, parse_signature

_MOVING = b"checkout: moving from "
_LOGGED = ("refs/heads/", "refs/remotes/", "refs/notes/")


class ReflogEntry(NamedTuple):
    """One move of a ref; ids of 20 bytes, ZERO_OID for absent."""

    old: bytes
    new: bytes
    who: Signature
    message: bytes


def is_logged(name: str) -> bool:
    """Whether git keeps a reflog of this ref by default (core.logAllRefUpdates=true)."""
    return name == "HEAD" or name.startswith(_LOGGED)


def format_entry(entry: ReflogEntry) -> bytes:
    """Return the line of an entry; runs of white space in the message become one space, as in git."""
    message = b" ".join(entry.message.split())
    line = b"%b %b %b" % (entry.old.hex().encode(), entry.new.hex().encode(), entry.who.encode())
    return line + (b"\t" + message if message else b"") + b"\n"


def parse_entry(line: bytes) -> ReflogEntry | None:
    """Parse a line without its line feed; None when it is damaged (git skips those)."""
    head, _, message = line.partition(b"\t")
    if len(line) < 82 or line[40:41] != b" " or line[81:82] != b" ":
        return None
    try:
        old, new = bytes.fromhex(line[:40].decode("ascii")), bytes.fromhex(line[41:81].decode("ascii"))
    except ValueError:
        return None
    return ReflogEntry(old, new, parse_signature(head[82:]), message)


def append_entry(git_dir: str, name: str, entry: ReflogEntry) -> None:
    """Append to the reflog of a ref, creating it."""
    path = f"{git_dir}/logs/{name}"
    folder = path.rpartition("/")[0]
    storage.make_directory(folder, step="reflog-folder", parents=True)
    storage.append(path, format_entry(entry), step="reflog-append")


def read_reflog(git_dir: str, name: str) -> list[ReflogEntry]:
    """Return the entries of a ref's reflog, oldest first; empty when it has none."""
    try:
        with open(f"{git_dir}/logs/{name}", "rb") as file:
            lines = file.read().split(b"\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
    return [entry for line in lines if (entry := parse_entry(line)) is not None]


def last_new(git_dir: str, name: str) -> bytes:
    """Return the newest entry's new id, ZERO_OID without one; reads only the end of the file."""
    try:
        with open(f"{git_dir}/logs/{name}", "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 8192))
            tail = file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ZERO_OID
    for line in reversed(tail.split(b"\n")):
        entry = parse_entry(line)
        if entry is not None:
            return entry.new
    return ZERO_OID


def previous_branch(git_dir: str, number: int) -> str | None:
    """Return the branch (or detached commit) that HEAD was on `number` checkouts ago (`@{-N}`), None without."""
    for entry in reversed(read_reflog(git_dir, "HEAD")):
        if entry.message.startswith(_MOVING):
            before, _, _ = entry.message[len(_MOVING) :].rpartition(b" to ")
            number -= 1
            if number == 0:
                return os.fsdecode(before)
    return None
