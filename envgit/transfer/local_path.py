"""Push to and fetch from a repository of the same user on this machine, without a program and mostly without copying."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from envgit.errors import CorruptObject, EnvgitError, HostileInput, RefMoved
from envgit.monitor import Monitor
from envgit.store.object_store import ObjectStore
from envgit.store.objects import Signature, parse_tag_target
from envgit.store.operations import RefChange
from envgit.store.ref_names import is_ref_name
from envgit.store.refs import RefStore
from envgit.store.shallow import read_shallow
from envgit.transaction import Transaction
from envgit.transfer.address import Address
from envgit.transfer.errors import RemoteMoved, TransferError
from envgit.transfer.local_conditions import is_project, why_not_fetch, why_not_push, why_not_send
from envgit.transfer.local_refs import move_refs, pushing_to
from envgit.transfer.missing import MissingWalk
from envgit.transfer.pack_copy import copy_objects
from envgit.transfer.push_rules import ATOMIC_FAILED, judge_updates
from envgit.transfer.sizing import StoredSizes
from envgit.transfer.transport import Advertised, Fetched, RefOutcome, RefUpdate, Transport

_OWN_PREFIX = "refs/envgit/"
_READ_MAX_BYTES = 256 << 20
"""Of a commit, tag or tree of a repository that nobody checked yet: a folder of four million files."""


def open_local(
    git_dir: str,
    address: Address,
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    purpose: Literal["fetch", "push"],
    committer: Callable[[], Signature],
    otherwise: Callable[[], Transport],
) -> LocalTransport | None:
    """Return the short way to a repository on this machine; None when only git's own protocol will do.

    `file://` always means git's protocol. `committer`: for reflogs there; asked when refs move. `otherwise` opens the long way; it
    is called for what the short one cannot, such as a fetch with a depth. Writes nothing.
    """
    if address.kind != "path":
        return None
    other = os.path.realpath(address.path)
    if not os.path.isfile(other + "/HEAD") or other == os.path.realpath(git_dir):
        return None
    reason = (
        (why_not_send(git_dir) or why_not_push(other, environ)) if purpose == "push" else why_not_fetch(other, environ)
    )
    return None if reason else LocalTransport(git_dir, other, monitor, committer, otherwise)


class LocalTransport:
    """A Transport (see transport.py) between two folders. Made by open_local(), which looked whether it may be."""

    def __init__(
        self,
        git_dir: str,
        other: str,
        monitor: Monitor,
        committer: Callable[[], Signature],
        otherwise: Callable[[], Transport],
    ) -> None:
        self._git_dir = git_dir
        self._other = other
        self._refs = RefStore(other)
        self._monitor = monitor
        self._committer = committer
        self._otherwise = otherwise
        self._long_way: Transport | None = None

    def list_refs(self) -> Advertised:
        """Return what git would advertise."""
        try:
            refs = {name: oid for name, oid in self._refs.iter_refs() if not name.startswith(_OWN_PREFIX)}
            peeled = self._peel({name: oid for name, oid in refs.items() if name.startswith("refs/tags/")})
            head = self._refs.read_head()
            return Advertised(refs, peeled, head.symbolic, None if head.symbolic else head.oid)
        except CorruptObject as error:
            raise self._damaged(error) from error

    def _peel(self, tags: Mapping[str, bytes]) -> dict[str, bytes]:
        objects = _Bounded(ObjectStore(self._other))
        peeled: dict[str, bytes] = {}
        for name, oid in tags.items():
            type, data = objects.read(oid)
            while type == "tag":
                oid, _ = parse_tag_target(data)
                peeled[name] = oid
                type, data = objects.read(oid)
        return peeled

    def fetch(self, wants: Mapping[str, bytes], quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        """Link or copy what is missing into the quarantine; what arrives is as unchecked as from any other place,
        but for files in packs of this user, which are read when they are used."""
        if depth is not None:
            return self._open_long_way().fetch(wants, quarantine_git_dir, depth=depth)
        source = ObjectStore(self._other)
        gone = [name for name, oid in wants.items() if not source.contains(oid)]
        if gone:
            raise RemoteMoved(
                f"{gone[0]} of {self._other} is not what it was a moment ago", hint="run the command again"
            )
        self._monitor.start("looking for what is new")
        try:
            haves = {oid for _, oid in RefStore(quarantine_git_dir).iter_refs()}
            wanted = [oid for oid, _ in MissingWalk(_Bounded(source), wants.values(), haves).iter_all()]
            self._monitor.finish()
            copied = copy_objects(source, wanted, ObjectStore(quarantine_git_dir), self._monitor)
        except CorruptObject as error:
            raise self._damaged(error) from error
        shallow = tuple(sorted(read_shallow(quarantine_git_dir)))
        return Fetched(copied.linked_bytes + copied.written_bytes, copied.objects, shallow, copied.lent)

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        """Link or copy what is missing, durably, then move the refs by compare-and-swap."""
        if options:
            return self._open_long_way().push(updates, atomic=atomic, options=options)
        if not is_project(self._other):
            with pushing_to(self._refs):
                return self._push(updates, atomic, self._move_plain)
        command = ["receive", "--from", os.path.dirname(self._git_dir)]
        with Transaction(ObjectStore(self._other), self._refs, command, committer=self._committer) as transaction:

            def move(changes: Sequence[RefChange]) -> None:
                for name, old, new in changes:
                    transaction.set_ref(name, new, based_on=old)
                    if (
                        old is None and self._refs.resolve(name) is not None
                    ):  # based on None is based on what is there now
                        raise RefMoved(f"{name} was made by a git command", hint="run the command again")
                transaction.finish("push")

            return self._push(updates, atomic, move, one_move=True)

    def _push(
        self,
        updates: Sequence[RefUpdate],
        atomic: bool,
        move: Callable[[Sequence[RefChange]], None],
        *,
        one_move: bool = False,
    ) -> tuple[RefOutcome, ...]:
        """`one_move`: what is allowed moves in one operation, though refusals of others do not stop it."""
        objects = ObjectStore(self._git_dir)
        # Read before they are judged: what moves after that is not what the compare-and-swap expects.
        found = {update.name: self._refs.resolve(update.name) for update in updates if is_ref_name(update.name)}
        reasons = judge_updates(objects, self._refs, updates)
        changes = {
            update.name: (update.name, found.get(update.name), update.new)
            for update in updates
            if not reasons.get(update.name)
        }
        if atomic and any(reason for reason in reasons.values()):
            return _outcomes(updates, {name: reasons[name] or ATOMIC_FAILED for name in reasons})
        changes = {name: change for name, change in changes.items() if change[1] != change[2]}
        reasons.update(self._send(objects, list(changes.values()), atomic or one_move, move))
        done = {name: "up to date" for name, reason in reasons.items() if not reason and name not in changes}
        return _outcomes(updates, reasons, done)

    def _send(
        self,
        objects: ObjectStore,
        changes: list[RefChange],
        atomic: bool,
        move: Callable[[Sequence[RefChange]], None],
    ) -> dict[str, str]:
        """Return why refs were not moved."""
        tips = [new for _, _, new in changes if new is not None]
        if tips:
            haves = {oid for _, oid in self._refs.iter_refs()}
            self._monitor.start("looking for what is new")
            wanted = [oid for oid, _ in MissingWalk(objects, tips, haves).iter_all()]
            self._monitor.finish()
            if wanted:
                copy_objects(objects, wanted, ObjectStore(self._other), self._monitor)
        groups = [changes] if changes else []
        failed: dict[str, str] = {}
        while groups:
            group = groups.pop()
            try:
                move(group)
            except EnvgitError as error:
                if len(group) > 1 and not atomic:
                    groups = [[change] for change in group]
                    continue
                failed.update((name, error.message) for name, _, _ in group)
        return failed

    def _move_plain(self, changes: Sequence[RefChange]) -> None:
        move_refs(self._refs, changes, self._committer(), b"push")

    def _open_long_way(self) -> Transport:
        if self._long_way is None:
            self._long_way = self._otherwise()
        return self._long_way

    def _damaged(self, error: EnvgitError) -> TransferError:
        return TransferError(f"{self._other} is damaged: {error.message}", hint=f"git -C {self._other} fsck")

    def close(self) -> None:
        """Close the long way, if it was opened."""
        if self._long_way is not None:
            self._long_way.close()
            self._long_way = None


class _Bounded:
    """Reads commits, tags and trees of a repository that nobody checked; none of them is worth any amount of memory."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._sizes = StoredSizes(objects)

    def contains(self, oid: bytes) -> bool:
        return self._objects.contains(oid)

    def shallow(self) -> frozenset[bytes]:
        return self._objects.shallow()

    def read(self, oid: bytes) -> tuple[str, bytes]:
        if self._sizes.find(oid)[1] > _READ_MAX_BYTES:
            raise HostileInput(f"object {oid.hex()} is larger than any commit or folder")
        return self._objects.read(oid)


def _outcomes(
    updates: Sequence[RefUpdate], reasons: Mapping[str, str], done: Mapping[str, str] | None = None
) -> tuple[RefOutcome, ...]:
    done = done or {}
    return tuple(
        RefOutcome(update.name, not reasons[update.name], reasons[update.name] or done.get(update.name, ""))
        for update in updates
    )
