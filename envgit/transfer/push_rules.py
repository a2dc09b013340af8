"""Which updates of refs a repository takes: the rules of git push and git receive-pack, for those that no program applies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from envgit.errors import EnvgitError
from envgit.store.history import is_ancestor
from envgit.store.object_store import ObjectStore
from envgit.store.pointers import read_pointer
from envgit.store.ref_names import is_ref_name
from envgit.store.refs import RefStore
from envgit.transfer.local_conditions import is_project
from envgit.transfer.transport import RefUpdate
from envgit.worktree import parse_pointer, worktree_name

ATOMIC_FAILED: Final = "atomic push failed"
_BRANCHES: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
_OWN: Final = "refs/envgit/"


def judge_updates(objects: ObjectStore, refs: RefStore, updates: Sequence[RefUpdate]) -> dict[str, str]:
    """Return for each update why it is refused, in git's words; empty when it is not. Looks, changes nothing.

    `objects`: where the new values are; `refs`: of the repository that is pushed to.
    """
    head = refs.read_head().symbolic
    deleted = frozenset(update.name for update in updates if update.new is None)
    return {update.name: _judge(objects, refs, update, head, deleted) for update in updates}


def _judge(objects: ObjectStore, refs: RefStore, update: RefUpdate, head: str | None, deleted: frozenset[str]) -> str:
    name, new = update.name, update.new
    if not name.startswith("refs/") or not is_ref_name(name) or name.startswith(_OWN):
        return "funny refname"
    current = refs.resolve(name)
    if update.lease and current != update.old:
        return "stale info"
    if new == current:
        return "" if new is not None else "remote ref does not exist"
    if name.startswith(_BRANCHES) and is_project(refs.git_dir) and _is_checked_out(refs, name, head, current):
        return "branch is currently checked out"
    if new is None:
        return "deletion of the current branch prohibited" if name == head else ""
    if name.startswith(_BRANCHES) and objects.read(new)[0] != "commit":
        return "a branch must be a commit"
    if current is None:
        try:
            refs.check_available(name, deleted)
        except EnvgitError as error:
            return error.message
        return ""
    return "" if update.force or update.lease else _judge_history(objects, name, current, new)


def _judge_history(objects: ObjectStore, name: str, current: bytes, new: bytes) -> str:
    if name.startswith(_TAGS):
        return "already exists"
    if not objects.contains(current):
        return "fetch first"
    if objects.read(current)[0] != "commit" or objects.read(new)[0] != "commit":
        return "needs force"
    return "" if is_ancestor(objects, current, new) else "non-fast-forward"


def _is_checked_out(refs: RefStore, name: str, head: str | None, current: bytes | None) -> bool:
    """Whether somebody works on a branch of a project: it is its current one, or has uncommitted changes."""
    word = read_pointer(refs.git_dir, worktree_name(name.removeprefix(_BRANCHES)))
    if word is not None and parse_pointer(word).upper is not None:
        return True
    return name == head and current is not None
