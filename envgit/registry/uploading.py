"""Writes to one repository of one registry (OCI distribution specification 1.1): blobs, manifests, referrers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import BinaryIO, Final
from urllib.parse import quote

from envgit import __version__
from envgit.errors import HostileInput, SourceError
from envgit.monitor import Monitor
from envgit.registry.blob_upload import BlobUpload
from envgit.registry.client import MOST_DOCUMENT_BYTES, BlobStream, Document, RegistryClient
from envgit.registry.conversation import Body, NotFound
from envgit.registry.credentials import Credentials, find_credentials
from envgit.registry.endpoints import find_endpoints
from envgit.registry.referrers import IndexEntry, describe, format_index, next_page, parse_index
from envgit.registry.refusal import refusal
from envgit.registry.transport import Answer, ConnectionLost, Transport, join

INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_ACCEPT: Final = f"{MANIFEST_TYPE}, {INDEX_TYPE}"
_ATTEMPTS: Final = 4
_MOST_PAGES: Final = 100


class Uploader:
    """The repository `path` of the registry `host`; never a mirror. Threads may use one at once.

    `environ`: HOME and what says where credentials and proxies are. `monitor` hears of bytes that were sent (`advance`).
    Everything raises UploadRefused and other SourceErrors; nothing is retried without end. `close` it.
    """

    def __init__(self, host: str, path: str, environ: Mapping[str, str], monitor: Monitor) -> None:
        def credentials() -> Credentials | None:
            return find_credentials(host, path, environ)

        self._transport = Transport(environ, f"envgit/{__version__}")
        endpoint = find_endpoints(host, path, environ)[-1]
        self._client = RegistryClient(endpoint, credentials, self._transport, "pull,push", monitor.note)
        self._conversation = self._client.conversation
        self._monitor = monitor
        self._telling = threading.Lock()
        self._begun: dict[str, str] = {}
        self.name = self._client.name

    def __enter__(self) -> Uploader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def has_blob(self, digest: str) -> bool:
        """Say whether the repository has the blob."""
        answer = self._ask("HEAD", f"blobs/{digest}", f"the blob {digest}", good=(200, 404))
        answer.close()
        return answer.status == 200

    def mount_blob(self, digest: str, from_path: str) -> bool:
        """Try to take the blob over from another repository of the registry; False where it has to be uploaded."""
        target = f"blobs/uploads/?mount={quote(digest, safe='')}&from={quote(from_path, safe='')}"
        scope = f"repository:{from_path}:pull"
        try:
            answer = self._conversation.send("POST", target, {}, lambda: b"", scope=scope)
        except SourceError:
            return False  # an upload will say what is wrong, if something is
        answer.close()
        if answer.status == 202 and answer.header("Location"):
            self._begun[digest] = join(answer.url, answer.header("Location"))
        return answer.status == 201

    def upload_blob(self, digest: str, size: int, open_: Callable[[], BinaryIO]) -> None:
        """Send a blob; `open_` opens its bytes, seekable, as often as needed. The registry checks the digest."""
        upload = BlobUpload(self._conversation, digest, size, open_, self._tell, self._begun.pop(digest, ""))
        upload.run(lambda: self.has_blob(digest))

    def put_manifest(self, reference: str, data: bytes, media_type: str) -> str:
        """Store a manifest or index under a tag or under its digest; return its digest."""
        return self._put_manifest(reference, data, media_type)[0]

    def get_manifest(self, reference: str, accept: str = _ACCEPT) -> Document | None:
        """Return what a tag or digest names, None if there is nothing; what a digest names was verified."""
        try:
            document = self._client.fetch_manifest(reference, accept)
        except NotFound:
            return None
        if reference.startswith("sha256:") and digest_of(document.data) != reference:
            raise SourceError(f"the manifest {reference} of {self.name} is damaged", hint="ask who runs the registry")
        return document

    def require_manifest(self, reference: str) -> None:
        """Raise NotFound, which says whether it is missing or needs a login, where a tag or digest names nothing."""
        self._client.fetch_manifest(reference, _ACCEPT)

    def get_blob(self, digest: str, size: int) -> BlobStream:
        """Begin to download a blob of `size` bytes; what comes is not verified."""
        return self._client.open_blob(digest, size)

    def list_referrers(self, digest: str, artifact_type: str = "") -> tuple[IndexEntry, ...]:
        """Return the manifests whose subject is `digest`; asks the referrers API, then the tag that stands for it.

        `artifact_type`: "" for all.
        """
        entries = self._ask_referrers(digest, artifact_type)
        if entries is None:
            entries = self._read_fallback(_fallback_tag(digest))
        return tuple(entry for entry in entries if artifact_type in ("", entry.artifact_type))

    def put_referrer(self, data: bytes, media_type: str) -> str:
        """Store a manifest that has a `subject`, so that list_referrers finds it; return its digest.

        A registry that does not say it understood the subject gets it into the index behind the tag that the specification
        names ("unavailable referrers API"). That is read, changed and written: of two who do so at once, one may be lost.
        """
        entry, subject = describe(data, media_type, digest_of(data))
        digest, understood = self._put_manifest(entry.digest, data, media_type)
        if understood != subject:
            tag = _fallback_tag(subject)
            entries = self._read_fallback(tag)
            if all(known.digest != digest for known in entries):
                self.put_manifest(tag, format_index([*entries, entry]), INDEX_TYPE)
        return digest

    def _put_manifest(self, reference: str, data: bytes, media_type: str) -> tuple[str, str]:
        if len(data) > MOST_DOCUMENT_BYTES:
            raise SourceError(
                f"the manifest for {self.name} has {len(data):,} bytes; registries take {MOST_DOCUMENT_BYTES:,}",
                hint="use fewer layers",
            )
        digest = digest_of(data)
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        answer = self._ask("PUT", f"manifests/{reference}", "the manifest", headers, lambda: data, good=(201, 200, 202))
        said = answer.header("Docker-Content-Digest")
        answer.close()
        if said.startswith("sha256:") and said != digest:
            raise SourceError(
                f"{self.name} stored {said} when the manifest {digest} was sent", hint="ask who runs the registry"
            )
        return digest, answer.header("OCI-Subject")

    def _ask_referrers(self, digest: str, artifact_type: str) -> list[IndexEntry] | None:
        """Return what the referrers API says, None where there is none."""
        target = f"referrers/{digest}" + (f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else "")
        found: list[IndexEntry] = []
        for _ in range(_MOST_PAGES):
            answer = self._conversation.send("GET", target, {"Accept": INDEX_TYPE})
            data = answer.read_small(MOST_DOCUMENT_BYTES)
            if answer.status != 200 or not answer.header("Content-Type").startswith(INDEX_TYPE):
                return None
            if data is None:
                raise HostileInput(f"{self.name} lists too many referrers", hint="ask who runs the registry")
            found += parse_index(data, f"the referrers of {self.name}")
            following = next_page(answer)
            if not following:
                return found
            target = following
        raise HostileInput(f"{self.name} lists referrers without end", hint="ask who runs the registry")

    def _read_fallback(self, tag: str) -> list[IndexEntry]:
        document = self.get_manifest(tag, INDEX_TYPE)
        return parse_index(document.data, f"{self.name}:{tag}") if document is not None else []

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        good: tuple[int, ...],
    ) -> Answer:
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self._conversation.send(method, path, headers or {}, body)
            except ConnectionLost:
                if last:
                    raise
                self._conversation.wait(attempt)
                continue
            if answer.status in good:
                return answer
            if last or not self._conversation.is_worth_another(answer):
                raise refusal(self._conversation, answer, what)
            answer.close()
            self._conversation.wait(attempt, answer)
        raise AssertionError("unreachable")

    def _tell(self, amount: int) -> None:
        with self._telling:
            self._monitor.advance(amount)


def digest_of(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


def _fallback_tag(digest: str) -> str:
    """Return the tag of the referrers of a digest (distribution specification, "referrers tag schema")."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"
