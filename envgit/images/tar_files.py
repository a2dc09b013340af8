"""The files within a tar archive, found by one pass over its headers and read in place.

A compressed archive, or one that is not a regular file, is first copied, uncompressed, to a temporary file without a name.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

from envgit.errors import HostileInput, SourceError, StorageError
from envgit.images.files import FdStream, OpenedFile
from envgit.layers.sources.decompress import ArchiveBytes, open_archive
from envgit.layers.sources.tar_header import ZERO_BLOCK, display
from envgit.layers.sources.tar_limits import TarLimits
from envgit.layers.sources.tar_members import iter_members
from envgit.monitor import Monitor

_LIMITS: Final = TarLimits(entries=100_000)
_MOST_LINKS: Final = 16
_TAR_MAGIC_AT: Final = 257


class TarFiles:
    """`close` must be called; streams that were opened end with it."""

    def __init__(self, path: str, folder: str, monitor: Monitor) -> None:
        """Open the archive at `path`; `folder` is for the temporary file. Raises SourceError, HostileInput, StorageError."""
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            raise SourceError(f"cannot open the archive {path}: {error.strerror}", hint="check the path") from error
        try:
            status = os.fstat(self._fd)
            if stat.S_ISDIR(status.st_mode):
                raise SourceError(f"{path} is a directory, not an archive", hint=f"if it is a layout: oci:{path}")
            if not stat.S_ISREG(status.st_mode) or not _is_plain(self._fd):
                self._spool(folder, monitor)
            self._size = os.fstat(self._fd).st_size
            self._places: dict[str, tuple[int, int]] = {}
            self._links: dict[str, str] = {}
            self._read_headers()
        except BaseException:
            os.close(self._fd)
            raise

    def open(self, name: str) -> OpenedFile | None:
        name = posixpath.normpath(name)
        for _ in range(_MOST_LINKS):
            if name in self._places:
                offset, size = self._places[name]
                return OpenedFile(FdStream(self._fd, offset, size, f"{self.path}: {name}", owned=False), size)
            if name not in self._links:
                return None
            name = self._links[name]
        raise HostileInput(f"{self.path}: links of {ascii(name)} lead in a circle", hint="make the archive again")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_headers(self) -> None:
        data = _SeekingBytes(self._fd, self._size, self.path)
        for member in iter_members(data, _LIMITS, end_mark=False):
            name = posixpath.normpath(os.fsdecode(member.name).lstrip("/"))
            if member.type == b"0":
                if member.sparse is not None:
                    raise SourceError(
                        f"{display(member.name)} in {self.path} is stored as a sparse file",
                        hint="make the archive again without --sparse",
                    )
                self._places[name] = (data.offset, member.size)
                self._links.pop(name, None)
            elif member.type in (b"1", b"2"):
                target = os.fsdecode(member.linkname)
                parent = posixpath.dirname(name) if member.type == b"2" else ""
                self._links[name] = posixpath.normpath(posixpath.join(parent, target)).lstrip("/")
                self._places.pop(name, None)

    def _spool(self, folder: str, monitor: Monitor) -> None:
        """Replace the open archive by an uncompressed copy."""
        monitor.start("unpacking the archive")
        try:
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            raise StorageError(
                f"cannot make a temporary file in {folder}: {error.strerror}", hint="set TMPDIR to a folder with room"
            ) from error
        with file, open(self._fd, "rb", buffering=0, closefd=False) as stream:
            data = open_archive(stream, _LIMITS, monitor.advance)
            try:
                while piece := data.read(1024 * 1024):
                    file.write(piece)
                file.flush()
            except OSError as error:
                raise StorageError(
                    f"cannot unpack {self.path} in {folder}: {error.strerror}", hint="set TMPDIR to a folder with room"
                ) from error
            copy = os.dup(file.fileno())
        os.close(self._fd)
        self._fd = copy
        monitor.finish()


class _SeekingBytes(ArchiveBytes):
    """ArchiveBytes over a plain file: what is skipped is not read."""

    def __init__(self, fd: int, size: int, path: str) -> None:
        super().__init__(iter(()))
        self._fd = fd
        self._size = size
        self._path = path

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            try:
                piece = os.pread(self._fd, min(size, 1024 * 1024), self.offset)
            except OSError as error:
                raise SourceError(
                    f"cannot read {self._path}: {error.strerror}", hint="check the file or device"
                ) from error
            if not piece:
                return
            self.offset += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> int:
        size = min(size, self._size - self.offset)
        self.offset += size
        return size


def _is_plain(fd: int) -> bool:
    block = os.pread(fd, 512, 0)
    return block[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar" or block == ZERO_BLOCK
