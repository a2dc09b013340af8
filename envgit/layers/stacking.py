"""Have a stack of layers that shows a tree: from the cache, or by writing as little as possible."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from envgit.layers.cache import MAX_STACK, LayerCache
from envgit.layers.descent import DIRECTORY_FLAGS
from envgit.layers.materialise import materialise
from envgit.layers.two_writers import Fork
from envgit.model import DirectoryRef, TreeReader
from envgit.monitor import Monitor


class KnownTree(NamedTuple):
    """A tree and what the cache calls it."""

    key: str
    root: DirectoryRef


def ensure_stack(
    cache: LayerCache,
    target: KnownTree,
    candidates: Sequence[KnownTree],
    reader: TreeReader,
    *,
    shallow: Callable[[], KnownTree | None] = lambda: None,
    monitor: Monitor | None = None,
    sync: Callable[[int], None] | None = None,
    lent: Sequence[int] = (),
    fork: Fork | None = None,
) -> tuple[str, ...]:
    """Return the layers, top first, that show `target`; materialise what is missing.

    `candidates`: trees to start from, best (nearest) first; the first that is cached is used. A stack that would
    grow past MAX_STACK becomes one layer on the tree that `shallow` returns (one with a stack of at most SHALLOW_STACK),
    or a whole one; it shares its files with those it replaces. `cache.prepare` was called. Raises what `materialise` does.

    `lent`: open layers, top first, of another cache with the same ids on the same filesystem, that show of `target`
    what is to be written: files are hard-linked from there. `fork`: see materialise().
    """
    names = cache.find_stack(target.key)
    if names is None:
        below: tuple[str, ...] = ()
        base: DirectoryRef | None = None
        for candidate in candidates:
            found = cache.find_stack(candidate.key)
            if found is not None:
                below, base = found, candidate.root
                break
        names = (_make_layer(cache, target.root, base, reader, (), monitor, sync, lent, fork), *below)
        cache.record_stack(target.key, names)
    if len(names) > MAX_STACK:
        bottom = shallow()
        stay = cache.find_stack(bottom.key) if bottom is not None else None
        base = bottom.root if bottom is not None and stay is not None else None
        names = (_make_layer(cache, target.root, base, reader, names, monitor, sync), *(stay or ()))
        cache.record_stack(target.key, names)
    return names


def _make_layer(
    cache: LayerCache,
    target: DirectoryRef,
    base: DirectoryRef | None,
    reader: TreeReader,
    link_from: Sequence[str],
    monitor: Monitor | None,
    sync: Callable[[int], None] | None,
    lent: Sequence[int] = (),
    fork: Fork | None = None,
) -> str:
    layer = cache.begin_layer()
    opened: list[int] = []
    try:
        for path in (layer.path, *[cache.layer_path(name) for name in link_from]):
            opened.append(os.open(path, DIRECTORY_FLAGS))
        known = [*opened[1:], *lent]
        materialise(target, base, reader, opened[0], cache.disk_ids, monitor=monitor, link_from=known, fork=fork)
        return cache.publish(layer, sync)
    except BaseException:
        cache.discard(layer)
        raise
    finally:
        for fd in opened:
            os.close(fd)
