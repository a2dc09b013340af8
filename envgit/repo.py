"""An open repository: where its parts are, and how revisions and branches are named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cached_property

from envgit.errors import NotARepository, RepositoryBusy, StorageError, UnknownRevision
from envgit.exec.idmap import choose_idmap, disk_ids, enter_tree_namespace
from envgit.layers.cache import LayerCache
from envgit.light_typing import TYPE_CHECKING
from envgit.model import DiskIds, IdMap
from envgit.store import storage
from envgit.store.admission import check_repository
from envgit.store.finished import is_interrupted
from envgit.store.pointers import read_pointer
from envgit.store.refs import Head, RefStore
from envgit.worktree import Pointer, parse_pointer, worktree_name

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from envgit.monitor import Monitor
    from envgit.signing.signer import Sign
    from envgit.store.lock import RepositoryLock
    from envgit.store.object_store import ObjectStore
    from envgit.store.objects import Signature
    from envgit.transaction import Transaction
    from envgit.trees import GitTreeReader

DIRECTORY_NAME = ".envgit"
BRANCH_PREFIX = "refs/heads/"
TAG_PREFIX = "refs/tags/"
RECIPE_NAMES = ("envgit.toml", "Dockerfile", "Containerfile")
"""What a build looks for in the project's folder, in this order."""
_STEPS = frozenset("0123456789")


def has_recipe(folder: str) -> bool:
    """Say whether a folder has a file that environments are built from."""
    return any(os.path.exists(os.path.join(folder, name)) for name in RECIPE_NAMES)


class Repository:
    """One `.envgit` folder. Parts are imported and opened when first used: a run needs few of them.

    `environ` is the caller's environment (identity, editor); `monitor` hears progress and warnings.
    """

    def __init__(self, git_dir: str, environ: Mapping[str, str], monitor: Monitor) -> None:
        self.git_dir = git_dir
        self.project = os.path.dirname(git_dir)
        self.refs = RefStore(git_dir, lambda message: self.monitor.warn(message))
        self.environ = environ
        self.monitor = monitor
        self._entered = False

    @classmethod
    def open_(cls, start: str, environ: Mapping[str, str], monitor: Monitor) -> Repository:
        """Find the repository that `start` lies in by walking up.

        Raises NotARepository, or UnsupportedRepository for a foreign owner or an unknown format.
        """
        folder = os.path.abspath(start)
        while True:
            git_dir = os.path.join(folder, DIRECTORY_NAME)
            if os.path.isdir(git_dir):
                check_repository(git_dir)
                return cls(git_dir, environ, monitor)
            parent = os.path.dirname(folder)
            if parent == folder:
                make = "envgit init ., then envgit build" if has_recipe(start) else "envgit init lab --from host"
                raise NotARepository(
                    f"{start} is not in an envgit repository", hint=f"make one: {make}; or name one: envgit -C DIR ..."
                )
            folder = parent

    @classmethod
    def create_(cls, project: str, branch: str, environ: Mapping[str, str], monitor: Monitor) -> Repository:
        """Create `project/.envgit` (and `project` when missing) with an unborn `branch`."""
        from envgit.store.repository import create_bare

        os.makedirs(project, exist_ok=True)
        git_dir = os.path.join(os.path.abspath(project), DIRECTORY_NAME)
        create_bare(git_dir, branch)
        return cls(git_dir, environ, monitor)

    # parts

    @cached_property
    def objects(self) -> ObjectStore:
        from envgit.store.object_store import ObjectStore

        return ObjectStore(self.git_dir)

    @cached_property
    def reader(self) -> GitTreeReader:
        from envgit.trees import GitTreeReader

        return GitTreeReader(self.objects)

    @cached_property
    def idmap(self) -> IdMap:
        """How sandboxes of this process map ids; chosen before the tree namespace is entered, and again after."""
        return choose_idmap()

    @cached_property
    def disk_ids(self) -> DiskIds:
        return disk_ids(self.idmap)

    @cached_property
    def cache(self) -> LayerCache:
        return LayerCache(os.fsencode(self.path("layers")), self.disk_ids, storage.reach)

    def lock(self) -> RepositoryLock:
        """Return the (not yet acquired) lock of the repository's writers."""
        from envgit.store.lock import RepositoryLock

        return RepositoryLock(self.path("lock"))

    def path(self, *parts: str) -> str:
        """Return a path inside the repository's folder."""
        return os.path.join(self.git_dir, *parts)

    def enter_tree_namespace(self) -> None:
        """Make ids on disk the environment's ids for the rest of this process (rootless; nothing for root)."""
        if not self._entered:
            _ = self.disk_ids
            enter_tree_namespace(self.idmap)
            self._entered = True

    def note_tree_namespace(self) -> None:
        """Note that this process is in the tree namespace already: a child that was started there."""
        self._entered = True

    @property
    def in_tree_namespace(self) -> bool:
        return self._entered

    # names

    def iter_refs(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield the readable refs below a prefix; each damaged one is a warning, so that it does not hide the others."""
        return self.refs.iter_refs(prefix, on_damage=lambda error: self.monitor.warn(error.message))

    def read_head(self) -> Head:
        return self.refs.read_head()

    def branch_name(self) -> str | None:
        """Return the short name of the checked-out branch, also when it is unborn; None when HEAD is detached."""
        symbolic = self.read_head().symbolic
        return None if symbolic is None else symbolic.removeprefix(BRANCH_PREFIX)

    def head_oid(self) -> str | None:
        oid = self.read_head().oid
        return None if oid is None else oid.hex()

    def resolve(self, spec: str) -> str:
        """Return the 40-hex commit id of a revision (gitrevisions syntax); raises UnknownRevision, AmbiguousRevision."""
        return self.resolve_bytes(spec).hex()

    def resolve_bytes(self, spec: str) -> bytes:
        """Return the commit id of a revision; branch names and `~N` of cached commits need no git object."""
        head = self.read_head()
        if spec in ("HEAD", "@") and head.oid is None:
            raise UnknownRevision(
                f"branch {self.branch_name()} has no commits yet", hint="envgit import --from host makes the first one"
            )
        oid = self._resolve_from_files(spec)
        if oid is not None:
            return oid
        from envgit.store.revisions import resolve_commit

        return resolve_commit(self.objects, self.refs, spec)

    def _resolve_from_files(self, spec: str) -> bytes | None:
        """Resolve HEAD or a branch, with `~N`, from refs and plan files; None for everything else."""
        name, _, steps = spec.partition("~")
        plain = name.replace("-", "").replace("_", "").replace("/", "").isalnum()
        if not plain or not _STEPS.issuperset(steps) or len(steps) > 6:
            return None
        oid = self.read_head().oid
        if name != "HEAD":
            if self.refs.resolve(TAG_PREFIX + name) is not None:
                return None
            oid = self.refs.resolve(BRANCH_PREFIX + name)
        if "~" in spec and os.path.lexists(self.path("shallow")):  # a plan may be older than the cut
            return None
        for _ in range(int(steps or "1") if "~" in spec else 0):
            plan = self.cache.find_plan(oid.hex()) if oid is not None else None
            if plan is None or not plan.parents:
                return None
            oid = bytes.fromhex(plan.parents[0])
        return oid

    def short(self, oid: str) -> str:
        """Return the shortest unambiguous id of at least seven digits."""
        return self.objects.abbreviate(oid)

    # worktrees

    def read_pointer(self, branch: str | None, tip: bytes | None) -> Pointer | None:
        """Return where a branch's uncommitted changes are; without a stored pointer there are none on `tip`."""
        word = self.read_pointer_word(worktree_name(branch))
        if word is not None:
            return parse_pointer(word)
        return None if tip is None else Pointer(tip, None)

    def read_pointer_word(self, name: str) -> str | None:
        """Return the stored pointer of a worktree, by the name of its folder."""
        return read_pointer(self.git_dir, name)

    # writing

    def finish_interrupted(self) -> None:
        """Complete what a killed command recorded, so that nothing is read or run on values that are about to change.

        Where that cannot be (read-only, or the command is only slow) the old values are what there is.
        """
        if is_interrupted(self.git_dir):
            with suppress(RepositoryBusy, StorageError), self.operation(["recover"]):
                pass

    def operation(self, command: Sequence[str]) -> Transaction:
        """Return a Transaction (not yet entered) named by `command`.

        The committer is asked now: later the process may be in the tree namespace, where it is another user.
        """
        from envgit.transaction import Transaction

        self.committer()
        return Transaction(self.objects, self.refs, command, committer=self.committer)

    def committer(self) -> Signature:
        """Return who commits, as git would say; asked once, with the time of the first question."""
        return self._committer

    @cached_property
    def _committer(self) -> Signature:
        from envgit.store.identity import read_identity

        return read_identity(self.git_dir, self.environ, "committer", self.now())

    def author(self) -> Signature:
        """Return who authors, as git would say."""
        from envgit.store.identity import read_identity

        return read_identity(self.git_dir, self.environ, "author", self.now())

    def signer(self, choice: str | bool | None = None, *, tag: bool = False) -> AbstractContextManager[Sign | None]:
        """Return a context that holds what signs one commit (or `tag`), or None: asked here, as author() is, because in the tree
        namespace no agent is found.

        `choice`: a key, True for the configured one, False for none, None for what commit.gpgSign (tag.gpgSign) says. Raises
        SigningFailed, MissingProgram, UsageError for settings that mean nothing.
        """
        from envgit.store.identity import may_sign

        if choice is False or (choice is None and not may_sign(self.git_dir, self.environ)):
            return nullcontext()
        from envgit.signing.settings import read_signing_settings

        settings = read_signing_settings(self.git_dir, self.environ)
        if choice is None and not (settings.sign_tags if tag else settings.sign_commits):
            return nullcontext()
        from envgit.signing.signer import open_signer

        who = self.committer()
        name = os.fsdecode(who.name + b" <" + who.email + b">")
        return open_signer(settings, choice if isinstance(choice, str) else "", name, self.monitor.note)

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(time.time())


def hex_or_none(oid: bytes | None) -> str | None:
    """Return an id as results show it; None for an absent one."""
    return None if oid is None else oid.hex()
