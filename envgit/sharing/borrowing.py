"""Make materialised layers out of those of another project of the same user: by hard links instead of bytes.

Nobody owns the shared inodes: a layer is only ever mounted as an overlay's lower directory, whose files the kernel does
not change, and envgit itself changes none that has its name. So each project may drop its layers whenever it likes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from envgit.errors import EnvgitError
from envgit.layers.cache import LayerCache
from envgit.layers.descent import DIRECTORY_FLAGS
from envgit.layers.stacking import KnownTree, ensure_stack
from envgit.model import TreeReader
from envgit.monitor import Monitor
from envgit.sharing.linking import why_not_own
from envgit.sharing.place import open_place
from envgit.store import storage
from envgit.store.lock import RepositoryLock

_LENDERS_ASKED = 32
_ANCESTORS_TRIED = 64
_LOCK_PATIENCE_SECONDS = 0.0
"""Two projects that want to borrow from each other at the same time must not wait for each other."""


class _Step(NamedTuple):
    """One layer to make: the lender's `name` shows `tree` over what is below."""

    tree: KnownTree
    name: str


def borrow_layers(
    git_dir: str,
    environ: Mapping[str, str],
    cache: LayerCache,
    trees: Iterable[KnownTree],
    reader: TreeReader,
    monitor: Monitor,
) -> KnownTree | None:
    """Have a stack for the first of `trees` (a commit's, then its ancestors', nearest first) that another project shows.

    Returns that tree; None when nobody has any or nothing is shared. Under the repository's lock, where ids are plain, after
    `cache.prepare`. The layers are checked as they are taken: a file that the lender does not have as recorded is written.
    Raises what `materialise` does.
    """
    folder = open_place(git_dir, environ)
    lenders = _lenders(folder, cache) if folder is not None else []
    if not lenders:
        return None
    line = list(islice(trees, _ANCESTORS_TRIED))
    for place, tree in enumerate(line):
        for lender in lenders:
            if _find(lender, tree.key) is None or (lock := _hold(lender)) is None:
                continue
            try:
                steps = _plan(lender, line[place:])
                if steps:
                    return _take(cache, lender, steps, reader, monitor)
            finally:
                lock.release()
    return None


def note_lender(git_dir: str, environ: Mapping[str, str], cache: LayerCache) -> None:
    """Note that this project has layers to lend. Never fails."""
    with suppress(OSError, EnvgitError):
        folder = open_place(git_dir, environ)
        path = os.path.realpath(cache.folder)
        if folder is not None:
            name = sha256(path).hexdigest()[:32]
            storage.write_file(f"{folder}/projects/{name}", path, step="share-project", durable=False)


def _lenders(folder: str, cache: LayerCache) -> list[LayerCache]:
    """Return the layers of other projects that can be used here, those noted last first."""
    found: list[tuple[int, str]] = []
    with suppress(OSError), os.scandir(folder + "/projects") as listed:
        found = sorted(((item.stat().st_mtime_ns, item.path) for item in listed), reverse=True)
    own = os.path.realpath(cache.folder)
    lenders = []
    for _, note in found[:_LENDERS_ASKED]:
        with suppress(OSError), open(note, "rb") as file:
            path = file.read(1 << 16)
            if (
                path.startswith(b"/")
                and b"\0" not in path
                and path != own
                and (lender := _open_lender(path, cache)) is not None
            ):
                lenders.append(lender)
    return lenders


def _open_lender(path: bytes, cache: LayerCache) -> LayerCache | None:
    """Return another project's cache if it is one, the caller's alone and on the same filesystem.

    Since it was noted, anybody may have put something else in its place.
    """
    above = os.path.dirname(path)
    try:
        status = os.stat(path, follow_symlinks=False)
        if status.st_dev != os.stat(cache.folder).st_dev or not stat.S_ISDIR(status.st_mode):
            return None
        if why_not_own(status) or why_not_own(os.stat(above)) or not os.path.exists(above + b"/requires"):
            return None
    except OSError:
        return None
    return LayerCache(path, cache.disk_ids, cache.reach)


def _find(lender: LayerCache, key: str) -> tuple[str, ...] | None:
    """Return lender.find_lendable(); None too for one that cannot be read."""
    try:
        return lender.find_lendable(key)
    except OSError:
        return None


def _hold(lender: LayerCache) -> RepositoryLock | None:
    """Keep the other project from dropping layers meanwhile; None when it is busy."""
    lock = RepositoryLock(os.fsdecode(os.path.dirname(lender.folder)) + "/lock")
    try:
        lock.acquire(b"envgit: lending layers to another project", _LOCK_PATIENCE_SECONDS)
    except EnvgitError:
        return None
    return lock


def _plan(lender: LayerCache, line: Sequence[KnownTree]) -> list[_Step]:
    """Return what to make of the lender's stack for the first tree of a line of ancestors, bottom first.

    Layer by layer, because only of a layer on its own is it known which file is which; empty when a layer of the stack
    is of a tree that is not in the line.
    """
    names = _find(lender, line[0].key)
    steps: list[_Step] = []
    for tree in line:
        if names and _find(lender, tree.key) == names:
            steps.append(_Step(tree, names[0]))
            names = names[1:]
    return [] if names or names is None else steps[::-1]


def _take(
    cache: LayerCache, lender: LayerCache, steps: list[_Step], reader: TreeReader, monitor: Monitor
) -> KnownTree | None:
    base: KnownTree | None = None
    for step in steps:
        try:
            fd = os.open(lender.layer_path(step.name), DIRECTORY_FLAGS)
        except OSError:
            return base
        try:
            ensure_stack(cache, step.tree, [base] if base is not None else [], reader, monitor=monitor, lent=(fd,))
        finally:
            os.close(fd)
        base = step.tree
    return base
