"""An image as an OCI layout: a folder, which may hold others, or one archive of it (image-layout.md; containers-transports(5))."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO, Final, NamedTuple

from envgit.errors import Conflict, SourceError
from envgit.publishing.archive import Member, write_archive
from envgit.publishing.compression import LayerCompression
from envgit.publishing.image import MANIFEST_TYPE, ImagePlan, format_config, format_manifest
from envgit.publishing.layer_blob import BlobFile, BlobId
from envgit.publishing.making import LayerMaker, MadeImage
from envgit.registry.uploading import digest_of
from envgit.store import storage

_LAYOUT_FILE: Final = b'{"imageLayoutVersion":"1.0.0"}'
_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_REF_NAME: Final = "org.opencontainers.image.ref.name"
_MOST_INDEX_BYTES: Final = 4 * 1024 * 1024


class WrittenImage(NamedTuple):
    """`digest`: of the manifest; of a docker-archive, which has none, of the configuration. `bytes`: of layers, compressed."""

    digest: str
    layers: int
    bytes: int


class _Documents(NamedTuple):
    config: bytes
    manifest: bytes
    entry: dict[str, object]


def write_layout(folder: str, tag: str, plan: ImagePlan, maker: LayerMaker) -> WrittenImage:
    """Add an image to the layout in `folder`, made when missing; it replaces what is called `tag` there ("": what has no name).

    The index is replaced at the end, at once: a failed export leaves the layout as it was, but for blobs nobody names. Raises
    Conflict when something else is there.
    """
    index = _open_layout(folder)
    blobs = f"{folder}/blobs/sha256"
    ids: list[BlobId] = []
    for layer in plan.layers:
        known = maker.find(layer)
        if known is None or not _has(blobs, known):
            blob = maker.make(layer)
            try:
                _store_file(blob.file, f"{blobs}/{_hex(blob.id.digest)}")
            finally:
                blob.file.close()
            known = blob.id
        ids.append(known)
    documents = _documents(plan, ids, tag, maker.compression)
    for data in (documents.config, documents.manifest):
        storage.write_file(f"{blobs}/{_hex(digest_of(data))}", data, step="export-blob", mode=0o644)
    storage.sync_directory(blobs, step="export-folder")
    kept = [entry for entry in index if _name_of(entry) != tag]
    storage.write_file(f"{folder}/oci-layout", _LAYOUT_FILE, step="export-layout", mode=0o644)
    data = _format_index([*kept, documents.entry])
    storage.write_file(f"{folder}/index.json", data, step="export-index", mode=0o644)
    return WrittenImage(digest_of(documents.manifest), len(ids), sum(each.size for each in ids))


def write_oci_archive(out: BinaryIO, tag: str, made: MadeImage, compression: LayerCompression) -> WrittenImage:
    """Write an image as one archive of a layout: the same image, the same bytes."""
    documents = _documents(made.plan, made.ids, tag, compression)
    members = {
        f"blobs/sha256/{_hex(digest_of(data))}": _in_memory(data) for data in (documents.config, documents.manifest)
    }
    for blob in made.layers:
        members[f"blobs/sha256/{_hex(blob.id.digest)}"] = Member(blob.id.size, blob.file.open)
    members["index.json"] = _in_memory(_format_index([documents.entry]))
    members["oci-layout"] = _in_memory(_LAYOUT_FILE)
    write_archive(out, members)
    return WrittenImage(digest_of(documents.manifest), len(made.layers), sum(each.size for each in made.ids))


def _documents(plan: ImagePlan, ids: Sequence[BlobId], tag: str, compression: LayerCompression) -> _Documents:
    config = format_config(plan, [each.diff_id for each in ids])
    manifest = format_manifest(plan, BlobId("", digest_of(config), len(config)), ids, compression)
    platform = {"architecture": plan.platform.architecture, "os": plan.platform.os}
    if plan.platform.variant:
        platform["variant"] = plan.platform.variant
    entry: dict[str, object] = {
        "mediaType": MANIFEST_TYPE, "digest": digest_of(manifest), "size": len(manifest), "platform": platform,
    }  # fmt: skip
    if tag:
        entry["annotations"] = {_REF_NAME: tag}
    return _Documents(config, manifest, entry)


def _open_layout(folder: str) -> list[dict[str, object]]:
    """Make the folders of a layout; return the entries that its index has."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        names = []
    except NotADirectoryError as error:
        raise Conflict(f"{folder} is no folder", hint="remove it first, or choose another name") from error
    if names and "oci-layout" not in names:
        raise Conflict(f"{folder} has something else than an image layout in it", hint="name a new or empty folder")
    storage.make_directory(f"{folder}/blobs/sha256", step="export-folder", mode=0o755, parents=True)
    try:
        with open(f"{folder}/index.json", "rb") as file:
            entries = json.loads(file.read(_MOST_INDEX_BYTES))["manifests"]
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise SourceError(
            f"{folder}/index.json cannot be understood", hint="repair it, or name a new folder"
        ) from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SourceError(f"{folder}/index.json lists no manifests", hint="repair it, or name a new folder")
    return entries


def _name_of(entry: dict[str, object]) -> str:
    annotations = entry.get("annotations")
    name = annotations.get(_REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else ""


def _format_index(entries: Sequence[dict[str, object]]) -> bytes:
    fields = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": list(entries)}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def _has(blobs: str, known: BlobId) -> bool:
    try:
        return os.stat(f"{blobs}/{_hex(known.digest)}").st_size == known.size
    except FileNotFoundError:
        return False


def _store_file(file: BlobFile, path: str) -> None:
    try:
        if file.link(path):
            return
    except FileExistsError:
        return  # the same digest
    temporary = storage.temporary_name(os.path.dirname(path))
    try:
        with file.open() as source, open(temporary, "xb") as target:
            os.fchmod(target.fileno(), 0o644)
            shutil.copyfileobj(source, target, 1024 * 1024)
            os.fsync(target.fileno())
        storage.rename(temporary, path, step="export-blob")
    except BaseException:
        storage.discard(temporary)
        raise


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _in_memory(data: bytes) -> Member:
    opening: Callable[[], BinaryIO] = lambda: BytesIO(data)  # noqa: E731
    return Member(len(data), opening)
