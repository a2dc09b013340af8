"""Turn a worktree's upper directory into a layer by renaming it, without losing what was not recorded.

The order, each step safe to repeat: the note `handover` is durable; `upper` is renamed into the new layer; a fresh
upper is made inside the layer's folder and what capture left out is moved there, below directories with the
attributes that were recorded; the fresh upper is renamed to where the old one was; the layer is published and
its stack recorded; the note goes. Killed before the first rename: nothing happened. After it: `recover` goes on.

The caller has made the commit durable and the worktree's base point to it: the old upper over the new base shows the
same tree, so that a handover that never happens costs nothing but the sharing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from envgit.errors import CorruptObject
from envgit.layers.attributes import write_attributes
from envgit.layers.cache import LayerCache, NewLayer
from envgit.layers.capture import Captured
from envgit.layers.descent import DIRECTORY_FLAGS, open_beneath
from envgit.layers.escape import escape, unescape
from envgit.layers.metadata import format_directory, parse_directory
from envgit.layers.removal import remove_tree
from envgit.layers.whiteout import make_opaque, unmake_opaque
from envgit.model import DiskIds, Entry

_HEADER = b"envgit-handover 1"


class _Note(NamedTuple):
    layer: str
    upper: bytes
    """Relative to the cache's folder."""
    key: str
    below: tuple[str, ...]
    synced: bool
    holders: tuple[tuple[bytes, Entry], ...]
    moves: tuple[bytes, ...]
    opaque: tuple[bytes, ...]


def adopt(
    cache: LayerCache,
    upper: bytes,
    captured: Captured,
    root_own: Entry,
    key: str,
    below: Sequence[str],
    *,
    synced: bool = False,
) -> str:
    """Make the directory `upper` the layer that turns the stack `below` into the tree `key`; return its name.

    `captured` is what capture(upper) returned and `root_own` the attributes of the new tree's root; nothing may
    have the upper directory mounted. Afterwards `upper` is a new directory that holds only what capture left out.
    `synced`: upper was synced to disk before. Must be called under the repository's lock, same filesystem.
    """
    new = cache.begin_layer()
    os.rmdir(new.path)
    holders = dict(captured.holders)
    holders[b""] = root_own
    note = _Note(
        new.name,
        os.path.relpath(os.path.abspath(upper), os.path.abspath(cache.folder)),
        key,
        tuple(below),
        synced,
        tuple(sorted(holders.items())),
        (*captured.ignored, *captured.sockets),
        captured.opaque_volatile,
    )
    _write_note(cache, _format(note))
    cache.reach("handover-take-upper")
    os.rename(upper, new.path)
    _finish(cache, note)
    return new.name


def recover(cache: LayerCache) -> bool:
    """Finish or drop a handover that a killed command left; say whether there was one. Call under the lock."""
    path = cache.folder + b"/handover"
    try:
        with open(path, "rb") as stream:
            note = _parse(stream.read())
    except FileNotFoundError:
        return False
    except (CorruptObject, ValueError, IndexError):
        os.unlink(path)
        return True
    if os.path.isdir(cache.layer_path(note.layer)):
        _record(cache, note)
    elif os.path.isdir(_new_path(cache, note)):
        _finish(cache, note)
    else:
        cache.discard(NewLayer(note.layer, _new_path(cache, note)))
        _drop_note(cache)
    return True


def _finish(cache: LayerCache, note: _Note) -> None:
    """Everything after the upper directory was taken. Each step looks whether it was done."""
    layer_path = _new_path(cache, note)
    upper = os.path.join(cache.folder, note.upper)
    if not os.path.lexists(upper):
        fresh = layer_path[: -len(b"fs")] + b"upper"
        if not os.path.isdir(fresh):
            cache.reach("handover-make-upper")
            os.mkdir(fresh, 0o700)
        layer_fd, fresh_fd = os.open(layer_path, DIRECTORY_FLAGS), os.open(fresh, DIRECTORY_FLAGS)
        try:
            _move(cache, note, layer_fd, fresh_fd)
        finally:
            os.close(layer_fd)
            os.close(fresh_fd)
        if os.path.isdir(os.path.dirname(upper)):
            cache.reach("handover-put-upper")
            os.rename(fresh, upper)
            _sync_directory(os.path.dirname(upper))
        else:  # of a throw-away sandbox that was removed after the process that worked here had died
            _remove(fresh)
    if note.synced:
        marker = os.open(layer_path[: -len(b"fs")] + b"synced", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(marker)
    cache.publish(NewLayer(note.layer, layer_path))
    _record(cache, note)


def _remove(path: bytes) -> None:
    parent_fd = os.open(os.path.dirname(path), DIRECTORY_FLAGS)
    try:
        remove_tree(os.path.basename(path), parent_fd)
    finally:
        os.close(parent_fd)


def _record(cache: LayerCache, note: _Note) -> None:
    cache.record_stack(note.key, (note.layer, *note.below))
    _drop_note(cache)


def _move(cache: LayerCache, note: _Note, layer_fd: int, fresh_fd: int) -> None:
    """Move what was left out, then give the directories above it their recorded attributes on both sides."""
    for path, _ in note.holders:
        if path:
            parent, _, name = path.rpartition(b"/")
            parent_fd = open_beneath(fresh_fd, parent)
            try:
                os.mkdir(name, 0o700, dir_fd=parent_fd)
            except FileExistsError:
                pass
            finally:
                os.close(parent_fd)
    for path in note.moves:
        parent, _, name = path.rpartition(b"/")
        source, target = open_beneath(layer_fd, parent), open_beneath(fresh_fd, parent)
        try:
            cache.reach("handover-move")
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except FileNotFoundError:
            pass
        finally:
            os.close(source)
            os.close(target)
    for path in note.opaque:
        for root_fd, change in ((fresh_fd, make_opaque), (layer_fd, unmake_opaque)):
            fd = open_beneath(root_fd, path)
            try:
                change(fd)
            finally:
                os.close(fd)
    for path, own in reversed(note.holders):
        for root_fd in (layer_fd, fresh_fd):
            _restore(root_fd, path, own, cache.disk_ids)


def _restore(root_fd: int, path: bytes, own: Entry, disk_ids: DiskIds) -> None:
    fd = open_beneath(root_fd, path)
    try:
        status = os.fstat(fd)
        write_attributes(fd, own, disk_ids, (status.st_uid, status.st_gid), _ignore_warning)
    finally:
        os.close(fd)


def _format(note: _Note) -> bytes:
    lines = [
        _HEADER,
        b"layer " + note.layer.encode("ascii"),
        b"upper " + escape(note.upper),
        b"key " + note.key.encode("ascii"),
        b"synced " + (b"yes" if note.synced else b"no"),
    ]
    lines += [b"below " + name.encode("ascii") for name in note.below]
    for path, own in note.holders:
        lines.append(b"holder " + escape(path) + b" " + format_directory(own, ()).split(b"\n")[1])
    lines += [b"move " + escape(path) for path in note.moves]
    lines += [b"opaque " + escape(path) for path in note.opaque]
    lines.append(b"end\n")
    return b"\n".join(lines)


def _parse(text: bytes) -> _Note:
    if not text.startswith(_HEADER + b"\n") or not text.endswith(b"\nend\n"):
        raise CorruptObject("the handover note is damaged")
    values: dict[bytes, list[bytes]] = {}
    for line in text.split(b"\n")[1:-2]:
        key, _, value = line.partition(b" ")
        values.setdefault(key, []).append(value)
    holders = []
    for value in values.get(b"holder", ()):
        path, _, own = value.partition(b" ")
        holders.append((unescape(path), parse_directory(b"envgit-directory 1\n" + own + b"\n").own))
    return _Note(
        values[b"layer"][0].decode("ascii"),
        unescape(values[b"upper"][0]),
        values[b"key"][0].decode("ascii"),
        tuple([name.decode("ascii") for name in values.get(b"below", ())]),
        values[b"synced"] == [b"yes"],
        tuple(holders),
        tuple([unescape(path) for path in values.get(b"move", ())]),
        tuple([unescape(path) for path in values.get(b"opaque", ())]),
    )


def _new_path(cache: LayerCache, note: _Note) -> bytes:
    return cache.folder + b"/new-" + note.layer.encode("ascii") + b"/fs"


def _write_note(cache: LayerCache, text: bytes) -> None:
    aside = cache.folder + b"/handover.new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        cache.reach("handover-write-note")
        view = memoryview(text)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(aside, cache.folder + b"/handover")
    _sync_directory(cache.folder)


def _drop_note(cache: LayerCache) -> None:
    cache.reach("handover-drop-note")
    os.unlink(cache.folder + b"/handover")


def _sync_directory(path: bytes) -> None:
    fd = os.open(path, DIRECTORY_FLAGS)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _ignore_warning(message: str) -> None:
    """What a disk could not hold was said when it was first written."""
