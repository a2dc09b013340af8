"""Plan a push as several pushes, each below what the host accepts.

History goes in the order of its commits: a branch is moved along its own first parents where that loses nothing; everything else
goes by temporary branches (UPLOADS), which are removed at the end. What the host has got of a push that was cut off is not sent
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from envgit.errors import CorruptObject
from envgit.store.history import is_ancestor
from envgit.store.object_store import ObjectStore
from envgit.store.pack_writer import PackSession
from envgit.transfer.missing import MissingWalk, NewCommit
from envgit.transfer.partial_trees import UploadPart, write_parts
from envgit.transfer.sizing import LargeObject, PushLimits, StoredSizes, check_object
from envgit.transfer.transport import RefUpdate

UPLOADS: Final = "refs/heads/envgit-upload/"
"""Branches below it belong to pushes on their way: fetches leave them alone."""
_MARGIN_PERCENT = 95
"""Hosts count the pack that git makes; it may be a little larger than the entries here: headers, deltas that are made whole."""
_NAME_DIGITS = 16


class PushStep(NamedTuple):
    """One push: `bytes` is what it is estimated to send."""

    updates: tuple[RefUpdate, ...]
    bytes: int


class PushPlan(NamedTuple):
    """`steps`: to be done in order, the last one moves the refs that were asked for. `temporary`: branches to remove
    afterwards, whatever happened. `bytes`: of all steps."""

    steps: tuple[PushStep, ...]
    temporary: tuple[str, ...]
    bytes: int


class _Group(NamedTuple):
    """Commits that one push sends; or, with `part`, a temporary commit to push as it is."""

    commits: tuple[bytes, ...]
    size: int
    part: bytes | None = None


def plan_pushes(
    objects: ObjectStore,
    updates: Sequence[RefUpdate],
    there: Mapping[str, bytes],
    limits: PushLimits,
    *,
    atomic: bool = False,
) -> PushPlan:
    """Return the pushes that bring `updates` to a repository whose refs are `there` (as Transport.list_refs() says).

    A single step when all of it is below the limit. Writes the temporary commits of a commit that is too large into `objects`.
    `atomic`: no ref that was asked for moves before the last step. Raises PushTooLarge for one object that is over its limit,
    CorruptObject, StorageError.
    """
    tips = [update.new for update in updates if update.new is not None]
    walk = MissingWalk(objects, tips, there.values())
    groups = _group(objects, walk, limits, set(there.values()))
    total = sum(group.size for group in groups)
    if len(groups) < 2:
        return PushPlan((PushStep(tuple(updates), total),), _leftovers(objects, there), total)
    movable = [] if atomic else [update for update in updates if _is_movable(update, there)]
    lines = {update.name: _first_parents(walk, update.new) for update in movable if update.new is not None}
    now = dict(there)
    steps: list[PushStep] = []
    temporary = dict.fromkeys(_leftovers(objects, there))
    for group in groups[:-1]:
        heads = [group.part] if group.part is not None else _heads(walk, group.commits)
        moves: list[RefUpdate] = []
        for head in heads:
            name = next(
                (name for name, line in lines.items() if head in line and _is_ahead(objects, now, name, head)), None
            )
            if name is None:
                name = UPLOADS + (head if group.part is None else group.commits[0]).hex()[:_NAME_DIGITS]
                temporary[name] = None
            moves.append(RefUpdate(name, now.get(name), head, force=name.startswith(UPLOADS)))
            now[name] = head
        steps.append(PushStep(tuple(moves), group.size))
    last = [update._replace(old=now[update.name]) if _was_moved(update, now, there) else update for update in updates]
    steps.append(PushStep(tuple(last), groups[-1].size))
    return PushPlan(tuple(steps), tuple(temporary), total)


def _group(objects: ObjectStore, walk: MissingWalk, limits: PushLimits, there: set[bytes]) -> list[_Group]:
    """Put commits together while they are below the limit of a push; cut those that alone are above."""
    budget = limits.push_bytes * _MARGIN_PERCENT // 100
    sizes = StoredSizes(objects)
    groups: list[_Group] = []
    commits: list[bytes] = []
    pending = 0
    for commit in walk.commits:
        new: dict[bytes, int] = {}
        for oid, path in walk.iter_commit(commit):
            new[oid], content = sizes.find(oid)
            check_object(LargeObject(oid, path, content), limits)
        size = sum(new.values())
        if commits and budget and pending + size > budget:
            groups.append(_Group(tuple(commits), pending))
            commits, pending = [], 0
        if budget and size > budget:
            parts = _cut(objects, commit, new, budget, there)
            groups += (_Group((commit.oid,), part.bytes, part.commit) for part in parts)
            size = 0 if parts else size
        commits.append(commit.oid)
        pending += size
    pending += sum(sizes.find(oid)[0] for oid, _ in walk.iter_rest())
    return [*groups, _Group(tuple(commits), pending)]


def _cut(
    objects: ObjectStore, commit: NewCommit, new: Mapping[bytes, int], budget: int, there: set[bytes]
) -> Sequence[UploadPart]:
    session: PackSession
    with objects.pack_session() as session:
        parts = write_parts(objects, session, commit.oid, new, budget)
        session.finish()
    objects.refresh()
    done = [number for number, part in enumerate(parts, 1) if part.commit in there]
    return parts[max(done, default=0) :]


def _heads(walk: MissingWalk, commits: Sequence[bytes]) -> list[bytes]:
    """Return the commits of a group that no other one of it has as an ancestor."""
    inner = {parent for oid in commits for parent in walk.links(oid)[1]}
    return [oid for oid in commits if oid not in inner]


def _first_parents(walk: MissingWalk, oid: bytes) -> frozenset[bytes]:
    """Return the new commits on the line of first parents that ends in `oid`."""
    new = {commit.oid: commit for commit in walk.commits}
    line: set[bytes] = set()
    while oid in new:
        line.add(oid)
        if not new[oid].parents:
            break
        oid = new[oid].parents[0]
    return frozenset(line)


def _is_movable(update: RefUpdate, there: Mapping[str, bytes]) -> bool:
    """Whether a branch may show a part of what it will have: nobody asked for conditions, and it is a branch."""
    return (
        update.name.startswith("refs/heads/")
        and update.new is not None
        and not update.force
        and not update.lease
        and update.old in (None, there.get(update.name))
    )


def _is_ahead(objects: ObjectStore, now: Mapping[str, bytes], name: str, head: bytes) -> bool:
    current = now.get(name)
    try:
        return current is None or (objects.contains(current) and is_ancestor(objects, current, head))
    except CorruptObject:
        return False


def _was_moved(update: RefUpdate, now: Mapping[str, bytes], there: Mapping[str, bytes]) -> bool:
    return now.get(update.name) != there.get(update.name)


def _leftovers(objects: ObjectStore, there: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return temporary branches of pushes that were killed: those of commits that are here, so that this push completes them."""
    return tuple(name for name, oid in there.items() if name.startswith(UPLOADS) and objects.contains(oid))
