"""Named files of a layout: below a directory, or within a tar archive."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple, Protocol

from envgit.errors import SourceError
from envgit.images.verified import RawStream


class OpenedFile(NamedTuple):
    stream: RawStream
    size: int


class Files(Protocol):
    def open(self, name: str) -> OpenedFile | None:
        """Open a file by its path, which is relative and plain; None if there is none. Raises SourceError."""

    def close(self) -> None: ...


def has_file(files: Files, name: str) -> bool:
    """Say whether there is a regular file of this name."""
    opened = files.open(name)
    if opened is not None:
        opened.stream.close()
    return opened is not None


class FdStream:
    """Reads `size` bytes of an open file from `offset` on, with pread(2). `owned`: close it in the end."""

    def __init__(self, fd: int, offset: int, size: int, what: str, *, owned: bool) -> None:
        self._fd = fd
        self._offset = offset
        self._end = offset + size
        self._what = what
        self._owned = owned

    def read(self, size: int, /) -> bytes:
        try:
            data = os.pread(self._fd, min(size, self._end - self._offset), self._offset)
        except OSError as error:
            raise SourceError(f"cannot read {self._what}: {error.strerror}", hint="check the file or device") from error
        self._offset += len(data)
        return data

    def close(self) -> None:
        if self._owned:
            self._owned = False
            os.close(self._fd)


class DirectoryFiles:
    """The files below a directory. Links are followed: what matters is the digest. Only regular files are read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self, name: str) -> OpenedFile | None:
        path = os.path.join(self.path, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SourceError(f"cannot open {path}: {error.strerror}", hint="check the layout's files") from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise SourceError(f"{path} is not a regular file", hint="make the layout again")
        return OpenedFile(FdStream(fd, 0, status.st_size, path, owned=True), status.st_size)

    def close(self) -> None:
        pass
