"""The result of a build becomes the tip of a branch; history is never rewritten (docs/build.md)."""

from __future__ import annotations

from typing import NamedTuple

from envgit.building.reasons import builds_ref
from envgit.errors import Conflict
from envgit.package_diff import suggest_message
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot, write_snapshot
from envgit.stack import call_where_ids_are_plain
from envgit.store.history import is_ancestor
from envgit.store.ref_names import check_branch_name
from envgit.transaction import Transaction
from envgit.uppers import claim_worktree, has_changes
from envgit.worktree import worktree_name

FAILED_REF = "refs/envgit/failed"


class Landing(NamedTuple):
    """`branch`: None for a detached HEAD. `oid`: its tip now. `merged`: a commit joins the old tip and the build."""

    branch: str | None
    oid: str
    merged: bool
    moved: bool
    operation: int


class Place:
    """A branch, or the detached HEAD, that waits for the result of a build."""

    def __init__(self, repo: Repository, branch: str | None) -> None:
        self._repo = repo
        head = repo.read_head()
        self.branch = branch if branch is not None else repo.branch_name()
        if branch is not None:
            check_branch_name(branch)
        self._ref = None if self.branch is None else BRANCH_PREFIX + self.branch
        self.is_checked_out = branch is None or branch == repo.branch_name()
        self.tip = head.oid if self._ref is None else repo.refs.resolve(self._ref)
        self._is_clean: bool | None = None

    def refuse_dirty(self) -> None:
        """Raise Conflict when there are uncommitted changes that the result would hide."""
        if self._is_clean is None:
            self._is_clean = not self._is_dirty()
        if not self._is_clean:
            raise Conflict(
                "the worktree has uncommitted changes that the build would hide",
                hint="envgit commit -m ... first, or envgit reset --hard to drop them; or build on another branch: --branch NAME",
            )

    def land(self, result: Snapshot, chains: dict[str, Snapshot], failed: Snapshot | None, name: str) -> Landing:
        """Move the branch to `result`; `chains` are kept under refs/envgit/builds/ by name. One operation, or none at all."""
        with self._repo.operation(["build", name]) as transaction:
            tip = self.tip
            new, merged = result.oid, False
            if tip is not None and tip != result.oid and not is_ancestor(self._repo.objects, tip, result.oid):
                old = read_snapshot(self._repo.objects, tip)
                merged = old.commit.tree != result.commit.tree
                new = self._join(old, result, name) if merged else tip
            if new != tip:
                self._move(transaction, new)
            self._keep(transaction, chains, failed)
            done = transaction.finish(f"build: {name}")
        return Landing(self.branch, new.hex(), merged, new != tip, done.number)

    def stay(self, last: Snapshot | None, chains: dict[str, Snapshot], failed: Snapshot | None, name: str) -> Landing:
        """After a failure: go on to the last good commit only where that leads forward; keep what was built in any case."""
        tip = self.tip
        with self._repo.operation(["build", name]) as transaction:
            forward = last is not None and (tip is None or is_ancestor(self._repo.objects, tip, last.oid))
            new = last.oid if forward and last is not None else tip
            if new is not None and new != tip:
                self._move(transaction, new)
            self._keep(transaction, chains, failed)
            done = transaction.finish(f"build: {name} (failed)")
        return Landing(self.branch, new.hex() if new else "", False, new != tip, done.number)

    def _move(self, transaction: Transaction, oid: bytes) -> None:
        self.refuse_dirty()
        pointer = self._repo.read_pointer(self.branch, self.tip)
        claim_worktree(self._repo, transaction, pointer)
        if has_changes(self._repo, pointer, self.tip):  # what nobody records, such as files in /run
            self._is_clean = None
            self.refuse_dirty()
        if self._ref is not None:
            transaction.set_ref(self._ref, oid, based_on=self.tip)
        else:
            transaction.set_head(oid.hex())
        transaction.set_worktree(worktree_name(self.branch), None)

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
        message = f"build {name}" + (f"\n\n{summary}" if summary else "")
        parents = (old.oid,) if is_ancestor(repo.objects, result.oid, old.oid) else (old.oid, result.oid)
        with repo.objects.pack_session() as session:
            oid = write_snapshot(
                session,
                result.root,
                read_config_bytes(repo.objects, result),
                message.encode("utf-8", "surrogateescape"),
                parents=parents,
                author=repo.author(),
                committer=repo.committer(),
                keep=result.tree_entries,
            )
            session.finish()
        repo.objects.refresh()
        return oid
