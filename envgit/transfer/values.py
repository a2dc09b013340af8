"""What transports take and give."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

_Oid: TypeAlias = bytes


class Advertised(NamedTuple):
    """What the other repository has. `refs`: full name to object (20 bytes), without HEAD and refs/envgit/*; `peeled`: of annotated
    tags, the object they lead to; `head`: the branch that HEAD names ("refs/heads/main"), None when unknown or detached; it may be
    unborn. `detached`: the object of a HEAD that names no branch. `left_out`: how many refs had names that are not allowed."""

    refs: dict[str, bytes]
    peeled: dict[str, bytes]
    head: str | None
    detached: bytes | None = None
    left_out: int = 0


class Fetched(NamedTuple):
    """What arrived: `bytes` and `objects` of its packs (0: everything was there). `shallow`: the whole list of commits whose
    parents are missing, as it has to be afterwards: what the quarantine had, changed by this fetch.
    `lent`: names of those packs that came as they are from another repository of this user."""

    bytes: int
    objects: int
    shallow: tuple[_Oid, ...] = ()
    lent: tuple[str, ...] = ()


class RefUpdate(NamedTuple):
    """A ref to move there. `new` None deletes; `old` is what it is expected to be (None: unknown, or with `lease`: absent).
    `force`: also when history is lost; `lease`: only while the remote still has `old`, then history may be lost too."""

    name: str
    old: bytes | None
    new: bytes | None
    force: bool = False
    lease: bool = False


class RefOutcome(NamedTuple):
    """What became of one update. `reason` is "" when it was done; "up to date" when there was nothing to do; otherwise why not: in
    git's words, such as "non-fast-forward", "fetch first", "stale info", "already exists", "pre-receive hook declined"."""

    name: str
    ok: bool
    reason: str
