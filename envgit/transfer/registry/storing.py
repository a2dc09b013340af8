"""Store a history beside an image: only what the registry does not have yet is packed and sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from envgit.errors import Conflict
from envgit.monitor import Monitor
from envgit.registry.uploading import Uploader
from envgit.store import storage
from envgit.store.history import is_ancestor, iter_commits
from envgit.store.object_store import ObjectStore
from envgit.store.objects import parse_tag_target
from envgit.transfer.bundle import write_bundle
from envgit.transfer.registry.artifact import (
    MANIFEST_TYPE,
    History,
    StoredBundle,
    digest_of,
    format_history,
    format_manifest,
)
from envgit.transfer.registry.finding import pointer_tag

_MOST_PIECES = 24
"""With more bundles all but the first are made one again: a clone asks for few blobs."""
_READ_BYTES = 1024 * 1024


class StoredHistory(NamedTuple):
    """`manifest`: the digest of the artifact. `commits` that were new to the registry, in `packs_sent` bundles of `bytes_sent`."""

    manifest: str
    commits: int
    packs_sent: int
    bytes_sent: int
    bundles: int


def merge_refs(
    objects: ObjectStore, known: History | None, refs: Mapping[str, bytes], url: str, *, force: bool = False
) -> dict[str, bytes]:
    """Return the refs that the registry will have: those it has, and ours over them.

    Raises Conflict where a branch there has commits that ours lacks (or a tag is another), unless `force`.
    """
    merged = dict(known.refs) if known is not None else {}
    for name, oid in refs.items():
        old = merged.get(name)
        if old not in (None, oid) and not force:
            short = name.split("/", 2)[2]
            if name.startswith("refs/tags/"):
                raise Conflict(f"the tag {short} of {url} is another", hint="use --force to replace it")
            if old is None or not objects.contains(old) or not is_ancestor(objects, old, oid):
                raise Conflict(
                    f"{short} of {url} has commits that are not here",
                    hint=f"get them first: envgit fetch {url} {short}:refs/remotes/registry/{short}; or use --force",
                )
        merged[name] = oid
    return merged


def store_history(
    git_dir: str,
    registry: Uploader,
    subject: Mapping[str, Any],
    refs: Mapping[str, bytes],
    head: str | None,
    known: Iterable[History],
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    tag: str = "",
    sequence: int = 1,
    check: Callable[[], None] = lambda: None,
) -> StoredHistory:
    """Send what `refs` need beyond the best of the `known` histories, then the artifact that names all bundles.

    `subject`: the descriptor of the image's manifest. Nothing refers to what was sent until the artifact, which is stored after
    `check`; last comes the pointer to it that belongs to `tag`.
    """
    objects = ObjectStore(git_dir)
    kept = _best(objects, registry, refs, known)
    if len(kept) >= _MOST_PIECES:
        kept = kept[:1]
    have = list(dict.fromkeys(oid for bundle in kept for oid in bundle.tips))
    new = {name: oid for name, oid in refs.items() if oid not in have}
    bundles = list(kept)
    commits = sent = 0
    if new:
        tips = [_peel(objects, oid) for oid in new.values()]
        excluded = [_peel(objects, oid) for oid in have]
        commits = sum(1 for _ in iter_commits(objects, tips, excluded))
        made = _make(git_dir, registry, new, excluded, environ, monitor)
        sent = made.size
        bundles.append(made)
    history = History(refs, head, tuple(bundles))
    document = format_history(history)
    if not registry.has_blob(digest_of(document)):
        registry.upload_blob(digest_of(document), len(document), partial(_open_bytes, document))
    check()
    artifact = format_manifest(history, document, subject, sequence, tag)
    manifest = registry.put_referrer(artifact, MANIFEST_TYPE)
    if tag:
        registry.put_manifest(pointer_tag(tag), artifact, MANIFEST_TYPE)
    return StoredHistory(manifest, commits, len(bundles) - len(kept), sent, len(bundles))


def _best(
    objects: ObjectStore, registry: Uploader, refs: Mapping[str, bytes], known: Iterable[History]
) -> tuple[StoredBundle, ...]:
    """Return the bundles of the history that covers most of ours: as far as they are there, and all in our history."""
    wanted = {_peel(objects, oid) for oid in refs.values()}
    reachable = set(iter_commits(objects, wanted)) | set(refs.values())
    best: tuple[StoredBundle, ...] = ()
    for history in known:
        usable: list[StoredBundle] = []
        for bundle in history.bundles:
            if not bundle.tips or not reachable.issuperset(bundle.tips) or not registry.has_blob(bundle.digest):
                break
            usable.append(bundle)
        if len(usable) > len(best):
            best = tuple(usable)
    return best


def _make(
    git_dir: str,
    registry: Uploader,
    refs: Mapping[str, bytes],
    excluded: list[bytes],
    environ: Mapping[str, str],
    monitor: Monitor,
) -> StoredBundle:
    """Write a bundle aside, send it, remove it."""
    folder = f"{git_dir}/build"
    storage.make_directory(folder, step="history-folder")
    path = storage.temporary_name(folder, "tmp_bundle_")
    try:
        needs = write_bundle(git_dir, path, dict(refs), excluded, environ, monitor)
        size = os.stat(path).st_size
        digest = _hash(path)
        monitor.start("sending history", size, "bytes")
        registry.upload_blob(digest, size, partial(_open_file, path))
        monitor.finish()
    finally:
        storage.discard(path)
    return StoredBundle(digest, size, tuple(dict.fromkeys(refs.values())), tuple(needs))


def _hash(path: str) -> str:
    digest = sha256()
    with open(path, "rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return "sha256:" + digest.hexdigest()


def _open_bytes(data: bytes) -> BinaryIO:
    return BytesIO(data)


def _open_file(path: str) -> BinaryIO:
    return open(path, "rb")


def _peel(objects: ObjectStore, oid: bytes) -> bytes:
    type, data = objects.read(oid)
    while type == "tag":
        oid = parse_tag_target(data)[0]
        type, data = objects.read(oid)
    return oid
