"""Fsck: every object, hash and metadata line that a ref reaches, and the local state beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from envgit.capturing import Everything, capture_upper
from envgit.errors import EnvgitError, RepositoryBusy, StorageError
from envgit.layers.compare import diff_trees
from envgit.layers.memory_tree import MemoryTree
from envgit.model import Change, DirectoryRef
from envgit.repo import TAG_PREFIX, Repository
from envgit.snapshot import read_snapshot
from envgit.stack import stack_key
from envgit.status import empty_root
from envgit.store.history import iter_commits
from envgit.store.operations import iter_operations
from envgit.store.shallow import GET_MORE
from envgit.store.verify import iter_damage
from envgit.tag import peel
from envgit.verify import ContentCheck
from envgit.worktree import branch_of_worktree, parse_pointer


class Problem(NamedTuple):
    where: str
    what: str
    hint: str | None


class FsckReport(NamedTuple):
    problems: tuple[Problem, ...]
    commits: int
    directories: int
    files: int
    layers: int
    bytes: int


class _Check:
    def __init__(self, repo: Repository, full: bool) -> None:
        self.repo = repo
        self.content = ContentCheck(repo, full=full)
        self.problems: list[Problem] = []
        self.commits: list[bytes] = []
        self.gone_tags: list[str] = []

    def note(self, where: str, error: EnvgitError) -> None:
        self.problems.append(Problem(where, error.message, error.hint))

    def check_commit(self, oid: bytes) -> None:
        where = f"commit {oid.hex()[:12]}"

        def note(path: bytes | None, error: EnvgitError) -> None:
            self.note(where if path is None else f"{where}: /{os.fsdecode(path)}", error)

        if self.content.check(oid, note):
            self.commits.append(oid)

    def check_state(self) -> None:
        """Check what commands move. What is wrong is looked at again while none is at work: it may just have been moving."""
        sound = len(self.problems)
        checks = (self.check_names, self.check_pointers, self.check_operations)
        for check in checks:
            check()
        if len(self.problems) == sound and not self.gone_tags:
            return
        with suppress(RepositoryBusy, StorageError), self.repo.lock() as lock:
            lock.acquire(b"envgit fsck")
            del self.problems[sound:]
            for check in checks:
                check()

    def check_names(self) -> None:
        """Find branches that are gone though nobody deleted them: git and envgit remove a branch's reflog with it."""
        head = self.repo.read_head()
        lost = [] if head.symbolic is None or head.oid is not None else [head.symbolic]
        logs = self.repo.path("logs")
        for folder, _, names in os.walk(os.path.join(logs, "refs", "heads")):
            lost += [os.path.relpath(os.path.join(folder, name), logs) for name in names]
        for name in dict.fromkeys(lost):
            if self.repo.refs.resolve(name) is None and os.path.exists(self.repo.path("logs", "HEAD")):
                hint = "if HEAD is wrong: envgit checkout BRANCH; if the branch is: envgit op log says where it was"
                self.problems.append(Problem(name, "there is no such branch, yet HEAD or a reflog names it", hint))

    def check_operations(self) -> None:
        """Read all operations; find tags and kept commits that are gone though no operation took them away.

        A tag is no problem: `git tag -d` may do that, and leaves no trace by which to tell it from a loss.
        """
        self.gone_tags.clear()
        known: set[str] = set()
        try:
            for operation in iter_operations(self.repo.git_dir):
                for name, _, new in operation.refs:
                    watched = name not in known and not name.startswith("refs/heads/")
                    if watched and new is not None and self.repo.refs.resolve(name) is None:
                        what = f"operation {operation.number} put it at {new.hex()}, and no operation took it away"
                        hint = (
                            f"if git was not told to: git --git-dir={self.repo.git_dir} update-ref {name} {new.hex()}"
                        )
                        if name.startswith(TAG_PREFIX):
                            self.gone_tags.append(f"{name}: {what}; {hint}")
                        else:
                            self.problems.append(Problem(name, what, hint))
                    known.add(name)
        except EnvgitError as error:
            self.note("operation log", error)

    def check_pointers(self) -> None:
        folder = self.repo.path("checkouts")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            try:
                word = self.repo.read_pointer_word(name)
                if word is None:
                    continue
                pointer = parse_pointer(word)
                read_snapshot(self.repo.objects, pointer.base)
                if pointer.upper is not None and not os.path.isdir(self.repo.path("uppers", pointer.upper, "upper")):
                    branch = branch_of_worktree(name) or "the detached HEAD"
                    self.problems.append(
                        Problem(
                            f"worktree of {branch}",
                            f"its upper directory {pointer.upper} is missing: uncommitted changes are lost",
                            f"envgit checkout {branch}; envgit reset --hard",
                        )
                    )
            except EnvgitError as error:
                self.note(f"worktree {name}", error)


def check_repository(repo: Repository, *, full: bool = True) -> FsckReport:
    """Check everything reachable from refs, HEAD, worktrees and operations, and the layer cache.

    Reads and changes nothing; finds all problems instead of stopping at the first. `full` False skips the bytes of files.
    """
    check = _Check(repo, full)
    repo.monitor.start("checking objects")
    for problem in _check_packs(repo):
        check.problems.append(problem)
    repo.monitor.finish()
    repo.monitor.start("checking trees", None, "directories")
    for oid in _iter_commits(repo, check):
        check.check_commit(oid)
    repo.monitor.finish()
    check.check_state()
    check.problems += _check_sandboxes(repo)
    for gone in check.gone_tags:
        repo.monitor.warn(gone)
    layers = _check_layers(repo, check) if full else 0
    _note_cuts(repo, check)
    read = check.content
    return FsckReport(tuple(check.problems), len(check.commits), read.directories, read.files, layers, read.bytes)


def _note_cuts(repo: Repository, check: _Check) -> None:
    """Say where history ends because it was fetched so: that is no damage."""
    with suppress(EnvgitError):  # then the walk has said what is wrong
        cut = [oid.hex()[:12] for oid in check.commits if oid in repo.objects.shallow()]
        if cut:
            more = f" and {len(cut) - 5} more" if len(cut) > 5 else ""
            repo.monitor.note(f"history is cut short at {', '.join(cut[:5])}{more}; {GET_MORE}")


def _check_sandboxes(repo: Repository) -> list[Problem]:
    from envgit.sandbox.registry import find_damaged

    return [
        Problem(f"sandbox {found.id}", found.damage, f"envgit rm -f {found.id} removes it")
        for found in find_damaged(repo)
    ]


def _check_layers(repo: Repository, check: _Check) -> int:
    """Compare each cached layer with the trees that it lies between: capturing it over the lower must give the upper."""
    if not repo.cache.is_current():
        return 0
    roots: dict[tuple[str, ...], DirectoryRef] = {}
    for oid in check.commits:
        snapshot = read_snapshot(repo.objects, oid)
        stack = repo.cache.find_stack(stack_key(snapshot))
        if stack is not None:
            roots[stack] = snapshot.root
    repo.monitor.start("checking layers", len(roots), "layers")
    repo.enter_tree_namespace()
    for stack, root in roots.items():
        base = roots.get(stack[1:])
        if len(stack) == 1 or base is not None:
            problem = _check_layer(repo, stack[0], root, base or empty_root(repo))
            if problem is not None:
                hint = f"it is only a cache: rm -rf {repo.path('layers')}; the next run makes it again"
                check.problems.append(Problem(f"layer {stack[0]}", problem, hint))
        repo.monitor.advance()
    repo.monitor.finish()
    return len(roots)


def _check_layer(repo: Repository, name: str, root: DirectoryRef, base: DirectoryRef) -> str | None:
    """Return what is wrong with one layer that turns `base` into `root`."""
    fd = os.open(repo.cache.layer_path(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        memory = MemoryTree(repo.reader, fd, hash_files=True)
        found = capture_upper(repo, fd, base, memory, memory, Everything()).root
        paths = [
            os.fsdecode(change.path) for change in diff_trees(root, found, memory) if not _is_unholdable(repo, change)
        ]
    except EnvgitError as error:
        return error.message
    finally:
        os.close(fd)
    return f"it differs from its revision in {len(paths)} paths, /{paths[0]} for one" if paths else None


def _is_unholdable(repo: Repository, change: Change) -> bool:
    """Say whether a layer cannot hold the difference: device nodes are never created, owners share an id on disk."""
    if change.old is None or change.new is None:
        return change.old is not None and change.old.entry.type in ("c", "b")
    ids, old, new = repo.disk_ids, change.old.entry, change.new.entry
    same_owner = ids.to_disk(old.uid) == ids.to_disk(new.uid) and ids.to_disk(old.gid) == ids.to_disk(new.gid)
    return (
        same_owner
        and old._replace(uid=new.uid, gid=new.gid, sha256=new.sha256 if old.type == "d" else old.sha256) == new
    )


def _check_packs(repo: Repository) -> Iterator[Problem]:
    for where, what in iter_damage(repo.objects):
        yield Problem(where, what, "restore the file from a clone or a backup: git fetch brings missing objects back")


def _iter_commits(repo: Repository, check: _Check) -> Iterator[bytes]:
    starts = []
    for name, oid in repo.refs.iter_refs("refs/", on_damage=lambda error: check.note("refs", error)):
        try:
            starts.append(peel(repo, oid))
        except EnvgitError as error:
            check.note(name, error)
    head = repo.read_head().oid
    if head is not None:
        starts.append(head)
    try:
        yield from iter_commits(repo.objects, starts, [])
    except EnvgitError as error:
        check.note("history", error)
