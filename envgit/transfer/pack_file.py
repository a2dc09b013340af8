"""A pack that comes in pieces: written beside its place, named when its trailer is right, without an index."""

from __future__ import annotations

import os
from hashlib import sha1
from typing import Final

from envgit.monitor import Monitor
from envgit.store import storage
from envgit.transfer.errors import ProtocolViolation, TransferError

_TRAILER: Final = 20
_HEADER: Final = 12
_LOOK_BYTES: Final = 64 * 1024 * 1024


class ArrivingPack:
    """Takes the bytes of one pack for `git_dir`. The quarantine believes nothing of it: it makes the index."""

    def __init__(self, git_dir: str, monitor: Monitor) -> None:
        self._folder = git_dir + "/objects/pack"
        self._path = storage.temporary_name(self._folder, "tmp_pack_")
        self._fd = -1
        self._digest = sha1(usedforsecurity=False)
        self._tail = b""
        self._head = b""
        self._monitor = monitor
        self.bytes = 0
        self._looked = 0

    def add(self, data: bytes) -> int:
        """Take the next bytes. Raises ProtocolViolation when this is no pack, TransferError when the disk fills up."""
        if self._fd < 0:
            self._fd = storage.open_new(self._path, step="arriving-pack", mode=0o444)
            self._monitor.start("receiving", None, "bytes")
        if len(self._head) < _HEADER:
            self._head = (self._head + data)[:_HEADER]
            if not b"PACK\0\0\0\2".startswith(self._head[:8]):
                raise ProtocolViolation("what comes is no pack", hint="check the address")
        storage.write_all(self._fd, data, step="arriving-pack-write", path=self._path)
        joined = self._tail + data
        self._digest.update(joined[:-_TRAILER])
        self._tail = joined[-_TRAILER:]
        self.bytes += len(data)
        self._monitor.advance(len(data))
        if self.bytes - self._looked > _LOOK_BYTES:
            self._looked = self.bytes
            free = os.statvfs(self._folder)
            if free.f_bavail * 10 < free.f_blocks // 10:
                raise TransferError("what comes fills the disk", hint="free some space, then run the command again")
        return len(data)

    def finish(self) -> None:
        """Give it its name; an empty one leaves nothing."""
        if self._fd < 0:
            return
        if len(self._head) < _HEADER or self._digest.digest() != self._tail:
            raise ProtocolViolation("the pack was cut short or damaged on its way", hint="run the command again")
        if int.from_bytes(self._head[8:], "big"):
            storage.rename(self._path, f"{self._folder}/pack-{self._tail.hex()}.pack", step="arriving-pack-rename")
        self.close()

    def close(self) -> None:
        """Drop what is unfinished."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._monitor.finish()
            storage.discard(self._path)
