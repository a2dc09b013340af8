"""Export: a revision as a tar archive or a directory."""

from __future__ import annotations

import os
from typing import BinaryIO, NamedTuple

from envgit.errors import Conflict, UsageError
from envgit.layers.export_directory import export_directory
from envgit.layers.export_tar import Compression, compression_of, write_tar
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.snapshot import read_snapshot


class ExportResult(NamedTuple):
    """`files` counts every entry; `bytes` is the size of the archive or of the files, None where it went into a pipe."""

    destination: str
    files: int
    bytes: int | None


def export_revision(
    repo: Repository,
    revision: str,
    destination: str,
    *,
    compression: Compression | None = None,
    stdout: BinaryIO | None = None,
) -> ExportResult:
    """Write a revision to `dir:PATH` (new or empty), `tar:FILE` (must not exist) or `tar:-`.

    `compression`: none, gzip, zstd, xz; by default what the file's suffix says. A failed export leaves no file behind.
    """
    kind, _, path = destination.partition(":")
    if kind not in ("dir", "tar") or not path:
        raise UsageError(f"{destination!r} is not a destination", hint="use dir:PATH, tar:FILE or tar:-")
    root = read_snapshot(repo.objects, repo.resolve_bytes(revision)).root
    if kind == "dir":
        done = export_directory(root, repo.reader, path, monitor=repo.monitor, is_root=os.geteuid() == 0)
        return ExportResult(destination, done.entries, done.size)
    if path == "-":
        if stdout is None:
            raise UsageError("there is no standard output to write the archive to")
        count = write_tar(root, repo.reader, stdout, compression=compression or "none", monitor=repo.monitor)
        return ExportResult(destination, count, None)
    count = _write_file(repo, root, path, compression or compression_of(path))
    return ExportResult(destination, count, os.stat(path).st_size)


def _write_file(repo: Repository, root: DirectoryRef, path: str, compression: Compression) -> int:
    try:
        file = open(path, "xb")  # noqa: SIM115
    except FileExistsError as error:
        raise Conflict(f"{path} exists already", hint="remove it first, or choose another name") from error
    try:
        with file:
            count = write_tar(root, repo.reader, file, compression=compression, monitor=repo.monitor)
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path)
        raise
    return count
