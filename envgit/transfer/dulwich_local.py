"""Another repository on this machine, read and written by dulwich: what upload-pack and receive-pack do, without them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dulwich.client import FetchPackResult, LsRemoteResult, SendPackResult
from dulwich.config import StackedConfig
from dulwich.graph import can_fast_forward
from dulwich.object_format import SHA1
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import Commit
from dulwich.pack import PackChunkGenerator
from dulwich.refs import parse_symref_value
from dulwich.repo import Repo

from envgit.errors import Conflict, InvalidName, RefMoved, RepositoryBusy
from envgit.store.refs import RefStore
from envgit.transfer.address import Address
from envgit.transfer.errors import NoSuchRepository, TransferError
from envgit.transfer.local_refs import move_refs, pushing_to
from envgit.transfer.push_decisions import ZERO

HOOKS: Final = (
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "proc-receive",
    "reference-transaction",
    "push-to-checkout",
)
_PEELED: Final = b"^{}"


def _is_trusted(path: str) -> bool:
    """Say whether the user's own configuration names a repository of somebody else as safe (git-config(1), safe.directory)."""
    listed = set(StackedConfig.default().get_multivar((b"safe",), b"directory"))
    return b"*" in listed or os.fsencode(path) in listed


class LocalWire:
    """Has the methods of dulwich's clients that the transport uses."""

    def __init__(self, address: Address) -> None:
        self._address = address
        if not os.path.isdir(address.path):
            raise NoSuchRepository(
                f"there is no repository at {address.shown}", hint="check the address: envgit remote -v"
            )
        owner = os.stat(address.path).st_uid
        if owner != os.geteuid() and not _is_trusted(address.path):
            # Its links and settings would be followed with our rights.
            raise TransferError(
                f"{address.shown} belongs to user {owner}, not to you",
                hint=f"if you trust it: git config --global --add safe.directory {address.path}; or use ssh",
            )
        self._repo = Repo(address.path)
        self._store = RefStore(os.fsdecode(self._repo.controldir()))

    def get_refs(self, path: bytes) -> LsRemoteResult:
        refs: dict[Any, Any] = dict(self._refs())
        for name, oid in list(refs.items()):
            if name.startswith(b"refs/tags/") and (peeled := self._repo.get_peeled(name)) != oid:
                refs[name + _PEELED] = peeled
        symrefs: dict[Any, Any] = {}
        head = self._repo.refs.read_ref(b"HEAD")  # type: ignore[arg-type]
        if head and head.startswith(b"ref: "):
            symrefs[b"HEAD"] = parse_symref_value(head)
        return LsRemoteResult(refs, symrefs, object_format="sha1")

    def fetch_pack(
        self, path: bytes, choose: Callable[..., list[bytes]], walker: ObjectStoreGraphWalker, take: Callable[[bytes], int],
        talk: Any, *, depth: int | None = None,
    ) -> FetchPackResult:  # fmt: skip
        wants: list[Any] = choose(self._refs())
        store = self._repo.object_store
        shallow, unshallow = set(self._repo.get_shallow()), set()
        if depth:
            from dulwich.object_store import find_shallow

            found, whole = find_shallow(store, wants, depth)
            found = {oid for oid in found if store[oid].parents}  # type: ignore[attr-defined]
            unshallow = {oid for oid in walker.shallow if oid in whole and oid not in found}
            shallow |= found
        have = set()
        while (oid := next(walker, None)) is not None:
            if oid in store:
                have.add(oid)
                walker.ack(oid)
        if depth:
            have = set()  # they do not stand for their ancestors where history was cut off
        count, records = store.generate_pack_data(have, wants, shallow=shallow)
        for chunk in PackChunkGenerator(num_records=count, records=records, object_format=SHA1):
            take(chunk)
        return FetchPackResult({}, {}, None, shallow - walker.shallow, unshallow)

    def send_pack(
        self, path: bytes, decide: Callable[[Mapping[bytes, bytes]], dict[bytes, bytes]], generate: Callable[..., Any],
        talk: Any, *, push_options: Sequence[bytes] | None = None, atomic: bool = False,
    ) -> SendPackResult:  # fmt: skip
        self._check_receiver(push_options)
        with pushing_to(self._store):  # locks that a killed push left are removed here
            return self._receive(decide, generate, atomic)

    def _receive(
        self, decide: Callable[[Mapping[bytes, bytes]], dict[bytes, bytes]], generate: Callable[..., Any], atomic: bool
    ) -> SendPackResult:
        theirs = self._refs()
        asked = decide(theirs)
        refused = {name: reason for name, new in asked.items() if (reason := self._denied(name, new))}
        if refused and atomic:
            return SendPackResult({}, ref_status={name: refused.get(name, "atomic push failed") for name in asked})
        wanted = {new for name, new in asked.items() if new != ZERO and name not in refused}
        if wanted:
            count, records = generate(set(theirs.values()), wanted, ofs_delta=True)
            self._repo.object_store.add_pack_data(count, records)
        rewound = [
            name for name, new in asked.items() if name not in refused and self._rewinds(theirs.get(name, ZERO), new)
        ]
        refused |= dict.fromkeys(rewound, "non-fast-forward")
        if rewound and atomic:
            return SendPackResult({}, ref_status={name: refused.get(name, "atomic push failed") for name in asked})
        statuses: dict[Any, str | None] = {}
        for name, new in asked.items():
            statuses[name] = refused.get(name) or self._move(name, theirs.get(name, ZERO), new)
        return SendPackResult({}, ref_status=statuses)

    def close(self) -> None:
        self._repo.close()

    def _refs(self) -> dict[bytes, bytes]:
        refs = self._repo.get_refs()
        return {bytes(name): bytes(oid) for name, oid in refs.items() if not name.startswith(b"refs/envgit/")}

    def _move(self, name: Any, old: Any, new: Any) -> str | None:
        """Compare and swap; the reason when that fails."""
        before, after = (None if oid == ZERO else bytes.fromhex(oid.decode("ascii")) for oid in (old, new))
        try:
            move_refs(self._store, [(os.fsdecode(name), before, after)], None, b"push")
        except (Conflict, InvalidName, RefMoved, RepositoryBusy):
            return "failed to update ref"
        return None

    def _check_receiver(self, push_options: Sequence[bytes] | None) -> None:
        """Refuse what only git can do: hooks are programs of its own."""
        config = self._repo.get_config()
        try:
            folder = os.path.join(self._address.path, os.fsdecode(config.get((b"core",), b"hooksPath")))
        except KeyError:
            folder = self._address.path + "/hooks"
        if any(os.access(f"{folder}/{name}", os.X_OK) for name in HOOKS) or push_options:
            raise TransferError(
                f"{self._address.shown} has hooks, or was given options for them, and only git runs hooks",
                hint="sudo apt install git",
            )

    def _denied(self, name: Any, new: Any) -> str:
        """What receive.* of the other repository forbids (git-config(1))."""
        config = self._repo.get_config()
        section = (b"receive",)
        if new == ZERO:
            return "deletion prohibited" if config.get_boolean(section, b"denyDeletes", False) else ""
        head = self._repo.refs.read_ref(b"HEAD")  # type: ignore[arg-type]
        if not config.get_boolean((b"core",), b"bare", True) and head == b"ref: " + name:
            return "branch is currently checked out"
        return ""

    def _rewinds(self, old: Any, new: Any) -> bool:
        """Whether receive.denyNonFastForwards (which `git init --shared` sets) forbids an update whose objects have arrived."""
        denies = self._repo.get_config().get_boolean((b"receive",), b"denyNonFastForwards", False)
        if not denies or ZERO in (old, new):
            return False
        store = self._repo.object_store
        both = old in store and new in store and isinstance(store[old], Commit) and isinstance(store[new], Commit)
        return not (both and can_fast_forward(self._repo, old, new))
