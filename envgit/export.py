"""Export: a revision as a tar archive, a directory or a container image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from envgit.errors import Conflict, UsageError
from envgit.layers.export_directory import export_directory
from envgit.layers.export_tar import Compression, compression_of, write_tar
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.snapshot import read_snapshot

if TYPE_CHECKING:
    from envgit.publishing.destination import ImageDestination


DESTINATIONS: Final = (
    "dir:PATH, tar:FILE, tar:-, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]"
)


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
        raise UsageError(f"{destination!r} is not a destination", hint=f"use {DESTINATIONS}")
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


class ExportedImage(NamedTuple):
    """`digest`: of the manifest; of a docker-archive of the configuration. `bytes`: of the layers, as they are stored there."""

    destination: str
    digest: str
    platform: str
    layers: int
    bytes: int


def export_image(
    repo: Repository,
    revision: str,
    destination: ImageDestination,
    *,
    compression: str | None = None,
    squash: bool = False,
    platform: str = "",
) -> ExportedImage:
    """Write a revision as an image with a layer for each commit (`squash`: with one).

    A layout may exist and gets one more image, or another one of that tag; an archive must not exist. `compression`: gzip,
    zstd, none; by default gzip, in a docker-archive none. `platform`: "" is what the environment's programs are for.
    """
    from envgit.publishing.destination import compression_for
    from envgit.publishing.docker_archive import write_docker_archive
    from envgit.publishing.image import plan_image
    from envgit.publishing.layout import write_layout, write_oci_archive
    from envgit.publishing.machine import choose_platform
    from envgit.publishing.making import LayerMaker

    layers = compression_for(destination, compression)
    root = read_snapshot(repo.objects, repo.resolve_bytes(revision)).root
    chosen = choose_platform(platform, root, repo.reader)
    plan = plan_image(repo, revision, chosen, squash=squash)
    if destination.kind == "oci":
        written = write_layout(destination.path, destination.tag, plan, LayerMaker(repo, layers, destination.path))
    else:
        with _new_file(destination.path) as file, LayerMaker(repo, layers).make_all(plan) as made:
            if destination.kind == "oci-archive":
                written = write_oci_archive(file, destination.tag, made, layers)
            else:
                written = write_docker_archive(file, destination.tag, made)
    return ExportedImage(str(destination), written.digest, str(chosen), written.layers, written.bytes)


def _write_file(repo: Repository, root: DirectoryRef, path: str, compression: Compression) -> int:
    with _new_file(path) as file:
        return write_tar(root, repo.reader, file, compression=compression, monitor=repo.monitor)


@contextmanager
def _new_file(path: str) -> Iterator[BinaryIO]:
    """Create a file; it is durable at the end, or gone."""
    try:
        file = open(path, "xb")  # noqa: SIM115
    except FileExistsError as error:
        raise Conflict(f"{path} exists already", hint="remove it first, or choose another name") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path)
        raise
