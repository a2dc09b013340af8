"""A folder of its own for what arrives: git writes there, it is checked there, and only then moved into the repository."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NamedTuple

from envgit.exec.limited import Limits
from envgit.monitor import Monitor
from envgit.quarantine import folder
from envgit.quarantine.checking import Request, check_in_child
from envgit.quarantine.errors import RefusedObjects
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.store.objects import parse_commit_links
from envgit.store.shallow import plan_shallow, read_shallow, write_shallow

_INFO = frozenset(("alternates", "packs", "commit-graph", "commit-graphs"))
_HEX = frozenset("0123456789abcdef")


class Checked(NamedTuple):
    """What a check found sound. `bytes` of the packs; `commits`: new ones that a tip reaches."""

    objects: int
    bytes: int
    commits: int


class Quarantine:
    """A bare repository (`git_dir`) in `.envgit/incoming/` that borrows our objects. Leaving it removes what was not admitted."""

    def __init__(self, git_dir: str, own_git_dir: str, lock: int, shallow: frozenset[bytes]) -> None:
        self.git_dir = git_dir
        self._own = own_git_dir
        self._lock = lock
        self._shallow_before = shallow
        self._shallow_after = shallow
        self._complete: frozenset[bytes] = frozenset()
        self._packs: tuple[str, ...] | None = None
        self._tips: tuple[bytes, ...] = ()
        self._own_tips: frozenset[bytes] = frozenset()
        self._again: Callable[[], object] = lambda: None
        self._lent: set[str] = set()

    @classmethod
    def create(cls, git_dir: str) -> Quarantine:
        """Make one for the repository `git_dir`, and remove what killed commands left. Needs no lock of the repository.

        Its packed-refs has our tips, its `shallow` what ours has. Raises StorageError, CorruptObject (a damaged `shallow`).
        """
        folder.remove_leftovers(git_dir)
        shallow = read_shallow(git_dir)
        lines = b"".join(sorted(b"%b\n" % oid.hex().encode() for oid in shallow))
        path, lock = folder.make_folder(git_dir, lines)
        return cls(path, os.path.abspath(git_dir), lock, shallow)

    def check(
        self,
        tips: Iterable[bytes],
        monitor: Monitor,
        *,
        shallow: Iterable[bytes] = (),
        lent: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> Checked:
        """Check everything that arrived, in a limited child, and that `tips` (commits, annotated tags) lead to whole environments.

        `shallow`: the commits whose parents are missing, as the list has to be afterwards (Fetched.shallow); empty: what
        the quarantine's own `shallow` says. `lent`: names (`pack-<40 hex>`) of packs that another repository of this user
        has: files in them are not read again (own_pack.py), nor in later checks. Nothing of ours is changed. Raises
        RefusedObjects and its kinds, StorageError.
        """
        after = frozenset(shallow) or read_shallow(self.git_dir)
        packs = self._list_packs()
        objects = ObjectStore(self._own)
        uncut = tuple(oid for oid in self._shallow_before - after if parse_commit_links(objects.read(oid)[1])[1])
        own_tips = frozenset(folder.own_tips(self._own).values())
        # All that was ever asked for: what is said of `shallow` is about the whole arrival, not about the last call's tips.
        self._tips = tuple(dict.fromkeys((*self._tips, *tips)))
        self._lent |= set(lent)
        borrowed = tuple(path for path in packs if os.path.basename(path) in self._lent)
        verdict = check_in_child(
            Request(self._own, packs, self._tips, tuple(own_tips), tuple(after), uncut, borrowed),
            monitor,
            limits,
        )
        self._packs, self._shallow_after, self._complete = packs, after, verdict.complete
        self._own_tips = own_tips
        self._again = lambda: self.check((), monitor, shallow=after, limits=limits)
        return Checked(verdict.objects, sum(os.stat(path + ".pack").st_size for path in packs), verdict.commits)

    def admit(self) -> tuple[str, ...]:
        """Move the checked packs into the repository, durably; return their names (`pack-<40 hex>`).

        The caller holds the repository's lock, and moves refs afterwards: killed in between, nothing refers to what is here. Raises
        StorageError. Steps: admit-pack-sync, admit-index-sync, admit-pack, admit-index, admit-folder, and those of `shallow`.
        """
        assert self._packs is not None, "what arrived was not checked"
        if not self._own_tips <= frozenset(folder.own_tips(self._own).values()):
            self._again()  # a ref that the check leaned on is gone, perhaps its objects too (branch -D, gc)
        target = self._own + "/objects/pack"
        names = []
        for path in self._packs:
            name = "pack-" + _read_trailer(path + ".pack").hex()
            if not os.path.exists(f"{target}/{name}.idx") or not os.path.exists(f"{target}/{name}.pack"):
                _sync(path + ".pack", step="admit-pack-sync")
                _sync(path + ".idx", step="admit-index-sync")
                # The pack first: readers look for indexes.
                storage.rename(path + ".pack", f"{target}/{name}.pack", step="admit-pack")
                storage.rename(path + ".idx", f"{target}/{name}.idx", step="admit-index")
                names.append(name)
        if names:
            storage.sync_directory(target, step="admit-folder")
        current = read_shallow(self._own)
        planned = plan_shallow(current, self._shallow_before, self._shallow_after, self._complete)
        if planned != current:
            write_shallow(self._own, planned)
        self._packs = ()
        return tuple(names)

    def discard(self) -> None:
        """Remove the quarantine; safe to call twice. Raises StorageError."""
        if self._lock < 0:
            return
        try:
            folder.remove_folder(self.git_dir)
        finally:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _list_packs(self) -> tuple[str, ...]:
        """Return the packs that arrived (without `.pack`), and refuse objects in any other form: they would not be checked."""
        for name in sorted(os.listdir(self.git_dir + "/objects")):
            if name not in ("info", "pack"):
                raise RefusedObjects(f"what arrived is not all in packs: there is objects/{name}")
        strange = set(os.listdir(self.git_dir + "/objects/info")) - _INFO
        if strange:
            raise RefusedObjects(f"what arrived is not all in packs: there is objects/info/{min(strange)}")
        packs = []
        for name in sorted(os.listdir(self.git_dir + "/objects/pack")):
            stem, dot, suffix = name.rpartition(".")
            if dot and suffix == "pack" and stem.startswith("pack-") and _HEX.issuperset(stem[5:]):
                packs.append(f"{self.git_dir}/objects/pack/{stem}")
        return tuple(packs)


def _read_trailer(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(-20, os.SEEK_END)
            return file.read()
    except OSError as error:
        storage.fail("read", path, error)


def _sync(path: str, *, step: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        storage.fail("open", path, error)
    try:
        if os.fstat(fd).st_mode & 0o777 != 0o444:
            os.fchmod(fd, 0o444)
        storage.sync_fd(fd, step=step, path=path)
    except OSError as error:
        storage.fail("make durable", path, error)
    finally:
        os.close(fd)
