"""Give a pack that another folder has to this one: by a hard link, or by the next best that the filesystems allow.

A pack never changes once it has its name, so one inode can belong to any number of repositories, and nothing dangles
whoever removes which of its names. Only a file is linked that belongs to the caller and that nobody else may write.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from typing import Literal, NamedTuple

from envgit.errors import CorruptObject, EnvgitError
from envgit.sharing.copying import copy_file
from envgit.store import storage
from envgit.store.pack_index import PackIndex
from envgit.store.pack_writer import TEMPORARY_INDEX, TEMPORARY_PACK

How = Literal["present", "linked", "cloned", "copied"]
"""`linked`: the same inode; `cloned`: another one on the same blocks (reflink); `copied`: bytes were written."""

KEEP_TEXT = b"envgit: this pack is shared with other repositories of its owner\n"
"""What a `.keep` of ours says; those of git and of users are not ours to remove."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.ENOENT)
"""Another filesystem, too many links, a filesystem without links or a kernel that forbids them, no /proc: copy instead."""
_LEAST_PACK_BYTES = 32


class NotShareable(EnvgitError):
    """A file that must not be taken over as it is: somebody else's, or others may write it."""

    code = "not-shareable"


class LinkedPack(NamedTuple):
    """`name` is `pack-<40 hex>` of the pack's trailer; `bytes` of the pack file."""

    name: str
    how: How
    bytes: int


def link_pack(source: str, folder: str, *, keep: bool = False, index: bool = True, copy: bool = True) -> LinkedPack:
    """Put a pack into `folder` (an existing objects/pack), durably; the same pack there already is fine.

    `source`: its path with or without `.pack`; a `.idx` must be beside it unless `index` is False: then only the
    pack goes in, for a caller that writes an index of its own. With `index` the pack is visible to readers only when it is
    whole, and what a killed command leaves is completed by the next call. `keep` writes the `.keep` that makes
    `git gc` leave the pack alone. Without `copy` no bytes are written twice. The content is not verified: it is the
    same user's. Raises NotShareable (not a plain file of the caller's that only the caller may write; without `copy` also
    where neither link nor clone is possible), CorruptObject (pack and index do not belong together), StorageError.
    Steps: link-keep, link-pack, link-index, link-folder.
    """
    stem = source.removesuffix(".pack")
    with ExitStack() as stack:
        pack = open_own(stem + ".pack")
        stack.callback(os.close, pack)
        size, digest = _read_ends(pack, stem + ".pack")
        name = "pack-" + digest.hex()
        target = f"{folder}/{name}"
        index_fd = -1
        if index:
            index_fd = open_own(stem + ".idx")
            stack.callback(os.close, index_fd)
            if PackIndex(f"/proc/self/fd/{index_fd}").pack_digest() != digest:
                raise CorruptObject(f"pack {stem}.pack does not belong to its index")
        # First, so that no gc of stock git ever sees the pack without it.
        if keep and not os.path.lexists(target + ".keep"):
            storage.write_file(target + ".keep", KEEP_TEXT, step="link-keep", durable=False, mode=0o444)
        how = _place(pack, target + ".pack", size, TEMPORARY_PACK, "link-pack", copy)
        if index:
            _place(index_fd, target + ".idx", os.fstat(index_fd).st_size, TEMPORARY_INDEX, "link-index", True)
    storage.sync_directory(folder, step="link-folder")
    return LinkedPack(name, how, size)


def open_own(path: str) -> int:
    """Open a plain file that belongs to the caller and that nobody else may write. Raises NotShareable, StorageError."""
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO):
            raise NotShareable(f"cannot share {path}: {error.strerror}") from error
        storage.fail("open", path, error)
    try:
        status = os.fstat(fd)
        reason = why_not_own(status) if stat.S_ISREG(status.st_mode) else "it is no plain file"
        if reason:
            raise NotShareable(f"cannot share {path}: {reason}")
    except BaseException:
        os.close(fd)
        raise
    return fd


def why_not_own(status: os.stat_result) -> str:
    """Say why a file or folder is not the caller's alone, "" when it is. The sticky bit does not help."""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & 0o022:
        return f"others may write it (mode {status.st_mode & 0o7777:04o})"
    return ""


def _read_ends(fd: int, path: str) -> tuple[int, bytes]:
    size = os.fstat(fd).st_size
    if size < _LEAST_PACK_BYTES or os.pread(fd, 8, 0) not in (b"PACK\0\0\0\2", b"PACK\0\0\0\3"):
        raise CorruptObject(f"{path} is not a pack")
    return size, os.pread(fd, 20, size - 20)


def _place(fd: int, target: str, size: int, prefix: str, step: str, copy: bool) -> How:
    """Make `target` a file with the content of `fd`, at once."""
    try:
        there = os.stat(target, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        # Its name is the hash of its content; one of another length is what a damaged disk left.
        if stat.S_ISREG(there.st_mode) and there.st_size == size:
            return "present"
        storage.unlink(target, step=step + "-replace")
    try:
        storage.reach(step)
        link_open(fd, target)
    except FileExistsError:
        return "present"
    except OSError as error:
        if error.errno not in _NO_LINK:
            storage.fail("create", target, error)
    else:
        return "linked"
    made = copy_file(fd, target, size, prefix=prefix, step=step + "-copy", clone_only=not copy)
    if made is None:
        raise NotShareable(f"cannot share {target}: it is on another filesystem")
    return made


def link_open(fd: int, target: str) -> None:
    """Give the open file another name: the very inode that was checked. Raises OSError."""
    folder = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # With a descriptor Python calls linkat(AT_SYMLINK_FOLLOW), which goes through the link in /proc.
        os.link(f"/proc/self/fd/{fd}", os.path.basename(target), dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
