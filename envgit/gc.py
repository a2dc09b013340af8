"""Gc: drop what nothing needs any more, and put many packs into few. What undo can reach is kept for a while."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from envgit.building.pruning import prune_build_cache
from envgit.errors import StorageError
from envgit.exec.cgroups.group import remove_leftovers
from envgit.layers.removal import remove_tree
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.sandbox.registry import recorded_ids
from envgit.sandbox.removing import forget_leftovers
from envgit.sandbox.state import iter_states, lock_starts
from envgit.sharing.keeping import release_packs
from envgit.sharing.trimming import Trimmed, trim_shared
from envgit.snapshot import read_snapshot
from envgit.stack import prepare_cache, run_where_ids_are_plain, stack_key
from envgit.store.consolidate import consolidate
from envgit.store.history import iter_commits
from envgit.store.operations import drop_operation, iter_operations
from envgit.tag import peel
from envgit.transaction import KEPT_PREFIX
from envgit.uppers import is_mounted, upper_paths
from envgit.worktree import parse_pointer

_DAY_SECONDS = 86_400
_LAYER_DAYS = 14
_SETTLING_SECONDS = 60


class GcReport(NamedTuple):
    packs_before: int
    packs_after: int
    layers_removed: tuple[str, ...]
    uppers_removed: tuple[str, ...]
    sandboxes_removed: tuple[str, ...]
    kept_removed: tuple[str, ...]
    operations_removed: int
    shared_removed: tuple[str, ...]
    """Packs that were shared with other repositories of the user, and are in none any more (docs/sharing.md)."""
    bytes_freed: int
    dry_run: bool


class _Doomed(NamedTuple):
    """The plan: everything that will go."""

    uppers: tuple[str, ...]
    sandboxes: tuple[str, ...]
    kept: tuple[str, ...]
    operations: tuple[int, ...]
    layers: tuple[str, ...]
    loose_ends: tuple[bytes, ...]
    """Commits that a worktree or a kept operation names and no ref reaches, because stock git moved one: to be kept."""


def collect_garbage(
    repo: Repository,
    *,
    dry_run: bool = False,
    aggressive: bool = False,
    keep_days: int = 30,
    prune_now: bool = False,
) -> GcReport:
    """Remove dead sandboxes, unreferenced upper directories, old operations with what only they kept, unused layers.

    Operations younger than `keep_days` can still be undone (`prune_now`: none but the last); files that builds fetched and have not
    used since are dropped (`prune_now`: for a day). Objects are put into few packs;
    `aggressive` lets git delta-compress them. Nothing that a branch, tag, worktree or kept operation names is lost. Safe beside
    running sandboxes and readers.
    """
    now = time.time()
    cutoff = now if prune_now else now - keep_days * _DAY_SECONDS
    before = _disk_bytes(repo.git_dir)
    with repo.operation(["gc"]) as transaction:
        transaction.hold(lock_starts(repo, exclusive=True))
        repo.monitor.start("looking for garbage")
        doomed = _plan(repo, cutoff, now - (0 if prune_now else _LAYER_DAYS * _DAY_SECONDS))
        repo.monitor.finish()
        packs_before = repo.objects.statistics().packs
        if not dry_run:
            forget_leftovers(repo)
            with suppress(OSError):
                remove_leftovers()
            for name in doomed.kept:
                transaction.set_ref(name, None)
            for oid in doomed.loose_ends:
                transaction.set_ref(KEPT_PREFIX + oid.hex(), oid)
            transaction.finish("gc")
            for number in doomed.operations:
                drop_operation(repo.git_dir, number)
            run_where_ids_are_plain(repo, lambda: _remove(repo, doomed))
            repo.monitor.start("packing objects")
            release_packs(repo.objects, None)
            while consolidate(repo.path("objects")) is not None:
                continue
            if aggressive or prune_now or doomed.kept:
                _repack(repo, aggressive, "now" if prune_now else str(int(cutoff)))
            repo.monitor.finish()
            repo.objects.refresh()
            prune_build_cache(repo, min(cutoff, now - _DAY_SECONDS))  # a build may be about to read what it has fetched
    trimmed = _trim_shared(repo, cutoff, dry_run)
    after = before if dry_run else _disk_bytes(repo.git_dir)
    return GcReport(
        packs_before=packs_before,
        packs_after=repo.objects.statistics().packs,
        layers_removed=doomed.layers,
        uppers_removed=doomed.uppers,
        sandboxes_removed=doomed.sandboxes,
        kept_removed=doomed.kept,
        operations_removed=len(doomed.operations),
        shared_removed=trimmed.packs,
        bytes_freed=max(0, before - after) + trimmed.bytes,
        dry_run=dry_run,
    )


def _trim_shared(repo: Repository, cutoff: float, dry_run: bool) -> Trimmed:
    try:
        return trim_shared(repo.git_dir, repo.environ, int(cutoff * 1_000_000_000), dry_run=dry_run)
    except StorageError as error:
        repo.monitor.warn(f"shared packs were not looked at: {error.message}")
        return Trimmed((), 0)


def _repack(repo: Repository, aggressive: bool, prune_before: str) -> None:
    """Let stock git drop unreachable objects and, if asked, delta-compress; without git nothing is dropped."""
    import subprocess

    git = shutil.which("git", path=repo.environ.get("PATH"))
    if git is None:
        repo.monitor.warn("git is not installed: unreachable objects stay; install git to drop them")
        return
    release_packs(repo.objects, _tips(repo))
    base = [git, "--git-dir", repo.git_dir]
    environ = {name: value for name, value in repo.environ.items() if not name.startswith("GIT_")}
    # git prune spares what a reflog names.
    forget = [*base, "reflog", "expire", "--all", "--expire=never", f"--expire-unreachable={prune_before}"]
    repack = [*base, "repack", "-a", "-d", "-l", "-q"]
    if prune_before != "now":  # consolidate() has just given old objects a young pack: there is no age to go by
        repack.append(f"--unpack-unreachable={prune_before}")
    if aggressive:
        repack += ["-f", "--depth=50", "--window=50"]
    for command in (forget, repack, [*base, "prune", f"--expire={prune_before}"]):
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise StorageError(f"git {command[3]} failed: {said[-1] if said else done.returncode}", hint="envgit fsck")


def _plan(repo: Repository, cutoff: float, layer_cutoff: float) -> _Doomed:
    words = {name: repo.read_pointer_word(name) for name in _list(repo.path("checkouts"))}
    pointers = [parse_pointer(word) for word in words.values() if word]
    uppers = {pointer.upper for pointer in pointers}
    commits = {pointer.base for pointer in pointers}
    old: list[int] = []
    for index, operation in enumerate(iter_operations(repo.git_dir)):
        if index and operation.seconds < cutoff:
            old.append(operation.number)
            continue
        for _, before, after in operation.refs:
            commits.update(oid for oid in (before, after) if oid is not None)
        for _, before_word, after_word in operation.worktrees:
            for word in (before_word, after_word):
                if word:
                    pointer = parse_pointer(word)
                    uppers.add(pointer.upper)
                    commits.add(pointer.base)
    live = [state for state, alive in iter_states(repo) if alive]
    layers_in_use = {name for state in live for name in state.layers} | _layers_of(repo, [p.base for p in pointers])
    before_ns = int(layer_cutoff * 1_000_000_000)
    return _Doomed(
        uppers=tuple(
            id for id in _list(repo.path("uppers")) if id not in uppers and not is_mounted(upper_paths(repo, id))
        ),
        sandboxes=tuple(_dead_sandboxes(repo, {state.id for state in live})),
        kept=tuple(name for name, oid in repo.refs.iter_refs(KEPT_PREFIX) if oid not in commits),
        operations=tuple(reversed(old)),
        loose_ends=tuple(sorted(oid for oid in commits - _reachable(repo) if repo.objects.contains(oid))),
        layers=repo.cache.find_unused(layers_in_use, before_ns),
    )


def _reachable(repo: Repository) -> set[bytes]:
    """Return what refs and HEAD hold, and every commit that they reach."""
    return _held(repo) | set(iter_commits(repo.objects, _tips(repo)))


def _held(repo: Repository) -> set[bytes]:
    return {oid for _, oid in repo.refs.iter_refs()} | {oid for oid in (repo.read_head().oid,) if oid is not None}


def _tips(repo: Repository) -> set[bytes]:
    """Return the commits that refs and HEAD hold, through tags too."""
    return {oid for oid in (peel(repo, oid) for oid in _held(repo)) if repo.objects.read(oid)[0] == "commit"}


def _layers_of(repo: Repository, bases: list[bytes]) -> set[str]:
    """The layers below worktrees and branches' tips: what the next run needs."""
    tips = [oid for _, oid in repo.refs.iter_refs(BRANCH_PREFIX)]
    stacks = (repo.cache.find_stack(stack_key(read_snapshot(repo.objects, oid))) for oid in {*bases, *tips})
    return {name for stack in stacks if stack is not None for name in stack}


def _dead_sandboxes(repo: Repository, live: set[str]) -> Iterator[str]:
    """Yield the folders that no sandbox uses and none is recorded in. A young one may be of a sandbox that is about to start or
    has just ended."""
    live = {*live, *recorded_ids(repo)}
    for id in _list(repo.path("sandboxes")):
        with suppress(FileNotFoundError):
            if id not in live and time.time() - os.stat(repo.path("sandboxes", id)).st_mtime > _SETTLING_SECONDS:
                yield id


def _remove(repo: Repository, doomed: _Doomed) -> None:
    for folder, ids in (("uppers", doomed.uppers), ("sandboxes", doomed.sandboxes)):
        if not ids:
            continue
        fd = os.open(repo.path(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for id in ids:
                with suppress(FileNotFoundError):  # its owner removes it as well
                    remove_tree(os.fsencode(id), fd)
        finally:
            os.close(fd)
    cache = prepare_cache(repo)
    cache.remove(doomed.layers)
    cache.remove_unfinished()


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _disk_bytes(folder: str) -> int:
    """Return the bytes that are allocated below a folder and nowhere else, as far as this user can see."""
    total = 0
    todo: list[str] = [folder]
    linked: dict[tuple[int, int], int] = {}
    while todo:
        try:
            with os.scandir(todo.pop()) as found:
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        todo.append(item.path)
                        continue
                    status = item.stat(follow_symlinks=False)
                    if status.st_nlink > 1:  # counted with its last name: until then others may have it
                        inode = status.st_dev, status.st_ino
                        linked[inode] = linked.get(inode, 0) + 1
                        if linked[inode] < status.st_nlink:
                            continue
                    total += status.st_blocks * 512
        except OSError:
            continue
    return total
