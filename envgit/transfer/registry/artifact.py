"""The artifact that carries a history: a manifest whose layers are git bundles, and a document that says what is in them.

Source: OCI image specification 1.1, "guidelines for artifact usage"; the subject is the manifest of the runnable image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from envgit.errors import HostileInput, SourceError
from envgit.store.ref_names import is_ref_name

ARTIFACT_TYPE: Final = "application/vnd.envgit.history.v1"
DOCUMENT_TYPE: Final = "application/vnd.envgit.history.refs.v1+json"
BUNDLE_TYPE: Final = "application/vnd.envgit.history.bundle.v2"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
SEQUENCE: Final = "vnd.envgit.history.sequence"
"""Annotation: the artifact with the higher number was pushed later; the specification gives referrers no order."""
TAG: Final = "vnd.envgit.history.tag"
"""Annotation: the tag that was pushed to. Two tags may be the same image."""
MOST_BUNDLES: Final = 256
MOST_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_MOST_REFS: Final = 20_000
_MOST_BUNDLE_BYTES: Final = 1 << 40
_MOST_SEQUENCE_DIGITS: Final = 15
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_OID: Final = re.compile(r"[0-9a-f]{40}")
_PUBLIC: Final = ("refs/heads/", "refs/tags/")
_HINT: Final = "push it again from a repository that has it: envgit push --history"


class DamagedHistory(SourceError):
    """What is there is no history, or cannot be read: it is passed over where there is another."""


class StoredBundle(NamedTuple):
    """A blob that is a git bundle: what it ends in, and what whoever reads it must have."""

    digest: str
    size: int
    tips: tuple[bytes, ...]
    needs: tuple[bytes, ...]


class History(NamedTuple):
    """`refs`: full name to id (20 bytes); `bundles` in the order in which they build on each other."""

    refs: Mapping[str, bytes]
    head: str | None
    bundles: tuple[StoredBundle, ...]


def format_history(history: History) -> bytes:
    """Return the document: the same bytes for the same history."""
    value = {
        "version": 1,
        "head": history.head,
        "refs": {name: oid.hex() for name, oid in sorted(history.refs.items())},
        "bundles": [
            {
                "digest": bundle.digest,
                "size": bundle.size,
                "tips": [oid.hex() for oid in bundle.tips],
                "needs": [oid.hex() for oid in bundle.needs],
            }
            for bundle in history.bundles
        ],
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


class Artifact(NamedTuple):
    """What the manifest of a history says. `subject`: the digest of the image it was pushed with; `tag`: "" if it does not say."""

    document: str
    document_size: int
    subject: str
    sequence: int
    tag: str


def format_manifest(
    history: History, document: bytes, subject: Mapping[str, Any], sequence: int = 1, tag: str = ""
) -> bytes:
    """Return the manifest of the artifact; `subject`: the descriptor of the image's manifest."""
    layers = [{"mediaType": BUNDLE_TYPE, "digest": each.digest, "size": each.size} for each in history.bundles]
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": DOCUMENT_TYPE, "digest": digest_of(document), "size": len(document)},
        "layers": layers,
        "subject": dict(subject),
        "annotations": {SEQUENCE: str(min(sequence, 10**_MOST_SEQUENCE_DIGITS - 1)), **({TAG: tag} if tag else {})},
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def parse_manifest(manifest: bytes, what: str) -> Artifact:
    """Read a manifest that came from elsewhere. Raises DamagedHistory."""
    try:
        value = json.loads(manifest)
        config, subject = value["config"], value["subject"]["digest"]
        digest, size = config["digest"], config["size"]
        annotations = value.get("annotations") or {}
        tag = annotations.get(TAG, "")
        if (
            config["mediaType"] != DOCUMENT_TYPE
            or not _DIGEST.fullmatch(digest)
            or not _is_count(size, MOST_DOCUMENT_BYTES)
            or not _DIGEST.fullmatch(subject)
            or not isinstance(tag, str)
        ):
            raise ValueError("config")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DamagedHistory(f"{what} is no history of an environment", hint=_HINT) from error
    return Artifact(digest, size, subject, sequence_of(annotations), tag)


def sequence_of(annotations: Mapping[str, Any]) -> int:
    """Return the number that annotations tell, 0 where they tell none."""
    text = annotations.get(SEQUENCE)
    good = isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= _MOST_SEQUENCE_DIGITS
    return int(text) if good and isinstance(text, str) else 0


def parse_history(data: bytes, what: str) -> History:
    """Read a document that came from elsewhere. Raises DamagedHistory; HostileInput for one without end."""
    try:
        value = json.loads(data)
        if value["version"] != 1:
            raise SourceError(f"{what} is of version {value['version']!r}", hint="use a newer envgit")
        refs = {name: _oid(text) for name, text in value["refs"].items()}
        if not isinstance(value["bundles"], list):
            raise ValueError("bundles")
        bundles = tuple(_bundle(each) for each in value["bundles"])
        head = value["head"]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DamagedHistory(f"{what} is damaged", hint=_HINT) from error
    if len(refs) > _MOST_REFS or len(bundles) > MOST_BUNDLES:
        raise HostileInput(f"{what} has more refs or bundles than make sense", hint="ask who pushed it")
    good = {name: oid for name, oid in refs.items() if is_ref_name(name) and name.startswith(_PUBLIC)}
    return History(good, head if isinstance(head, str) and head in good else None, bundles)


def digest_of(data: bytes) -> str:
    """Return `sha256:HEX` of some bytes."""
    return "sha256:" + sha256(data).hexdigest()


def _bundle(fields: Mapping[str, Any]) -> StoredBundle:
    digest, size = fields["digest"], fields["size"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not _is_count(size, _MOST_BUNDLE_BYTES):
        raise ValueError("bundle")
    return StoredBundle(digest, size, tuple(map(_oid, fields["tips"])), tuple(map(_oid, fields["needs"])))


def _oid(text: Any) -> bytes:
    if not isinstance(text, str) or not _OID.fullmatch(text):
        raise ValueError("object id")
    return bytes.fromhex(text)


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
