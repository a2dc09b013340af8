"""Find the history that belongs to an image in a registry, and the newest that was pushed to a tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from envgit.errors import HostileInput, SourceError, UsageError
from envgit.layers.sources.image_source import ImageName, parse_image_name
from envgit.monitor import Monitor
from envgit.registry.client import Document
from envgit.registry.uploading import Uploader
from envgit.transfer.registry.artifact import (
    ARTIFACT_TYPE,
    TAG,
    DamagedHistory,
    History,
    digest_of,
    parse_history,
    parse_manifest,
    sequence_of,
)

PREFIX: Final = "docker://"
POINTER: Final = "envgit-history-"
"""The tag `envgit-history-TAG` names the history that was pushed last to TAG, whatever image TAG is by now."""
_MOST_TAG: Final = 128
_MOST_READ: Final = 64
"""Of the histories of one image: the newest."""
_READ_BYTES: Final = 64 * 1024
_REVISION: Final = "org.opencontainers.image.revision"


class FoundHistory(NamedTuple):
    """`manifest`: the digest of the artifact. `subject`: of the image it was pushed with. `sequence`: see artifact.SEQUENCE."""

    manifest: str
    history: History
    subject: str
    sequence: int


class Latest(NamedTuple):
    """What the registry has for a tag. `pointer`: the digest behind the pointer, "" for none. `sequence`: the highest there."""

    found: FoundHistory | None
    pointer: str
    sequence: int


class _Candidate(NamedTuple):
    """`own`: it was pushed to the tag in question. The largest is the newest."""

    own: bool
    sequence: int
    is_pointer: bool
    digest: str


def parse_reference(text: str) -> ImageName:
    """Return what `docker://NAME[:TAG][@DIGEST]` names. Raises UsageError."""
    return parse_image_name(text.removeprefix(PREFIX))


def pointer_tag(tag: str) -> str:
    """Return the tag that names the history of a tag. Raises UsageError for a tag that is itself such a one."""
    if tag.startswith(POINTER):
        raise UsageError(f"the tag {tag} names a history, not an image", hint="use another tag")
    name = POINTER + tag
    return name if len(name) <= _MOST_TAG else POINTER + sha256(tag.encode()).hexdigest()


def open_repository(name: ImageName, environ: Mapping[str, str], monitor: Monitor) -> Uploader:
    """Return the way to the repository of a registry that a reference names."""
    return Uploader(name.host, name.path, environ, monitor)


def find_history(registry: Uploader, name: ImageName, monitor: Monitor) -> FoundHistory | None:
    """Return the history of an image for who reads it; None where the image has none, or does not exist.

    That is the newest that was pushed with this image, whose HEAD is the commit that the image says it is of: so what a digest
    names is pinned, though anybody who may push can add histories. A tag whose image has none gets the history that was pushed to
    the tag last, with a warning. Raises SourceError (unreachable, denied, damaged).
    """
    image = registry.get_manifest(name.digest or name.tag)
    if image is None:
        return None
    digest = digest_of(image.data)
    pointer = _read_pointer(registry, name, monitor)
    candidates = _list_referrers(registry, digest, name.tag)
    if pointer is not None and pointer.subject == digest:
        candidates.append(_as_candidate(pointer))
    wanted = _revision_of(image)
    found = _newest(registry, candidates, digest, wanted if wanted or not name.digest else "?", monitor)
    if found is None and pointer is not None and not name.digest and pointer.subject != digest:
        monitor.warn(
            f"the image {name.repository}:{name.tag} was pushed without its history; this is the history that was pushed before it"
        )
        return pointer
    return found


def find_latest(registry: Uploader, name: ImageName, monitor: Monitor) -> Latest:
    """Return what a push to a tag must not lose: the newest history of the tag, though its image was replaced meanwhile.

    Damaged ones are passed over with a warning: nobody can read them, and a push is what mends them. Raises SourceError.
    """
    pointer = _read_pointer(registry, name, monitor)
    image = registry.get_manifest(name.tag)
    candidates: list[_Candidate] = []
    digest = ""
    if image is not None:
        digest = digest_of(image.data)
        candidates = _list_referrers(registry, digest, name.tag)
    highest = max((each.sequence for each in candidates), default=0)
    if pointer is not None:
        highest = max(highest, pointer.sequence)
        candidates = [each for each in candidates if each.own and each.sequence > pointer.sequence]
    try:
        found = _newest(registry, candidates, digest, "", monitor) or pointer
    except (DamagedHistory, HostileInput) as error:
        monitor.warn(f"{error.message}; it is passed over")
        found = pointer
    return Latest(found, pointer.manifest if pointer else "", highest)


def pointed_at(registry: Uploader, name: ImageName) -> str:
    """Return the digest behind the pointer of a tag, "" for none."""
    document = registry.get_manifest(pointer_tag(name.tag))
    return digest_of(document.data) if document is not None else ""


def read_history(registry: Uploader, digest: str) -> FoundHistory | None:
    """Return the history that an artifact describes; None when the registry does not have it. Raises SourceError, HostileInput."""
    manifest = registry.get_manifest(digest)
    return _read(registry, digest, manifest) if manifest is not None else None


def _read(registry: Uploader, digest: str, manifest: Document) -> FoundHistory:
    what = f"the history {digest} of {registry.name}"
    artifact = parse_manifest(manifest.data, what)
    stream = registry.get_blob(artifact.document, artifact.document_size)
    try:
        parts: list[bytes] = []
        got = 0
        while data := stream.read(_READ_BYTES):
            parts.append(data)
            got += len(data)
            if got > artifact.document_size:
                raise HostileInput(f"{what} is larger than its manifest says", hint="ask who runs the registry")
    finally:
        stream.close()
    document = b"".join(parts)
    if digest_of(document) != artifact.document:
        raise DamagedHistory(f"{what} is damaged: its document has another digest", hint="ask who runs the registry")
    return FoundHistory(digest, parse_history(document, what), artifact.subject, artifact.sequence)


def _read_pointer(registry: Uploader, name: ImageName, monitor: Monitor) -> FoundHistory | None:
    if not name.tag:
        return None
    document = registry.get_manifest(pointer_tag(name.tag))
    if document is None:
        return None
    try:
        return _read(registry, digest_of(document.data), document)
    except (DamagedHistory, HostileInput) as error:
        monitor.warn(f"{error.message}; it is passed over")
        return None


def _list_referrers(registry: Uploader, digest: str, tag: str) -> list[_Candidate]:
    """Return the histories that say they are the image's, unread but for those that the registry lists without annotations."""
    found: list[_Candidate] = []
    for entry in registry.list_referrers(digest, ARTIFACT_TYPE):
        sequence, of = sequence_of(entry.annotations), entry.annotations.get(TAG, "")
        if not sequence and len(found) < _MOST_READ:
            document = registry.get_manifest(entry.digest)
            try:
                if document is not None:
                    artifact = parse_manifest(document.data, entry.digest)
                    sequence, of = artifact.sequence, artifact.tag
            except DamagedHistory:
                pass  # who reads it will say so
        found.append(_Candidate(bool(tag) and of == tag, sequence, False, entry.digest))
    return found


def _newest(
    registry: Uploader, candidates: list[_Candidate], subject: str, revision: str, monitor: Monitor
) -> FoundHistory | None:
    """Return the newest that can be read, belongs to the image `subject`, and whose HEAD is `revision` ("": any).

    Raises DamagedHistory, HostileInput where there are none but damaged ones.
    """
    damage: SourceError | HostileInput | None = None
    for candidate in sorted(candidates, reverse=True)[:_MOST_READ]:
        try:
            found = read_history(registry, candidate.digest)
        except (DamagedHistory, HostileInput) as error:
            damage = damage or error
            continue
        if found is None or found.subject != subject:
            continue
        head = found.history.refs.get(found.history.head or "", b"").hex()
        if revision and head != revision:
            damage = damage or DamagedHistory(
                f"the history {found.manifest} of {registry.name} does not have the image's commit as its HEAD",
                hint="ask who pushed it",
            )
            continue
        if damage is not None:
            monitor.warn(f"{damage.message}; an older one is used")
        return found
    if damage is not None:
        raise damage
    return None


def _as_candidate(pointer: FoundHistory) -> _Candidate:
    return _Candidate(True, pointer.sequence, True, pointer.manifest)


def _revision_of(image: Document) -> str:
    """Return the commit that an image says it is of, "" where it does not say."""
    try:
        text = (json.loads(image.data).get("annotations") or {}).get(_REVISION, "")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""
