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
MOST_BUNDLES: Final = 256
MOST_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_MOST_REFS: Final = 20_000
_MOST_BUNDLE_BYTES: Final = 1 << 40
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_OID: Final = re.compile(r"[0-9a-f]{40}")
_PUBLIC: Final = ("refs/heads/", "refs/tags/")
_HINT: Final = "push it again from a repository that has it: envgit push --history"


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


def format_manifest(history: History, document: bytes, subject: Mapping[str, Any]) -> bytes:
    """Return the manifest of the artifact; `subject`: the descriptor of the image's manifest."""
    layers = [{"mediaType": BUNDLE_TYPE, "digest": each.digest, "size": each.size} for each in history.bundles]
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": DOCUMENT_TYPE, "digest": digest_of(document), "size": len(document)},
        "layers": layers,
        "subject": dict(subject),
    }
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def document_of(manifest: bytes, what: str) -> tuple[str, int]:
    """Return digest and size of the document that a manifest names. Raises SourceError."""
    try:
        config = json.loads(manifest)["config"]
        digest, size = config["digest"], config["size"]
        if (
            config["mediaType"] != DOCUMENT_TYPE
            or not _DIGEST.fullmatch(digest)
            or not _is_count(size, MOST_DOCUMENT_BYTES)
        ):
            raise ValueError("config")
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise SourceError(f"{what} is no history of an environment", hint=_HINT) from error
    return digest, size


def parse_history(data: bytes, what: str) -> History:
    """Read a document that came from elsewhere. Raises SourceError; HostileInput for one without end."""
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
        raise SourceError(f"{what} is damaged", hint=_HINT) from error
    if len(refs) > _MOST_REFS or len(bundles) > MOST_BUNDLES:
        raise HostileInput(f"{what} has more refs or bundles than make sense", hint="ask who pushed it")
    if head is not None and head not in refs:
        head = None
    good = {name: oid for name, oid in refs.items() if is_ref_name(name) and name.startswith(_PUBLIC)}
    return History(good, head, bundles)


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
