"""Import: a whole root filesystem from a source becomes a commit on the current branch."""

from __future__ import annotations

import os
from hashlib import sha256
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
from envgit.sharing.session import open_session
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot, write_snapshot
from envgit.store.history import is_ancestor
from envgit.trees import PackTreeWriter, Session
from envgit.uppers import claim_worktree, has_changes
from envgit.worktree import worktree_name

if TYPE_CHECKING:
    from envgit.image_commits import Chain
    from envgit.images import Image
    from envgit.signing.signer import Sign
    from envgit.store.objects import Signature
    from envgit.store.pack_writer import PackSession


_LOCAL = (HostSource, DirectorySource, TarSource)


class ImportResult(NamedTuple):
    """`operation` is 0 when nothing was recorded: a dry run (`oid` is empty), or the image was there already."""

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
    layers: int = 0
    """Of an image, each a commit; 0 for everything that became one commit."""
    reused_layers: int = 0
    """Of those how many were here already. The counts are of the whole tree, and 0 when that was not read."""


class _CountingSession:
    """A pack session that hashes and keeps nothing: what a dry run writes into."""

    def put(self, type: str, data: bytes) -> bytes:
        from envgit.store.objects import hash_object

        return hash_object(type, data)


class _People(NamedTuple):
    """Whose the commit is that is not an image's own. `sign`: None when it is not signed."""

    author: Signature
    committer: Signature
    sign: Sign | None


class _Imported(NamedTuple):
    """What goes onto the branch: a tree, or a chain of commits."""

    tree: Imported
    config: bytes
    chain: Chain | None = None


def import_environment(
    repo: Repository,
    source: Source,
    *,
    message: str | None = None,
    dry_run: bool = False,
    stdin: BinaryIO | None = None,
    platform: str = "",
    squash: bool = False,
) -> ImportResult:
    """Read `source` and commit it as the next revision of the current branch.

    An image brings its configuration, and its layers as one commit each (docs/images.md), joined with what the branch has by
    one more; `squash`: all of it as one commit. Other sources keep the configuration of the parent. `platform`: of an image
    that has several; "" is this machine's. Atomic: the branch moves after everything is durable, or not at all. Raises
    SourceError and HostileInput from the source, Conflict when the worktree has uncommitted changes or a running sandbox.
    """
    if isinstance(source, ImageSource):
        from envgit.images import open_image

        # Found before the repository's lock is taken: others need not wait for a name server.
        downloads = "" if dry_run else repo.path("build", "downloads")
        opened = open_image(source, environ=repo.environ, monitor=repo.monitor, platform=platform, downloads=downloads)
        with opened as image:
            result = _import(repo, source, image, message, dry_run, stdin, squash)
            image.forget_downloads()
            return result
    if platform:
        raise UsageError(f"{source} has no choice of platforms", hint="leave --platform out; images have it")
    if squash:
        raise UsageError(f"{source} is one commit anyway", hint="leave --squash out; images have layers")
    return _import(repo, source, source, message, dry_run, stdin, squash)


def _import(
    repo: Repository,
    source: Source,
    opened: LocalSource | Image,
    message: str | None,
    dry_run: bool,
    stdin: BinaryIO | None,
    squash: bool,
) -> ImportResult:
    text = (message or f"import {source}").strip("\n")
    if not message and not isinstance(opened, _LOCAL):
        text += f"\n\n{opened.platform}, digest {opened.digest}"
    subject = text.partition("\n")[0]
    if dry_run:
        found = _read(repo, opened, _CountingSession(), stdin, None, squash)
        return _result(found, subject, repo.branch_name() or "", "", 0, 0)._replace(dry_run=True)
    with repo.operation(["import", str(source)]) as transaction, repo.signer() as signer:
        head = repo.read_head()
        pointer = repo.read_pointer(repo.branch_name(), head.oid)
        claim_worktree(repo, transaction, pointer)
        if has_changes(repo, pointer, head.oid):
            _refuse_dirty(repo, head.oid)
        parent = read_snapshot(repo.objects, head.oid) if head.oid is not None else None
        people = _People(repo.author(), repo.committer(), signer)
        with open_session(repo.objects, repo.environ) as session:
            found = _read(repo, opened, session, stdin, parent, squash)
            if found.chain is None:
                parents = (parent.oid,) if parent is not None else ()
                keep = parent.tree_entries if parent is not None else ()
                oid = _commit(session, people, found, text, parents, keep)
            else:
                oid = _join(repo, session, people, found, found.chain, parent, text, has_message=bool(message))
            packed = session.finish()
        if oid != head.oid:
            if head.symbolic is not None:
                transaction.set_ref(head.symbolic, oid, based_on=head.oid)
            else:
                transaction.set_head(oid.hex())
            transaction.set_worktree(worktree_name(repo.branch_name()), None)
        done = transaction.finish(f"import: {subject}")
        if found.chain is not None and not isinstance(opened, _LOCAL):
            _note_layers(repo, opened, found.chain)
    branch = (head.symbolic or "").removeprefix(BRANCH_PREFIX)
    return _result(found, subject, branch, oid.hex(), packed.bytes, done.number)


def _result(found: _Imported, subject: str, branch: str, oid: str, stored_bytes: int, operation: int) -> ImportResult:
    tree, chain = found.tree, found.chain
    return ImportResult(
        branch,
        oid,
        subject,
        tree.files,
        tree.directories,
        tree.bytes,
        stored_bytes,
        tree.left_out,
        False,
        operation,
        len(chain.commits) if chain is not None else 0,
        chain.reused if chain is not None else 0,
    )


def _join(
    repo: Repository,
    session: PackSession,
    people: _People,
    found: _Imported,
    chain: Chain,
    parent: Snapshot | None,
    text: str,
    *,
    has_message: bool,
) -> bytes:
    """Return where the branch goes: to the top of the chain where that leads forward, else to a commit that joins both.

    Nowhere when the branch is there already. A message is the user's own: it gets a commit in any case.
    """
    if parent is None or parent.oid in chain.commits:
        return _commit(session, people, found, text, (chain.top,), ()) if has_message else chain.top
    tip = parent.oid
    if not (repo.objects.contains(chain.top) and is_ancestor(repo.objects, chain.top, tip)):
        return _commit(session, people, found, text, (tip, chain.top), ())
    is_same = parent.root.sha256 == chain.root.sha256 and parent.config_sha256 == sha256(chain.config).digest()
    return tip if is_same and not has_message else _commit(session, people, found, text, (tip,), ())


def _commit(
    session: PackSession,
    people: _People,
    found: _Imported,
    text: str,
    parents: tuple[bytes, ...],
    keep: tuple[tuple[int, bytes, bytes], ...],
) -> bytes:
    return write_snapshot(
        session,
        found.tree.root,
        found.config,
        os.fsencode(text) + b"\n",
        parents=parents,
        author=people.author,
        committer=people.committer,
        keep=keep,
        sign=people.sign,
    )


def _note_layers(repo: Repository, image: Image, chain: Chain) -> None:
    from envgit.image_commits import KnownLayers

    KnownLayers(repo).add(image.chain_ids, chain)


def _read(
    repo: Repository,
    opened: LocalSource | Image,
    session: Session,
    stdin: BinaryIO | None,
    parent: Snapshot | None,
    squash: bool,
) -> _Imported:
    if isinstance(opened, _LOCAL):
        stdin = stdin if stdin is not None else BytesIO()
        is_root = os.geteuid() == 0
        tree = read_source(opened, PackTreeWriter(session), repo.monitor, stdin=stdin, is_root=is_root)
        return _Imported(tree, read_config_bytes(repo.objects, parent) if parent else format_config(DEFAULT_CONFIG))
    if squash:
        from envgit.images import read_image

        tree = read_image(opened, PackTreeWriter(session), repo.monitor)
        return _Imported(tree, format_config(opened.config))
    from envgit.image_commits import KnownLayers, write_chain

    known = KnownLayers(repo).find_prefix(opened.chain_ids)
    chain = write_chain(session, opened, known, repo.reader, repo.monitor)
    return _Imported(chain.imported or Imported(chain.root, (), 0, 0, 0, ()), chain.config, chain)


def _refuse_dirty(repo: Repository, tip: bytes | None) -> None:
    from envgit.status import is_dirty

    if is_dirty(repo, repo.branch_name(), tip):
        raise Conflict(
            "the worktree has uncommitted changes that an import would hide",
            hint="envgit commit -m ... first, or envgit reset --hard to drop them",
        )
