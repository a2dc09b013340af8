"""The folder of a quarantine: `.envgit/incoming/ID`, a bare repository that borrows our objects; flocked while its owner lives."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from envgit.errors import CorruptObject, StorageError
from envgit.layers.removal import remove_tree
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.store.refs import RefStore
from envgit.store.shallow import NAME as SHALLOW

FOLDER = "incoming"
_CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\talternateRefsPrefixes = refs/none/
[gc]
\tauto = 0
[maintenance]
\tauto = false
[fetch]
\tfsckObjects = true
\tunpackLimit = 1
[transfer]
\tfsckObjects = true
\tunpackLimit = 1
"""
"""Refs of ours are in packed-refs: git need not ask the alternate for them again."""
_SHOWN = ("refs/heads/", "refs/tags/", "refs/remotes/")
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_folder(git_dir: str, shallow: bytes) -> tuple[str, int]:
    """Make the folder of a quarantine; return its path and the descriptor that holds its lock. Raises StorageError."""
    parent = f"{os.path.abspath(git_dir)}/{FOLDER}"
    storage.make_directory(parent, step="incoming-folder")
    while True:
        path = storage.temporary_name(parent, "")
        storage.make_directory(path, step="quarantine-folder")
        fd = _lock(path, parent)
        if fd is not None:
            break
    try:
        for name in ("objects", "objects/info", "objects/pack", "refs"):
            storage.make_directory(f"{path}/{name}", step="quarantine-subfolder")
        files = {
            "HEAD": b"ref: refs/heads/none\n",
            "config": _CONFIG,
            "objects/info/alternates": _quote(os.fsencode(f"{os.path.abspath(git_dir)}/objects")) + b"\n",
            "packed-refs": _packed_refs(git_dir),
        }
        if shallow:
            files[SHALLOW] = shallow
        for name, content in files.items():
            storage.write_file(f"{path}/{name}", content, step="quarantine-file", durable=False)
    except BaseException:
        with suppress(StorageError):
            remove_folder(path)
        os.close(fd)
        raise
    return path, fd


def own_tips(git_dir: str) -> dict[str, bytes]:
    """Return the refs of a repository whose objects are here, HEAD's commit among them."""
    refs, objects = RefStore(git_dir), ObjectStore(git_dir)
    tips = {name: oid for name, oid in refs.iter_refs(on_damage=lambda _: None) if objects.contains(oid)}
    with suppress(CorruptObject):
        head = refs.read_head().oid
        if head is not None and objects.contains(head):
            tips["HEAD"] = head
    return tips


def remove_leftovers(git_dir: str) -> int:
    """Remove the quarantines of killed commands; those of living ones are locked. Returns how many. Raises StorageError."""
    parent = f"{os.path.abspath(git_dir)}/{FOLDER}"
    removed = 0
    try:
        names = os.listdir(parent)
    except FileNotFoundError:
        return 0
    except OSError as error:
        storage.fail("read", parent, error)
    for name in names:
        path = f"{parent}/{name}"
        if not os.path.isdir(path) or os.path.islink(path):
            removed += storage.unlink(path, step="quarantine-leftover")
            continue
        fd = _lock(path, parent, wait=False)
        if fd is not None:
            try:
                remove_folder(path)
            finally:
                os.close(fd)
            removed += 1
    return removed


def remove_folder(path: str) -> None:
    """Remove a quarantine; nothing there is fine. Raises StorageError."""
    try:
        storage.reach("quarantine-remove")
        fd = os.open(os.path.dirname(path), _OPEN)
    except FileNotFoundError:
        return
    except OSError as error:
        storage.fail("open", os.path.dirname(path), error)
    try:
        remove_tree(os.fsencode(os.path.basename(path)), fd)
    except OSError as error:
        storage.fail("remove", path, error)
    finally:
        os.close(fd)


def _lock(path: str, parent: str, *, wait: bool = True) -> int | None:
    """Lock a quarantine; None when another process has it, or has just removed it for a leftover."""
    try:
        fd = os.open(path, _OPEN)
    except FileNotFoundError:
        return None
    except OSError as error:
        storage.fail("open", path, error)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(fd)
        storage.fail("lock", parent, error)
    os.close(fd)
    return None


def _packed_refs(git_dir: str) -> bytes:
    """Our tips, for negotiation; what is envgit's own goes by numbers, so that no name of it is ever seen elsewhere."""
    lines = []
    hidden: set[bytes] = set()
    for name, oid in own_tips(git_dir).items():
        if name.startswith(_SHOWN):
            lines.append((os.fsencode(name), oid))
        else:
            hidden.add(oid)
    lines += [(b"refs/have/%d" % number, oid) for number, oid in enumerate(sorted(hidden - {oid for _, oid in lines}))]
    text = [b"%b %b\n" % (oid.hex().encode(), name) for name, oid in sorted(lines)]
    return b"# pack-refs with: sorted \n" + b"".join(text)


def _quote(path: bytes) -> bytes:
    """A path as git reads it in info/alternates: quoted where it begins with `"` or `#`, or holds a newline."""
    if path[:1] not in (b'"', b"#") and b"\n" not in path:
        return path
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'
