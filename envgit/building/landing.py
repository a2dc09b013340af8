"""The result of a build becomes the tip of a branch; history is never rewritten (docs/build.md)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from envgit.building.reasons import builds_ref
from envgit.building.replacing import JOIN_SUBJECT, Replaced, other_build, replaced_commits
from envgit.errors import Conflict
from envgit.package_diff import suggest_message
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot, write_snapshot
from envgit.stack import call_where_ids_are_plain
from envgit.store.history import is_ancestor
from envgit.store.ref_names import check_branch_name
from envgit.transaction import Transaction
from envgit.uppers import claim_worktree, has_changes, is_mounted, upper_paths
from envgit.worktree import worktree_name

FAILED_REF = "refs/envgit/failed"


class Course(NamedTuple):
    """Where a branch goes: to the result, to a commit that joins its old tip and the result, or nowhere.

    `replaced`: what was made by hand and the result does not have; `other`: the environment whose build the old tip is.
    """

    move: Literal["stay", "forward", "merge"] = "stay"
    replaced: tuple[Replaced, ...] = ()
    other: str = ""


class Landing(NamedTuple):
    """`branch`: None for a detached HEAD. `oid`: its tip now, `old`: before, "" for none. `merged`: a commit joins the old tip and
    the build."""

    branch: str | None
    oid: str
    merged: bool
    moved: bool
    operation: int
    old: str = ""
    course: Course = Course()


class Stopped(NamedTuple):
    """Where a build that failed leaves the branch. `good`: the last good commit, "" for none; `ref` keeps it."""

    landing: Landing
    built: int
    reused: int
    total: int
    good: str
    ref: str


class Place:
    """A branch, or the detached HEAD, that waits for the result of a build."""

    def __init__(self, repo: Repository, branch: str | None) -> None:
        self._repo = repo
        head = self._head = repo.read_head()
        self._follows_head = branch is None
        if branch is not None:
            branch = branch.removeprefix(BRANCH_PREFIX)
            check_branch_name(branch)
        self.branch = branch if branch is not None else repo.branch_name()
        self._ref = None if self.branch is None else BRANCH_PREFIX + self.branch
        self.is_checked_out = branch is None or branch == repo.branch_name()
        self.tip = head.oid if self._ref is None else repo.refs.resolve(self._ref)
        self._is_clean: bool | None = None

    def refuse_dirty(self) -> None:
        """Raise Conflict when there are uncommitted changes that the result would hide, or a sandbox makes some."""
        pointer = self._repo.read_pointer(self.branch, self.tip)
        if pointer is not None and pointer.upper and is_mounted(upper_paths(self._repo, pointer.upper)):
            raise Conflict(
                "a sandbox is running in this worktree", hint="let it end, or build on another branch: --branch NAME"
            )
        self._refuse_changes()

    def _refuse_changes(self) -> None:
        if self._is_clean is None:
            self._is_clean = not self._is_dirty()
        if not self._is_clean:
            raise Conflict(
                "the worktree has uncommitted changes that the build would hide",
                hint="envgit commit -m ... first, or envgit reset --hard to drop them; or build on another branch: --branch NAME",
            )

    def foresee(self, result: Snapshot | None, names: Collection[str], *, final: bool = True) -> Course:
        """Return where the branch would go. Unless `final` more commits follow `result` (None: a base without parents)."""
        objects, tip = self._repo.objects, self.tip
        if tip is None:
            return Course("forward")
        if final and result is not None:
            same = read_snapshot(objects, tip).commit.tree == result.commit.tree
            if tip == result.oid or (same and not is_ancestor(objects, tip, result.oid)):
                return Course()
        other = other_build(self._repo, tip, names)
        if result is not None and is_ancestor(objects, tip, result.oid):
            return Course("forward", (), other)
        return Course("merge", replaced_commits(self._repo, tip, None if result is None else result.oid), other)

    def land(self, result: Snapshot, chains: dict[str, Snapshot], failed: Snapshot | None, name: str) -> Landing:
        """Move the branch to `result`; `chains` are kept under refs/envgit/builds/ by name. One operation, or none at all."""
        with self._repo.operation(["build", name]) as transaction:
            tip = self.tip
            course = self.foresee(result, chains)
            new = result.oid
            if course.move != "forward" and tip is not None:
                new = tip if course.move == "stay" else self._join(read_snapshot(self._repo.objects, tip), result, name)
            if new != tip:
                self._move(transaction, new)
            self._keep(transaction, chains, failed)
            done = transaction.finish(f"build: {name}")
        merged = course.move == "merge"
        return Landing(self.branch, new.hex(), merged, new != tip, done.number, tip.hex() if tip else "", course)

    def stay(self, last: Snapshot | None, chains: dict[str, Snapshot], failed: Snapshot | None, name: str) -> Landing:
        """After a failure: go on to the last good commit only where that leads forward; keep what was built in any case."""
        tip = self.tip
        with self._repo.operation(["build", name]) as transaction:
            forward = last is not None and (tip is None or is_ancestor(self._repo.objects, tip, last.oid))
            new = last.oid if forward and last is not None else tip
            if new is not None and new != tip:
                try:
                    self._move(transaction, new)
                except Conflict:  # the error of the build is what counts
                    new = tip
            self._keep(transaction, chains, failed)
            done = transaction.finish(f"build: {name} (failed)")
        return Landing(self.branch, new.hex() if new else "", False, new != tip, done.number, tip.hex() if tip else "")

    def keep(self, chains: dict[str, Snapshot], name: str) -> None:
        """Keep what was built for the next build; the branch stays."""
        with self._repo.operation(["build", name]) as transaction:
            self._keep(transaction, chains, None)
            transaction.finish(f"build: {name} (kept)")

    def _move(self, transaction: Transaction, oid: bytes) -> None:
        if self._follows_head and self._has_moved():
            raise Conflict(
                "HEAD is not where it was when the build began; what was built is kept",
                hint="build again: envgit build",
            )
        self.refuse_dirty()
        pointer = self._repo.read_pointer(self.branch, self.tip)
        claim_worktree(self._repo, transaction, pointer)
        if has_changes(self._repo, pointer, self.tip):  # what nobody records, such as files in /run
            self._is_clean = None
            self._refuse_changes()
        if self._ref is not None:
            transaction.set_ref(self._ref, oid, based_on=self.tip)
        else:
            transaction.set_head(oid.hex())
        transaction.set_worktree(worktree_name(self.branch), None)

    def _has_moved(self) -> bool:
        head = self._repo.read_head()
        if head.symbolic is not None or self._head.symbolic is not None:
            return head.symbolic != self._head.symbolic
        return head.oid != self._head.oid

    def _keep(self, transaction: Transaction, chains: dict[str, Snapshot], failed: Snapshot | None) -> None:
        for name, snapshot in chains.items():
            transaction.set_ref(builds_ref(name), snapshot.oid)
        if failed is not None or self._repo.refs.resolve(FAILED_REF) is not None:
            transaction.set_ref(FAILED_REF, failed.oid if failed is not None else None)

    def _is_dirty(self) -> bool:
        repo, pointer = self._repo, self._repo.read_pointer(self.branch, self.tip)
        if self.tip is None or pointer is None or not has_changes(repo, pointer, self.tip):
            return False

        def look() -> bytes:
            from envgit.status import is_dirty

            return b"y" if is_dirty(repo, self.branch, self.tip) else b"n"

        return call_where_ids_are_plain(repo, look) == b"y"

    def _join(self, old: Snapshot, result: Snapshot, name: str) -> bytes:
        """Return a commit with the files of the result, whose parents are the old tip and the build."""
        repo = self._repo
        summary = suggest_message(old.root, result.root, repo.reader)
        message = f"{JOIN_SUBJECT.decode()}{name}" + (f"\n\n{summary}" if summary else "")
        parents = (old.oid,) if is_ancestor(repo.objects, result.oid, old.oid) else (old.oid, result.oid)
        with repo.signer() as signer, repo.objects.pack_session() as session:
            oid = write_snapshot(
                session,
                result.root,
                read_config_bytes(repo.objects, result),
                message.encode("utf-8", "surrogateescape"),
                parents=parents,
                author=repo.author(),
                committer=repo.committer(),
                keep=result.tree_entries,
                sign=signer,
            )
            session.finish()
        repo.objects.refresh()
        return oid
