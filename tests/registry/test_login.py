"""Who gets credentials, and who does not: tokens, basic, redirects, mirrors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images.image_builder import BASE, TOP
from tests.images.reading import read
from tests.registry.fake_registry import Asked, FakeRegistry, Reply
from tests.registry.pulling import RESULT, blobs, log_in, refused

# authorization


def test_anonymous_tokens(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.token = "t0ken"
    assert read(app, environ).text == RESULT
    (asked,) = [asked for asked in fake.asked if asked.path == "/token"]
    assert asked.query == {"service": ["fake"], "scope": ["repository:me/app:pull"]} and not asked.authorization


def test_tokens_for_credentials(app: str, fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> None:
    fake.token, fake.user = "t0ken", "me:secret"
    assert "without credentials" in refused(app, environ).message
    log_in(tmp_path, fake.host, "me:wrong")
    error = refused(app, environ)
    assert "does not accept the credentials from" in error.message and "wrong" not in error.message
    log_in(tmp_path, fake.host, "me:secret")
    assert read(app, environ).text == RESULT


def test_a_token_that_ends_is_renewed(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.token = "first"

    def expire(asked: Asked) -> Reply | None:
        if blobs(asked):
            fake.token = "second"
        return None

    fake.overrides.append(expire)
    assert read(app, environ).text == RESULT
    assert len(fake.paths("/token")) == 2


def test_basic(app: str, fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> None:
    fake.basic, fake.user = True, "me:secret"
    assert "needs a login" in refused(app, environ).message
    log_in(tmp_path, fake.host, "me:wrong")
    assert "is denied with the credentials from" in refused(app, environ).message
    log_in(tmp_path, fake.host, "me:secret")
    assert read(app, environ).text == RESULT


def test_identity_tokens(app: str, fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> None:
    fake.token, fake.refresh_token = "t0ken", "refresh"
    folder = tmp_path / "run/containers"
    folder.mkdir(parents=True)
    (folder / "auth.json").write_text(json.dumps({"auths": {fake.host: {"identitytoken": "refresh"}}}))
    assert read(app, environ).text == RESULT
    (asked,) = [asked for asked in fake.asked if asked.path == "/token"]
    assert asked.method == "POST" and b"grant_type=refresh_token" in asked.body


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a\\r\\nX: y"}', b'{"token": ""}', b"x" * (2 << 20)]
)
def test_tokens_that_are_none(body: bytes, app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.token = "t0ken"
    fake.overrides.append(lambda asked: Reply(200, body) if asked.path == "/token" else None)
    assert "without a token" in refused(app, environ).message


def test_credentials_that_cannot_be_had_do_not_keep_from_public_images(
    app: str, fake: FakeRegistry, environ: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "home/.docker"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"credsStore": "missing"}')
    assert not read(app, environ).monitor.notes
    fake.token = "t0ken"
    (note,) = read(app, environ).monitor.notes
    assert "docker-credential-missing" in note and "without credentials" in note


# redirects


def test_redirects_are_followed_without_credentials(
    fakes: Callable[[], FakeRegistry], environ: dict[str, str], tmp_path: Path
) -> None:
    registry, storage = fakes(), fakes()
    registry.token, registry.user = "t0ken", "me:secret"
    reference = registry.tag("me/app:1", registry.builder.image(BASE, TOP))
    storage.builder = registry.builder
    log_in(tmp_path, registry.host, "me:secret")

    def away(asked: Asked) -> Reply | None:
        if blobs(asked) and asked.authorization:
            return Reply(307, headers={"Location": f"http://{storage.host}{asked.path}?signature=1"})
        return None

    registry.overrides.append(away)
    assert read(reference, environ).text == RESULT
    assert len(storage.asked) == 3
    assert not any(asked.authorization for asked in storage.asked)
    assert all("cookie" not in asked.headers for asked in storage.asked)


def test_who_is_redirected_to_gets_no_credentials_by_asking(
    fakes: Callable[[], FakeRegistry], environ: dict[str, str], tmp_path: Path
) -> None:
    """CVE-2020-15157."""
    registry, evil = fakes(), fakes()
    reference = registry.tag("me/app:1", registry.builder.image(BASE, TOP))
    log_in(tmp_path, registry.host, "me:secret")
    registry.overrides.append(
        lambda asked: Reply(307, headers={"Location": f"http://{evil.host}{asked.path}"}) if blobs(asked) else None
    )
    evil.token = "t0ken"
    refused(reference, environ)
    assert evil.asked and not any(asked.authorization for asked in evil.asked)
    evil.token, evil.basic, evil.user = "", True, "me:secret"
    refused(reference, environ)
    assert not any(asked.authorization for asked in evil.asked)
    assert "/token" not in evil.paths("/")


def test_a_token_service_without_tls_is_not_trusted_by_one_with(
    secure: FakeRegistry, fake: FakeRegistry, environ: dict[str, str], tmp_path: Path
) -> None:
    reference = secure.tag("me/app:1", secure.builder.image(BASE))
    log_in(tmp_path, secure.host, "me:secret")
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{fake.host}/token"'}
    secure.overrides.append(lambda asked: Reply(401, headers=challenge))
    assert "without encryption" in refused(reference, environ).message
    secure.overrides.insert(0, lambda asked: Reply(307, headers={"Location": f"http://{fake.host}/"}))
    assert "without encryption" in refused(reference, environ).message
    assert not fake.asked


def test_redirects_to_the_same_host_keep_them(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.token = "t0ken"
    fake.overrides.append(
        lambda asked: (
            Reply(308, headers={"Location": asked.path.replace("/me/", "/other/")}) if "/me/" in asked.path else None
        )
    )
    assert read(app, environ).text == RESULT


# mirrors


def test_mirrors_are_asked_first_and_get_no_credentials_of_others(
    fakes: Callable[[], FakeRegistry], environ: dict[str, str], tmp_path: Path
) -> None:
    mirror, origin = fakes(), fakes()
    reference = origin.tag("me/app:1", origin.builder.image(BASE, TOP))
    origin.basic, origin.user = True, "me:secret"
    log_in(tmp_path, origin.host, "me:secret")
    (tmp_path / "registries.conf").write_text(
        f'[[registry]]\nlocation = "{origin.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}/copy"\n'
    )
    found = read(reference, environ)
    assert found.text == RESULT and found.monitor.notes
    assert mirror.paths() == ["/v2/copy/me/app/manifests/1"] and not mirror.asked[0].authorization
    mirror.builder, mirror.tags = origin.builder, origin.tags
    origin.asked.clear()
    assert read(reference, environ).text == RESULT
    assert not origin.asked and len(mirror.asked) == 5
