"""Import: a whole root filesystem from a source becomes a commit on the current branch."""

from __future__ import annotations

import os
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from envgit.environment_config import DEFAULT_CONFIG, format_config
from envgit.errors import Conflict, UsageError
from envgit.layers.sources import (
    DirectorySource,
    HostSource,
    ImageSource,
    Imported,
    LeftOut,
    LocalSource,
    Source,
    TarSource,
    read_source,
)
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.snapshot import read_config_bytes, read_snapshot, write_snapshot
from envgit.trees import PackTreeWriter, Session
from envgit.uppers import claim_worktree, has_changes
from envgit.worktree import worktree_name

if TYPE_CHECKING:
    from envgit.images import Image


_LOCAL = (HostSource, DirectorySource, TarSource)


class ImportResult(NamedTuple):
    """`operation` is 0 and `oid` empty for a dry run."""

    branch: str
    oid: str
    subject: str
    files: int
    directories: int
    bytes: int
    stored_bytes: int
    left_out: tuple[LeftOut, ...]
    dry_run: bool
    operation: int


class _CountingSession:
    """A pack session that hashes and keeps nothing: what a dry run writes into."""

    def put(self, type: str, data: bytes) -> bytes:
        from envgit.store.objects import hash_object

        return hash_object(type, data)


def import_environment(
    repo: Repository,
    source: Source,
    *,
    message: str | None = None,
    dry_run: bool = False,
    stdin: BinaryIO | None = None,
    platform: str = "",
) -> ImportResult:
    """Read `source` and commit it as the next revision of the current branch.

    An image brings its configuration; other sources keep that of the parent. `platform`: of an image that has several; "" is
    this machine's. Atomic: the branch moves after everything is durable, or not at all. Raises SourceError and HostileInput
    from the source, Conflict when the worktree has uncommitted changes or a running sandbox.
    """
    if isinstance(source, ImageSource):
        from envgit.images import open_image

        # Found before the repository's lock is taken: others need not wait for a name server.
        with open_image(source, environ=repo.environ, monitor=repo.monitor, platform=platform) as image:
            return _import(repo, source, image, message, dry_run, stdin)
    if platform:
        raise UsageError(f"{source} has no choice of platforms", hint="leave --platform out; images have it")
    return _import(repo, source, source, message, dry_run, stdin)


def _import(
    repo: Repository,
    source: Source,
    opened: LocalSource | Image,
    message: str | None,
    dry_run: bool,
    stdin: BinaryIO | None,
) -> ImportResult:
    subject = (message or f"import {source}").strip("\n")
    if not message and not isinstance(opened, _LOCAL):
        subject += f"\n\n{opened.platform}, digest {opened.digest}"
    if dry_run:
        imported = _read(repo, opened, _CountingSession(), stdin)
        return ImportResult(
            repo.branch_name() or "",
            "",
            subject.partition("\n")[0],
            imported.files,
            imported.directories,
            imported.bytes,
            0,
            imported.left_out,
            True,
            0,
        )
    with repo.operation(["import", str(source)]) as transaction:
        head = repo.read_head()
        pointer = repo.read_pointer(repo.branch_name(), head.oid)
        claim_worktree(repo, transaction, pointer)
        if has_changes(repo, pointer, head.oid):
            _refuse_dirty(repo, head.oid)
        parent = read_snapshot(repo.objects, head.oid) if head.oid is not None else None
        if not isinstance(opened, _LOCAL):
            config = format_config(opened.config)
        else:
            config = read_config_bytes(repo.objects, parent) if parent else format_config(DEFAULT_CONFIG)
        with repo.objects.pack_session() as session:
            imported = _read(repo, opened, session, stdin)
            oid = write_snapshot(
                session,
                imported.root,
                config,
                os.fsencode(subject) + b"\n",
                parents=(head.oid,) if head.oid is not None else (),
                author=repo.author(),
                committer=repo.committer(),
                keep=parent.tree_entries if parent else (),
            )
            packed = session.finish()
        if head.symbolic is not None:
            transaction.set_ref(head.symbolic, oid, based_on=head.oid)
        else:
            transaction.set_head(oid.hex())
        transaction.set_worktree(worktree_name(repo.branch_name()), None)
        done = transaction.finish(f"import: {subject.partition(chr(10))[0]}")
    return ImportResult(
        (head.symbolic or "").removeprefix(BRANCH_PREFIX),
        oid.hex(),
        subject.partition("\n")[0],
        imported.files,
        imported.directories,
        imported.bytes,
        packed.bytes,
        imported.left_out,
        False,
        done.number,
    )


def _read(repo: Repository, opened: LocalSource | Image, session: Session, stdin: BinaryIO | None) -> Imported:
    if not isinstance(opened, _LOCAL):
        from envgit.images import read_image

        return read_image(opened, PackTreeWriter(session), repo.monitor)
    stdin = stdin if stdin is not None else BytesIO()
    return read_source(opened, PackTreeWriter(session), repo.monitor, stdin=stdin, is_root=os.geteuid() == 0)


def _refuse_dirty(repo: Repository, tip: bytes | None) -> None:
    from envgit.status import is_dirty

    if is_dirty(repo, repo.branch_name(), tip):
        raise Conflict(
            "the worktree has uncommitted changes that an import would hide",
            hint="envgit commit -m ... first, or envgit reset --hard to drop them",
        )
