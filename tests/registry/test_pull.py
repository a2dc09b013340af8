"""Pulling from a registry that behaves, and from one that does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from envgit.images import resolve_digest
from envgit.monitor import NullMonitor
from tests.images.image_builder import AMD64, BASE, tar
from tests.images.reading import read
from tests.registry.fake_registry import Asked, FakeRegistry, Reply
from tests.registry.pulling import RESULT, blobs, manifests, refused
from tests.sources.tar_builder import file

ZEROS = "sha256:" + "0" * 64


def resolve(reference: str, environ: dict[str, str]) -> str:
    return resolve_digest(reference, environ=environ, monitor=NullMonitor())


def test_pull(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    found = read(app, environ)
    assert found.text == RESULT
    assert found.config.user == "u"
    assert found.image.digest == fake.tags["1"]
    assert [path.split("/")[4] for path in fake.paths()] == ["manifests", "blobs", "blobs", "blobs"]
    assert all("identity" in asked.headers["accept-encoding"] for asked in fake.asked)
    assert not any(asked.authorization for asked in fake.asked)


def test_pull_of_one_platform(fake: FakeRegistry, environ: dict[str, str]) -> None:
    arm = {"os": "linux", "architecture": "arm64"}
    images = [{**fake.builder.image(tar(file(p["architecture"].encode())), **p), "platform": p} for p in (AMD64, arm)]
    reference = fake.tag("app:2", fake.builder.index(*images))
    found = read(reference, environ, platform="linux/arm64")
    assert list(found.text) == ["arm64"]
    assert (found.image.digest, found.image.manifest_digest) == (fake.tags["2"], images[1]["digest"])


def test_resolve_asks_for_nothing_but_the_digest(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    assert resolve(app, environ) == fake.tags["1"]
    assert [asked.method for asked in fake.asked] == ["HEAD"]
    fake.overrides.append(lambda asked: Reply(200) if asked.method == "HEAD" else None)
    assert resolve(app, environ) == fake.tags["1"]
    assert [asked.method for asked in fake.asked] == ["HEAD", "HEAD", "GET"]
    assert resolve(f"{app}@{ZEROS}", environ) == ZEROS
    assert len(fake.asked) == 3


def test_pull_by_digest(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    assert read(f"docker://{fake.host}/me/app@{fake.tags['1']}", environ).text == RESULT
    assert fake.paths("manifests")[0].endswith(fake.tags["1"])


# what is not as it should be


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(404), "there is no"),
        (
            Reply(403, b'{"errors":[{"code":"DENIED","message":"not yours\\u001b[31m"}]}'),
            "does not exist, or needs a login",
        ),
        (Reply(401), "does not exist, or needs a login"),
        (Reply(418), "answers 418"),
        (Reply(200, b"{}"), "schemaVersion"),
        (Reply(200, b"<html>log in to the hotel's network</html>", {"Content-Type": "text/html"}), "not JSON"),
        (Reply(200, b"", {"Docker-Content-Digest": ZEROS}), "is damaged"),
        (Reply(302, b"", {"Location": "file:///etc/passwd"}), "no address"),
        (Reply(302, b"", {"Location": "http://user:pw@example.org/"}), "no address"),
        (Reply(302, b"", {"Location": "http://exa mple/"}), "no address"),
        (Reply(302, b""), "redirects more than"),
        (Reply(401, b"", {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}), "no address"),
        (Reply(401, b"", {"WWW-Authenticate": 'Bearer realm="'}), "needs a login"),
        (Reply(401, b"", {"WWW-Authenticate": "Negotiate"}), "needs a login"),
    ],
)
def test_bad_answers(reply: Reply, says: str, app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.overrides.append(lambda asked: reply if manifests(asked) else None)
    assert says in refused(app, environ).message


def test_an_image_that_is_not_there(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    error = refused(f"docker://{fake.host}/me/app:2", environ)
    assert error.message == f"there is no {fake.host}/me/app:2: no such thing"


def test_a_manifest_without_end(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.overrides.append(lambda asked: Reply(200, b" " * (5 << 20)) if manifests(asked) else None)
    assert "more than 4,194,304 bytes" in refused(app, environ, hostile=True).message


def test_another_manifest_than_the_digest_says(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    other = fake.builder.image(BASE)
    fake.overrides.append(lambda asked: Reply(200, fake.builder.blobs[other["digest"]]) if manifests(asked) else None)
    assert "is damaged" in refused(f"docker://{fake.host}/me/app@{fake.tags['1']}", environ).message


@pytest.mark.parametrize(
    "change", [lambda data: data + b"x", lambda data: data[:-1], lambda data: data[:-1] + b"x", lambda data: b""]
)
def test_another_blob_than_the_digest_says(
    change: Callable[[bytes], bytes], app: str, fake: FakeRegistry, environ: dict[str, str]
) -> None:
    def reply(asked: Asked) -> Reply | None:
        digest = asked.path.rpartition("/")[2]
        return Reply(200, change(fake.builder.blobs[digest])) if blobs(asked) else None

    fake.overrides.append(reply)
    refused(app, environ)


# a bad line


def test_a_broken_download_goes_on_where_it_broke(
    fake: FakeRegistry, environ: dict[str, str], waits: list[float]
) -> None:
    content = bytes(range(256)) * 4096
    image = fake.builder.image(tar(file(b"big", content)), compression="")
    reference = fake.tag("app:1", image)
    layer = json.loads(fake.builder.blobs[image["digest"]])["layers"][0]["digest"]
    data = fake.builder.blobs[layer]

    def cut(asked: Asked) -> Reply | None:
        start = int(asked.headers.get("range", "bytes=0-")[6:-1])
        if layer not in asked.path or start > 700_000:
            return None
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return Reply(206 if start else 200, data[start:], headers, cut=300_000)

    fake.overrides.append(cut)
    found = read(reference, environ)
    assert found.store.blobs[found.entries[b"big"].sha256 or b""] == content
    starts = [asked.headers["range"] for asked in fake.asked if "range" in asked.headers]
    assert len(starts) == 3 and len(set(starts)) == 3
    assert len(waits) == 3


def test_a_registry_without_ranges_sends_everything_again(fake: FakeRegistry, environ: dict[str, str]) -> None:
    content = bytes(range(256)) * 4096
    image = fake.builder.image(tar(file(b"big", content)), compression="")
    reference = fake.tag("app:1", image)
    layer = json.loads(fake.builder.blobs[image["digest"]])["layers"][0]["digest"]
    fake.once(lambda asked: Reply(200, fake.builder.blobs[layer], cut=500_000) if layer in asked.path else None)
    fake.overrides.append(lambda asked: Reply(200, fake.builder.blobs[layer]) if layer in asked.path else None)
    found = read(reference, environ)
    assert found.store.blobs[found.entries[b"big"].sha256 or b""] == content


def test_another_range_than_asked_is_refused(fake: FakeRegistry, environ: dict[str, str]) -> None:
    image = fake.builder.image(tar(file(b"big", bytes(1 << 20))), compression="")
    reference = fake.tag("app:1", image)
    layer = json.loads(fake.builder.blobs[image["digest"]])["layers"][0]["digest"]
    data = fake.builder.blobs[layer]
    fake.once(lambda asked: Reply(200, data, cut=500_000) if layer in asked.path else None)
    fake.overrides.append(
        lambda asked: (
            Reply(206, data[9:], {"Content-Range": f"bytes 9-{len(data) - 1}/{len(data)}"})
            if layer in asked.path
            else None
        )
    )
    assert "another range" in refused(reference, environ).message


def test_a_line_that_always_breaks_is_given_up(
    app: str, fake: FakeRegistry, environ: dict[str, str], waits: list[float]
) -> None:
    fake.overrides.append(lambda asked: Reply(200, b"x" * 9, cut=0) if blobs(asked) else None)
    assert "broke" in refused(app, environ).message
    assert len(waits) == 3


def test_a_manifest_that_breaks_off_is_fetched_again(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.once(lambda asked: Reply(200, b"{" * 99, cut=9) if manifests(asked) else None)
    assert read(app, environ).text == RESULT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_registry_is_asked_again(
    status: int, app: str, fake: FakeRegistry, environ: dict[str, str], waits: list[float]
) -> None:
    fake.once(lambda asked: Reply(status, headers={"Retry-After": "7"}) if manifests(asked) else None)
    fake.once(lambda asked: Reply(status, headers={"Retry-After": "60"}) if blobs(asked) else None)
    fake.once(lambda asked: Reply(status, headers={"Retry-After": "Thu, 01 Jan"}) if blobs(asked) else None)
    assert read(app, environ).text == RESULT
    assert waits == [7.0, 60.0, 1.0]


def test_too_many_requests(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.overrides.append(lambda asked: Reply(429, b'{"errors":[{"message":"slow down"}]}'))
    error = refused(app, environ)
    assert "too many requests: slow down" in error.message and "login" in (error.hint or "")


def test_nobody_there(environ: dict[str, str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    error = refused(f"docker://127.0.0.1:{port}/a", environ)
    assert f"cannot reach 127.0.0.1:{port}: Connection refused" in error.message
