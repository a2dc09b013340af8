"""Stores whatever source was named."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from envgit.errors import SourceError
from envgit.layers.sources.source import (
    STANDARD_INPUT,
    DirectorySource,
    HostSource,
    Imported,
    LocalSource,
    TarSource,
)
from envgit.model import TreeWriter
from envgit.monitor import Monitor


def read_source(
    source: LocalSource, writer: TreeWriter, monitor: Monitor, *, stdin: BinaryIO, is_root: bool
) -> Imported:
    """Store the root filesystem of `source` through `writer` and say what was left out.

    `stdin` is read for tar:- only. Raises SourceError, HostileInput, and what `writer` raises; what was written
    is then of no use.
    """
    if isinstance(source, HostSource):
        from envgit.layers.sources.host import import_host

        return import_host(writer, monitor)
    if isinstance(source, DirectorySource):
        from envgit.layers.sources.directory import import_directory

        return import_directory(source.path, writer, monitor, is_root=is_root)
    return _read_tar(source, writer, monitor, stdin)


def _read_tar(source: TarSource, writer: TreeWriter, monitor: Monitor, stdin: BinaryIO) -> Imported:
    if source.path == STANDARD_INPUT:
        if stdin.isatty():
            raise SourceError("standard input is a terminal, not an archive", hint="pipe one in, or name it: tar:FILE")
        return _import(stdin, None, writer, monitor)
    try:
        # Unbuffered: the reader asks for a mebibyte at a time.
        file = open(source.path, "rb", buffering=0)  # noqa: SIM115
    except IsADirectoryError:
        raise SourceError(f"{source.path} is a directory", hint=f"use dir:{source.path}") from None
    except OSError as error:
        raise SourceError(
            f"cannot open the archive {source.path}: {error.strerror}", hint="check the path: tar:FILE"
        ) from error
    with file:
        status = os.fstat(file.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        return _import(file, size, writer, monitor)


def _import(stream: BinaryIO, size: int | None, writer: TreeWriter, monitor: Monitor) -> Imported:
    from envgit.layers.sources.tar import import_tar

    monitor.start("reading the archive", size, "bytes")
    imported = import_tar(stream, writer, monitor)
    monitor.finish()
    return imported
