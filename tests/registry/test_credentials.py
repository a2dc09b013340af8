"""Where credentials are found, which entry is meant, and programs that keep them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from envgit.errors import UsageError
from envgit.registry.credential_helper import ask_helper
from envgit.registry.credentials import Credentials, find_credentials

HUB = "https://index.docker.io/v1/"


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def put(path: Path, fields: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return path


def helper(tmp_path: Path, name: str, script: str) -> None:
    path = put(tmp_path / f"bin/docker-credential-{name}", f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def user_of(found: Credentials | None) -> str:
    return found.user if found else ""


def test_nobody_is_logged_in(environ: dict[str, str]) -> None:
    assert find_credentials("quay.io", "a/b", environ) is None


def test_places_in_order(tmp_path: Path, environ: dict[str, str]) -> None:
    places = ["home/.docker/config.json", "home/.config/containers/auth.json", "run/containers/auth.json"]
    for place in places:
        put(tmp_path / place, {"auths": {"quay.io": auth(f"{place}:secret")}})
        found = find_credentials("quay.io", "a/b", environ)
        assert found is not None and (found.user, found.password) == (place, "secret")
        assert found.origin == f"{tmp_path / place} (quay.io)"
    for name, file in (("DOCKER_CONFIG", "d/config.json"), ("XDG_CONFIG_HOME", "x/containers/auth.json")):
        for place in places:
            (tmp_path / place).unlink(missing_ok=True)
        put(tmp_path / file, {"auths": {"quay.io": auth(f"{name}:secret")}})
        folder = tmp_path / file.partition("/")[0]
        assert user_of(find_credentials("quay.io", "a", {**environ, name: str(folder)})) == name
    named = put(tmp_path / "named.json", {"auths": {"quay.io": auth("named:x")}})
    assert user_of(find_credentials("quay.io", "a", {**environ, "REGISTRY_AUTH_FILE": str(named)})) == "named"


@pytest.mark.parametrize(
    ("host", "path", "user"),
    [
        ("quay.io", "me/app/deep", "app"), ("quay.io", "me/app", "app"), ("quay.io", "me/apple", "me"), ("quay.io", "you", "all"),
        ("docker.io", "library/debian", "hub"), ("reg:5000", "x", "port"), ("reg", "x", ""), ("plain", "x", "scheme"),
        ("empty", "x", ""), ("io", "quay.io", ""),
    ],
)  # fmt: skip
def test_the_longest_part_of_the_name_wins(
    host: str, path: str, user: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    auths = {
        "quay.io": auth("all:x"), "quay.io/me": auth("me:x"), "quay.io/me/app": auth("app:x"), HUB: auth("hub:x"),
        "reg:5000": auth("port:x"), "https://plain/v1/": auth("scheme:x"), "empty": {},
    }  # fmt: skip
    put(tmp_path / "home/.docker/config.json", {"auths": auths})
    assert user_of(find_credentials(host, path, environ)) == user


def test_other_ways_to_write_an_entry(tmp_path: Path, environ: dict[str, str]) -> None:
    file = tmp_path / "home/.docker/config.json"
    put(
        file,
        {"auths": {"a": {"identitytoken": "t"}, "b": {"username": "u", "password": "p"}, "c": auth("u:p:with:colons")}},
    )
    a, b, c = (find_credentials(host, "x", environ) for host in "abc")
    assert a is not None and a.identity_token == "t"
    assert b is not None and b.basic() == "Basic " + base64.b64encode(b"u:p").decode()
    assert c is not None and c.password == "p:with:colons"
    assert "p:with:colons" not in repr(c)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"x"',
        "[" * 100_000,
        '{"auths": {"quay.io": {"auth": "?"}}}',
        '{"auths": {"quay.io": {"auth": "eA=="}}}',
    ],
)
def test_files_that_are_damaged(text: str, tmp_path: Path, environ: dict[str, str]) -> None:
    put(tmp_path / "home/.docker/config.json", text)
    with pytest.raises(UsageError) as caught:
        find_credentials("quay.io", "a", environ)
    assert caught.value.hint and "config.json" in caught.value.message


@pytest.mark.parametrize(
    "text", ["", "{}", '{"auths": []}', '{"auths": {"quay.io": 7}}', '{"credHelpers": 7, "credsStore": 7}']
)
def test_files_that_say_nothing(text: str, tmp_path: Path, environ: dict[str, str]) -> None:
    put(tmp_path / "home/.docker/config.json", text)
    assert find_credentials("quay.io", "a", environ) is None


def test_helpers(tmp_path: Path, environ: dict[str, str]) -> None:
    helper(tmp_path, "keep", 'read name; [ "$1" = get ] && echo "{\\"Username\\": \\"$name\\", \\"Secret\\": \\"s\\"}"')
    helper(tmp_path, "token", 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"refresh\\"}"')
    fields = {
        "credHelpers": {"quay.io": "keep", "t.io": "token"},
        "credsStore": "keep",
        "auths": {"quay.io": {}, "a.io": auth("u:p")},
    }
    put(tmp_path / "home/.docker/config.json", fields)
    assert user_of(find_credentials("quay.io", "a", environ)) == "quay.io"
    assert user_of(find_credentials("docker.io", "library/a", environ)) == HUB
    assert user_of(find_credentials("a.io", "a", environ)) == "u"
    token = find_credentials("t.io", "a", environ)
    assert token is not None and (token.user, token.identity_token) == ("", "refresh")


def test_a_helper_that_has_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    helper(tmp_path, "none", 'echo "credentials not found in native keychain"; exit 1')
    put(tmp_path / "home/.docker/config.json", {"credsStore": "none"})
    assert find_credentials("quay.io", "a", environ) is None


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo locked; exit 3", "failed: locked"), ("exit 3", "failed: status 3"), ("kill -9 $$", "failed: status -9"),
        ("echo hello", "did not answer"), ('echo "{}"', "did not answer"), ("echo '[1]'", "did not answer"),
        ('echo "{\\"Username\\": 7, \\"Secret\\": 8}"', "did not answer"), ("exec cat /dev/zero", "said too much"),
    ],
)  # fmt: skip
def test_helpers_that_fail(script: str, says: str, tmp_path: Path, environ: dict[str, str]) -> None:
    helper(tmp_path, "bad", script)
    with pytest.raises(UsageError) as caught:
        ask_helper("bad", "quay.io", environ, "config.json")
    assert says in caught.value.message and caught.value.hint


def test_a_helper_that_hangs_is_ended(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envgit.registry.credential_helper._SECONDS", 0.2)
    helper(tmp_path, "slow", "exec sleep 30")
    with pytest.raises(UsageError, match="took too long"):
        ask_helper("slow", "quay.io", environ, "config.json")


@pytest.mark.parametrize("name", ["missing", "../../bin/sh", "a b", "", "-x", "a;b"])
def test_helpers_that_are_no_programs(name: str, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        ask_helper(name, "quay.io", environ, "config.json")
    assert caught.value.hint
