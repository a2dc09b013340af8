"""What the user granted to environments: `.envgit/trusted`, the SHA-256 of each request, one on a line.

A grant is for the text of a request, whichever commits carry it, in this folder: the first line holds the folder's inode
number. So a `.envgit` that came with somebody's code, or was copied, has no grants.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import NamedTuple

from envgit.environment_config import declared_label, parse_config
from envgit.errors import HostileInput
from envgit.repo import Repository
from envgit.sandbox.asked import Item, list_asked, parse_asked, without_grant
from envgit.sandbox.merging import merge_asked, real_source
from envgit.sandbox.request import RunRequest
from envgit.snapshot import read_config_bytes, read_snapshot
from envgit.stack import ASKED_LABEL
from envgit.store import storage

_NAME = "trusted"
_FIRST_LINE = "envgit-trusted 1 "
_MOST_BYTES = 1 << 20
_ITEMS_SHOWN = 4
_DIGITS = frozenset("0123456789abcdef")


class Petition(NamedTuple):
    """What one revision asks for. `digest`: 64 hexadecimal digits, "" when it asks for nothing at all."""

    oid: str
    digest: str
    items: tuple[Item, ...]
    granted: bool

    @property
    def needs_grant(self) -> bool:
        return any(item.widens for item in self.items) and not self.granted


def read_petition(repo: Repository, revision: str = "HEAD") -> Petition:
    """Return what a revision asks for. Raises HostileInput for a request that is not understood, which cannot be granted."""
    oid = repo.resolve_bytes(revision)
    snapshot = read_snapshot(repo.objects, oid)
    text = declared_label(parse_config(read_config_bytes(repo.objects, snapshot)), ASKED_LABEL)
    items = list_asked(parse_asked(text)) if text else ()
    digest = _digest(text) if items else ""
    return Petition(oid.hex(), digest, items, digest in read_grants(repo))


def where_it_leads(repo: Repository, item: Item) -> str | None:
    """Return the folder that a source relative to the project really is; None for everything else."""
    return real_source(item.value, repo.project) if item.option in ("--volume", "--mount") else None


def read_grants(repo: Repository) -> tuple[str, ...]:
    """Return the digests that are granted, in the order in which they were."""
    try:
        fd = os.open(repo.path(_NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            first, *lines = os.read(fd, _MOST_BYTES).decode("ascii", "replace").split("\n")
        finally:
            os.close(fd)
    except OSError:
        return ()
    if first != _first_line(repo):
        return ()
    return tuple(dict.fromkeys(line for line in lines if len(line) == 64 and _DIGITS.issuperset(line)))


def grant(repo: Repository, digest: str) -> None:
    """Grant a request; durable when it returns."""
    _rewrite(repo, add=digest)


def revoke(repo: Repository, digest: str) -> bool:
    """Take a grant back, "" all of them; False when there was none."""
    return _rewrite(repo, drop=digest)


def settle_request(repo: Repository, request: RunRequest, text: str) -> RunRequest:
    """Return the request with what the environment asks for, as `text` says, below it: what is granted, or needs no grant.

    Warns of what is left out. Raises UsageError for a granted mount that cannot be made.
    """
    try:
        asked = parse_asked(text)
    except HostileInput as error:
        repo.monitor.warn(f"{error.message}; it runs without")
        return request._replace(settled=True)
    wider = [item for item in list_asked(asked) if item.widens]
    if wider and _digest(text) not in read_grants(repo):
        more = f" and {len(wider) - _ITEMS_SHOWN} more" if len(wider) > _ITEMS_SHOWN else ""
        shown = ", ".join(map(str, wider[:_ITEMS_SHOWN])) + more
        command = "envgit trust" + (f" {request.revision}" if request.revision else "")
        repo.monitor.warn(f"the environment asks for {shown}, which was not granted: it runs without. See: {command}")
        asked = without_grant(asked)
    return merge_asked(request, asked, repo.project)._replace(settled=True)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _first_line(repo: Repository) -> str:
    return f"{_FIRST_LINE}{os.stat(repo.git_dir).st_ino}"


def _rewrite(repo: Repository, *, add: str = "", drop: str | None = None) -> bool:
    lock = repo.lock()
    lock.acquire(b"envgit trust")
    try:
        before = read_grants(repo)
        after = () if drop == "" else tuple(digest for digest in before if digest != drop)
        after = tuple(dict.fromkeys((*after, *([add] if add else ()))))
        if after == before:
            return False
        content = "\n".join((_first_line(repo), *after)) + "\n"
        storage.write_file(repo.path(_NAME), content.encode(), step="trusted")
        return True
    finally:
        lock.release()
