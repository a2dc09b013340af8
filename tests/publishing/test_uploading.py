"""Writes to a registry: blobs in one request or in pieces, over connections that break, past registries that are odd."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from random import Random

import pytest

from envgit.errors import EnvgitError, SourceError
from envgit.registry.refusal import UploadRefused
from envgit.registry.uploading import INDEX_TYPE, MANIFEST_TYPE, Uploader, digest_of
from tests.publishing.conftest import Counting
from tests.publishing.writable_registry import BREAK, Asked, Reply, WritableRegistry

DATA = Random(1).randbytes(300_000)
DIGEST = digest_of(DATA)
pytestmark = pytest.mark.usefixtures("waits")


def send(uploader: Uploader, data: bytes = DATA) -> None:
    uploader.upload_blob(digest_of(data), len(data), lambda: io.BytesIO(data))


def stored(fake: WritableRegistry) -> bytes | None:
    return fake.blobs.get("me/app", {}).get(DIGEST)


def refuse(status: int, method: str, part: str = "/v2/", **headers: str) -> Callable[[Asked, bytes], Reply | None]:
    return lambda asked, _: Reply(status, headers=headers) if asked.method == method and part in asked.path else None


def test_a_small_blob_is_one_put(fake: WritableRegistry, uploader: Uploader, monitor: Counting) -> None:
    assert not uploader.has_blob(DIGEST)
    send(uploader)
    assert stored(fake) == DATA and uploader.has_blob(DIGEST)
    assert [(asked.method, asked.size) for asked in fake.asked[1:3]] == [("POST", 0), ("PUT", len(DATA))]
    put = fake.asked[2]
    assert put.query == {"state": "0", "digest": DIGEST}
    assert put.headers["content-length"] == str(len(DATA)) and "transfer-encoding" not in put.headers
    assert monitor.done == len(DATA)


def test_an_empty_blob(fake: WritableRegistry, uploader: Uploader) -> None:
    send(uploader, b"")
    assert fake.blobs["me/app"][digest_of(b"")] == b""


def test_pieces(fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]) -> None:
    small_pieces(70_000)
    send(uploader)
    assert stored(fake) == DATA
    ranges = [asked.headers["content-range"] for asked in fake.asked if asked.method == "PATCH"]
    assert ranges == ["0-69999", "70000-139999", "140000-209999", "210000-279999", "280000-299999"]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("piece", [70_000, 1_000_000])
@pytest.mark.parametrize("breaks", [[50_000], [20_000, 1, 69_000, 2_000], [0]])
def test_a_connection_that_breaks(
    kept: bool,
    piece: int,
    breaks: list[int],
    fake: WritableRegistry,
    uploader: Uploader,
    monitor: Counting,
    small_pieces: Callable[[int], None],
) -> None:
    if not kept and piece > len(DATA):
        breaks = breaks[:3]  # nothing is ever gained: the fourth failure is the last
    small_pieces(piece)
    fake.keeps_broken = kept
    fake.break_after = breaks
    send(uploader)
    assert stored(fake) == DATA and monitor.done == len(DATA)
    if kept:
        # a piece that a break cut is taken up where it broke
        assert sum(asked.size for asked in fake.asked if asked.method in ("PATCH", "PUT")) == len(DATA)


def test_a_connection_that_always_breaks(fake: WritableRegistry, uploader: Uploader, waits: list[float]) -> None:
    fake.keeps_broken = False
    fake.break_after = [1000] * 10
    with pytest.raises(SourceError) as caught:
        send(uploader)
    assert caught.value.hint and len(fake.break_after) == 6 and len(waits) == 3


def test_the_last_answer_is_lost(fake: WritableRegistry, uploader: Uploader) -> None:
    def lose(asked: Asked, body: bytes) -> Reply | None:
        if asked.method != "PUT":
            return None
        fake.blobs["me/app"] = {DIGEST: body}
        return BREAK

    fake.once(lose)
    send(uploader)
    assert fake.count("PUT") == 1


def test_no_second_piece(fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]) -> None:
    small_pieces(70_000)
    fake.takes_pieces = False
    send(uploader)
    assert stored(fake) == DATA
    assert [asked.size for asked in fake.asked if asked.method == "PUT"] == [len(DATA)]


def test_too_large_for_a_proxy(fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]) -> None:
    small_pieces(200_000)
    fake.overrides.append(lambda asked, body: Reply(413) if len(body) > 60_000 else None)
    send(uploader)
    assert stored(fake) == DATA
    assert max(asked.size for asked in fake.asked if asked.method == "PATCH" and asked.size <= 60_000) == 50_000


def test_too_large_for_everything(fake: WritableRegistry, uploader: Uploader) -> None:
    fake.overrides.append(lambda asked, body: Reply(413) if body else None)
    with pytest.raises(UploadRefused) as caught:
        send(uploader)
    assert "too large" in caught.value.message and caught.value.status == 413


def test_the_smallest_piece_that_a_registry_takes(
    fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]
) -> None:
    small_pieces(70_000)
    here = "/v2/me/app/blobs/uploads/mine"
    fake.sessions["mine"] = bytearray()
    fake.once(
        lambda asked, _: (
            Reply(202, headers={"Location": here, "OCI-Chunk-Min-Length": "120000"}) if asked.method == "POST" else None
        )
    )
    send(uploader)
    assert stored(fake) == DATA
    assert [asked.size for asked in fake.asked if asked.method == "PATCH"] == [120_000, 120_000, 60_000]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_bad_moment(status: int, method: str, fake: WritableRegistry, uploader: Uploader, waits: list[float]) -> None:
    fake.once(refuse(status, method, **{"Retry-After": "7"}))
    if not uploader.has_blob(DIGEST):
        send(uploader)
    assert stored(fake) == DATA and waits == [7.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 429, 500, 507])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_refusals(status: int, method: str, fake: WritableRegistry, uploader: Uploader) -> None:
    fake.overrides.append(refuse(status, method))
    with pytest.raises(SourceError) as caught:
        send(uploader)
    assert caught.value.hint and "\n" not in caught.value.message and stored(fake) is None
    with pytest.raises(SourceError):
        uploader.put_manifest("1", b"{}", MANIFEST_TYPE) if method == "PUT" else send(uploader)


def test_wrong_bytes(fake: WritableRegistry, uploader: Uploader) -> None:
    with pytest.raises(UploadRefused, match="not that digest"):
        uploader.upload_blob(DIGEST, 3, lambda: io.BytesIO(b"abc"))
    with pytest.raises(EnvgitError, match="shorter"):
        uploader.upload_blob(DIGEST, len(DATA), lambda: io.BytesIO(DATA[:-1]))


@pytest.mark.parametrize("said", ["0-500000", "0-99999999999999999999", "5-9", "x", ""])
def test_a_registry_that_lies_about_what_it_has(
    said: str, fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]
) -> None:
    small_pieces(70_000)
    fake.break_after = [10_000]
    fake.overrides.append(refuse(204, "GET", Range=said))
    send(uploader)
    assert stored(fake) == DATA


@pytest.mark.parametrize("said", ["0-500000", "0-5"])
def test_a_registry_that_lies_after_a_piece(
    said: str, fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]
) -> None:
    small_pieces(70_000)
    here = "/v2/me/app/blobs/uploads/session1"

    def lie(asked: Asked, _: bytes) -> Reply | None:
        second = asked.method == "PATCH" and asked.headers["content-range"].startswith("70000")
        return Reply(202, headers={"Location": here, "Range": said}) if second else None

    fake.overrides.append(lie)
    send(uploader)  # the whole in one request does it
    assert stored(fake) == DATA


def test_no_location(fake: WritableRegistry, uploader: Uploader) -> None:
    fake.overrides.append(refuse(202, "POST"))
    with pytest.raises(UploadRefused, match="where to send"):
        send(uploader)


@pytest.mark.parametrize("location", ["http://127.0.0.2:1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://a b/"])
def test_an_upload_that_leads_elsewhere_gets_no_credentials(
    location: str, fake: WritableRegistry, uploader: Uploader
) -> None:
    fake.token = "secret"
    fake.overrides.append(refuse(202, "POST", Location=location))
    with pytest.raises(SourceError):
        send(uploader)


def test_another_origin_never_sees_the_token(fake: WritableRegistry, uploader: Uploader) -> None:
    other = WritableRegistry()
    try:
        other.sessions["here"] = bytearray()
        fake.token = "secret"
        location = f"http://{other.host}/v2/me/app/blobs/uploads/here"
        fake.overrides.append(
            lambda asked, _: (
                Reply(202, headers={"Location": location})
                if asked.method == "POST" and "authorization" in asked.headers
                else None
            )
        )
        send(uploader)
        assert other.blobs["me/app"][DIGEST] == DATA
        assert all("authorization" not in asked.headers for asked in other.asked)
    finally:
        other.close()


def test_tokens_are_asked_for_once_and_widely(fake: WritableRegistry, uploader: Uploader) -> None:
    fake.token = "t"
    assert not uploader.has_blob(DIGEST)
    send(uploader)
    uploader.put_manifest("1", b"{}", MANIFEST_TYPE)
    assert fake.scopes == [["repository:me/app:pull,push"]]


def test_mounts(fake: WritableRegistry, uploader: Uploader) -> None:
    fake.blobs["me/base"] = {DIGEST: DATA}
    assert uploader.mount_blob(DIGEST, "me/base")
    assert stored(fake) == DATA and fake.count("POST") == 1


def test_a_mount_that_is_refused_becomes_the_upload(fake: WritableRegistry, uploader: Uploader) -> None:
    assert not uploader.mount_blob(DIGEST, "me/base")
    send(uploader)
    assert stored(fake) == DATA and fake.count("POST") == 1
    fake.overrides.append(refuse(403, "POST"))
    assert not uploader.mount_blob(DIGEST, "me/secret")


def manifest(subject: str, text: str = "a") -> bytes:
    fields = {"schemaVersion": 2, "artifactType": "application/x.test", "annotations": {"text": text}}
    fields["subject"] = {"mediaType": MANIFEST_TYPE, "digest": subject, "size": 3}
    return json.dumps(fields).encode()


@pytest.mark.parametrize("api", [True, False])
def test_referrers(api: bool, fake: WritableRegistry, uploader: Uploader) -> None:
    fake.referrers_api = api
    subject = digest_of(b"{}\n")
    assert uploader.list_referrers(subject) == ()
    digests = [uploader.put_referrer(manifest(subject, text), MANIFEST_TYPE) for text in "aba"]
    assert digests[0] == digests[2] != digests[1]
    found = uploader.list_referrers(subject, "application/x.test")
    assert sorted(entry.digest for entry in found) == sorted(set(digests))
    assert uploader.list_referrers(subject, "application/x.other") == ()
    tag = subject.replace(":", "-")
    assert (tag in fake.manifests["me/app"]) is not api
    if not api:
        index = json.loads(fake.manifests["me/app"][tag][1])
        assert index["mediaType"] == INDEX_TYPE and len(index["manifests"]) == 2
        assert index["manifests"][0]["annotations"] == {"text": "a"}
    read = uploader.get_manifest(digests[0])
    assert read is not None and read.data == manifest(subject)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"manifests": 3}', b'{"manifests": [1]}', b'{"manifests": [{}]}', b"[" * 100_000,
     b'{"manifests": [{"mediaType": "x", "digest": "sha256:../../x", "size": 3}]}',
     b'{"manifests": [{"mediaType": "x", "digest": "sha256:%b", "size": -3}]}' % (b"0" * 64)],
)  # fmt: skip
def test_indexes_that_are_none(data: bytes, fake: WritableRegistry, uploader: Uploader) -> None:
    fake.overrides.append(
        lambda asked, _: Reply(200, data, {"Content-Type": INDEX_TYPE}) if "/referrers/" in asked.path else None
    )
    with pytest.raises(SourceError, match="no image index"):
        uploader.list_referrers(DIGEST)


@pytest.mark.parametrize("link", ['</v2/me/app/referrers/x>; rel="next"', '<http://127.0.0.2:9/>; rel="next"'])
def test_pages_without_end(link: str, fake: WritableRegistry, uploader: Uploader) -> None:
    reply = Reply(200, b'{"manifests": []}', {"Content-Type": INDEX_TYPE, "Link": link})
    fake.overrides.append(lambda asked, _: reply if "/referrers/" in asked.path else None)
    with pytest.raises(EnvgitError):
        uploader.list_referrers(DIGEST)


def test_manifests(fake: WritableRegistry, uploader: Uploader) -> None:
    digest = uploader.put_manifest("1", b"{}", MANIFEST_TYPE)
    assert digest == digest_of(b"{}") and fake.manifests["me/app"]["1"] == (MANIFEST_TYPE, b"{}")
    assert uploader.get_manifest("2") is None
    fake.manifests["me/app"][digest] = (MANIFEST_TYPE, b"{ }")
    with pytest.raises(SourceError, match="damaged"):
        uploader.get_manifest(digest)
    with pytest.raises(SourceError, match="bytes"):
        uploader.put_manifest("1", b" " * 5_000_000, MANIFEST_TYPE)
    fake.overrides.append(refuse(201, "PUT", **{"Docker-Content-Digest": DIGEST}))
    with pytest.raises(SourceError, match="stored"):
        uploader.put_manifest("1", b"{}", MANIFEST_TYPE)


@pytest.mark.parametrize("piece", [70_000, 1_000_000])
def test_an_upload_that_the_registry_forgot(
    piece: int, fake: WritableRegistry, uploader: Uploader, small_pieces: Callable[[int], None]
) -> None:
    small_pieces(piece)

    def forget(asked: Asked, _: bytes) -> Reply | None:
        last = asked.method == "PUT" or asked.headers.get("content-range", "").startswith("140000")
        return Reply(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}') if last else None

    fake.once(forget)
    send(uploader)
    assert stored(fake) == DATA and fake.count("POST") == 2


def test_a_registry_that_asks_to_wait_for_long_is_not_waited_for(
    fake: WritableRegistry, uploader: Uploader, waits: list[float]
) -> None:
    limits = {"Retry-After": "3600", "RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"}
    fake.overrides.append(refuse(429, "POST", **limits))
    with pytest.raises(UploadRefused, match="100 in 6 hours, 0 are left; try again in 1 hour"):
        send(uploader)
    assert waits == []


def test_a_challenge_gets_no_tokens_to_write_elsewhere(fake: WritableRegistry, uploader: Uploader) -> None:
    """A registry may share its token service with others: what it asks for beside the push is read at most."""
    fake.token = "t"
    scope = "repository:me/app:pull repository:victim/app:pull,push repository:base/app:pull"
    realm = f'Bearer realm="http://{fake.host}/token",service="fake",scope="{scope}"'
    asked: list[str] = []

    def challenge(request: Asked, _: bytes) -> Reply | None:
        if request.path == "/token":
            asked.append(request.all_scopes)
            return None
        return None if "authorization" in request.headers else Reply(401, headers={"WWW-Authenticate": realm})

    fake.overrides.append(challenge)
    send(uploader)
    assert asked == ["repository:me/app:pull,push repository:base/app:pull"]
