"""envgit login and logout: the registry is asked, and docker, podman and envgit find what was kept."""

from __future__ import annotations

import base64
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import EnvgitError, SourceError, StorageError, UsageError
from envgit.login import login, logout, parse_registry
from envgit.registry.credential_file import forget_credentials, keep_credentials
from envgit.registry.credentials import find_credentials
from envgit.registry.tokens import CredentialsRefused
from tests.images.reading import read
from tests.lab import Lab, command_environment, command_words
from tests.registry.fake_registry import FakeRegistry, Reply
from tests.registry.pulling import RESULT
from tests.registry.test_credentials import HUB, auth, helper, put

HELPER = r"""
d=$(dirname "$0")/kept
case $1 in
    store) cat > "$d" ;;
    get) read -r name; [ -e "$d" ] && grep -q "\"$name\"" "$d" && sed 's/ServerURL/Server/' "$d" || {
        echo "credentials not found in native keychain"; exit 1; } ;;
    erase) rm "$d" ;;
esac
"""


def auths(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["auths"]
    return found


# who is believed


def test_tokens(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.token, fake.user = "t0ken", "me:secret"
    done = login(fake.host, "me", "secret", environ)
    assert done.verified and done.place == f"{environ['XDG_RUNTIME_DIR']}/containers/auth.json"
    assert read(app, environ).text == RESULT


def test_basic(app: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.basic, fake.user = True, "me:se:cret"
    assert login(fake.host, "me", "se:cret", environ).verified
    assert read(app, environ).text == RESULT


@pytest.mark.parametrize("kind", ["token", "basic"])
def test_who_is_refused_is_not_kept(kind: str, fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> None:
    fake.user, fake.basic, fake.token = "me:secret", kind == "basic", "t" if kind == "token" else ""
    with pytest.raises(CredentialsRefused) as caught:
        login(fake.host, "me", "wrong", environ)
    assert "does not accept this user and password" in caught.value.message and "wrong" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_registry_for_everybody(fake: FakeRegistry, environ: dict[str, str]) -> None:
    assert not login(fake.host, "me", "secret", environ).verified
    assert find_credentials(fake.host, "a", environ) is not None


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(404), "is no registry: it answers 404"),
        (Reply(301, headers={"Location": "http://127.0.0.1:1/v2/"}), "is no registry: it answers 301"),
        (Reply(200), ""),
        (Reply(500), "answers 500"),
        (
            Reply(429, headers={"RateLimit-Limit": "5;w=60", "Retry-After": "60"}),
            "it allows 5 in 1 minute; try again in 1",
        ),
        (Reply(401), "a kind of login that is not known"),
        (Reply(401, headers={"WWW-Authenticate": "Negotiate"}), "a kind of login that is not known"),
        (Reply(401, headers={"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}), "no address"),
        (Reply(401, headers={"WWW-Authenticate": 'Bearer realm="http://a b/"'}), "no address"),
        (Reply(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), "does not accept"),
    ],
)
def test_bad_registries(reply: Reply, says: str, fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.overrides.append(lambda asked: reply if asked.path == "/v2/" else None)
    if not says:
        assert not login(fake.host, "me", "secret", environ).verified
        return
    with pytest.raises(SourceError) as caught:
        login(fake.host, "me", "secret", environ)
    assert says in caught.value.message and caught.value.hint and "secret" not in str(caught.value)
    assert find_credentials(fake.host, "a", environ) is None


def test_nobody_there(environ: dict[str, str]) -> None:
    with pytest.raises(SourceError, match="cannot reach"):
        login("127.0.0.1:1", "me", "secret", environ)


def test_a_token_service_without_encryption(secure: FakeRegistry, environ: dict[str, str], certificate: Path) -> None:
    folder = Path(environ["HOME"], ".config/containers/certs.d", secure.host)
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes((certificate / "crt").read_bytes())
    realm = 'Bearer realm="http://127.0.0.1:1/token"'
    secure.overrides.append(lambda asked: Reply(401, headers={"WWW-Authenticate": realm}))
    with pytest.raises(SourceError, match="without encryption"):
        login(secure.host, "me", "secret", environ)
    assert not any(asked.authorization for asked in secure.asked)


@pytest.mark.parametrize(
    ("user", "password"), [("", "x"), ("a:b", "x"), ("a\n", "x"), ("a", ""), ("a", "x\ny"), ("a", "x" * 20_000)]
)
def test_what_cannot_be_sent(user: str, password: str, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        login("127.0.0.1:1", user, password, environ)


NAMES = {
    "": ("docker.io", ""),
    "docker.io": ("docker.io", ""),
    "https://index.docker.io/v1/": ("docker.io", ""),
    "index.docker.io": ("docker.io", ""),
    "quay.io": ("quay.io", ""),
    "https://quay.io/": ("quay.io", ""),
    "quay.io/me": ("quay.io", "me"),
    "localhost:5000": ("localhost:5000", ""),
    "[::1]:5000": ("[::1]:5000", ""),
}


@pytest.mark.parametrize("text", NAMES)
def test_names(text: str) -> None:
    assert parse_registry(text) == NAMES[text]


@pytest.mark.parametrize(
    "text", ["me", "quay.io/a:1", "a b.io", "quay.io/A", "-x", "quay.io@sha256:1", "\x1b[31m.io", "ftp://quay.io", "//"]
)
def test_what_names_no_registry(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_registry(text)
    assert caught.value.message.isprintable()


# where it is kept


def test_files(environ: dict[str, str], tmp_path: Path) -> None:
    """The file that has an entry, else the first that is there, else podman's."""
    run, config, docker = (
        tmp_path / place
        for place in ("run/containers/auth.json", "home/.config/containers/auth.json", "home/.docker/config.json")
    )
    assert keep_credentials("quay.io", "", "me", "one", environ) == str(run)
    assert stat.S_IMODE(run.stat().st_mode) == 0o600 and stat.S_IMODE(run.parent.stat().st_mode) == 0o700
    run.unlink()
    put(docker, {"auths": {}, "detachKeys": "ctrl-q"})
    assert keep_credentials("quay.io", "", "me", "two", environ) == str(docker)
    put(config, {})
    assert keep_credentials("quay.io", "", "me", "three", environ) == str(docker)
    assert json.loads(docker.read_text()) == {"auths": {"quay.io": auth("me:three")}, "detachKeys": "ctrl-q"}
    assert keep_credentials("ghcr.io", "", "me", "four", environ) == str(config)
    named = {**environ, "REGISTRY_AUTH_FILE": str(tmp_path / "new/named.json")}
    assert keep_credentials("quay.io", "", "me", "five", named) == named["REGISTRY_AUTH_FILE"]
    without = {name: value for name, value in environ.items() if name != "XDG_RUNTIME_DIR"}
    for path in (config, docker):
        path.unlink()
    assert keep_credentials("quay.io", "", "me", "six", without) == str(config)


@pytest.mark.parametrize("host", ["docker.io", "quay.io", "localhost:5000"])
@pytest.mark.parametrize("path", ["", "me/team"])
def test_what_is_kept_is_found_and_forgotten(host: str, path: str, environ: dict[str, str]) -> None:
    keep_credentials(host, "", "other", "x", environ)
    place = keep_credentials(host, path, "me", "pässword", environ)
    found = find_credentials(host, path or "a", environ)
    assert found is not None and (found.user, found.password) == ("me", "pässword")
    assert forget_credentials(host, path, environ) == (place,)
    assert forget_credentials(host, path, environ) == ()
    rest = find_credentials(host, path or "a", environ)
    assert (rest is not None and rest.user == "other") if path else rest is None


def test_docker_hub_has_many_names(environ: dict[str, str], tmp_path: Path) -> None:
    docker = put(
        tmp_path / "home/.docker/config.json", {"auths": {"docker.io": auth("a:b"), "https://quay.io": auth("c:d")}}
    )
    keep_credentials("docker.io", "", "me", "new", environ)
    assert auths(docker) == {"https://quay.io": auth("c:d"), HUB: auth("me:new")}
    keep_credentials("quay.io", "", "me", "new", environ)
    assert auths(docker) == {HUB: auth("me:new"), "quay.io": auth("me:new")}
    run = put(tmp_path / "run/containers/auth.json", {"auths": {HUB: auth("old:x")}})
    assert forget_credentials("docker.io", "", environ) == (str(run), str(docker))
    assert auths(run) == {} and list(auths(docker)) == ["quay.io"]


def test_helpers(environ: dict[str, str], tmp_path: Path) -> None:
    helper(tmp_path, "box", HELPER)
    docker = put(tmp_path / "home/.docker/config.json", {"credsStore": "box", "auths": {"quay.io": auth("old:x")}})
    assert keep_credentials("quay.io", "", "me", "secret", environ) == "docker-credential-box"
    assert auths(docker) == {"quay.io": {}} and "secret" not in docker.read_text()
    kept = json.loads((tmp_path / "bin/kept").read_text())
    assert kept == {"ServerURL": "quay.io", "Username": "me", "Secret": "secret"}
    found = find_credentials("quay.io", "a", environ)
    assert found is not None and found.user == "me"
    assert forget_credentials("quay.io", "", environ) == ("docker-credential-box",)
    assert auths(docker) == {} and not (tmp_path / "bin/kept").exists()
    put(docker, {"credHelpers": {"ghcr.io": "box"}})
    assert keep_credentials("ghcr.io", "", "me", "x", environ) == "docker-credential-box"
    assert forget_credentials("ghcr.io", "", environ) == ("docker-credential-box",)
    put(docker, {"credsStore": "box"})
    keep_credentials("docker.io", "", "me", "x", environ)
    assert json.loads((tmp_path / "bin/kept").read_text())["ServerURL"] == HUB


@pytest.mark.parametrize("name", ["absent", "../../bin/sh", "fails"])
def test_helpers_that_do_not_help(name: str, environ: dict[str, str], tmp_path: Path) -> None:
    helper(tmp_path, "fails", "echo locked; exit 1")
    docker = put(tmp_path / "home/.docker/config.json", {"credsStore": name, "auths": {"quay.io": auth("old:x")}})
    before = docker.read_bytes()
    for change in (
        lambda: keep_credentials("quay.io", "", "me", "secret", environ),
        lambda: forget_credentials("quay.io", "", environ),
    ):
        with pytest.raises(UsageError):
            change()
    assert docker.read_bytes() == before and os.listdir(docker.parent) == ["config.json"]


@pytest.mark.parametrize("text", ["{", "[]", "\xff", '{"auths": []}', '{"auths": {"quay.io": 7}}', ""])
def test_files_that_are_none(text: str, environ: dict[str, str], tmp_path: Path) -> None:
    """What cannot be understood stays as it is; what can be, is put right."""
    path = put(tmp_path / "run/containers/auth.json", text)
    try:
        keep_credentials("quay.io", "", "me", "secret", environ)
    except EnvgitError as error:
        assert isinstance(error, UsageError) and path.read_text() == text
    else:
        assert auths(path) == {"quay.io": auth("me:secret")}


def test_a_link_is_followed_and_stays(environ: dict[str, str], tmp_path: Path) -> None:
    real = put(tmp_path / "dotfiles/config.json", {"auths": {}})
    real.chmod(0o644)
    link = tmp_path / "home/.docker/config.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    keep_credentials("quay.io", "", "me", "secret", environ)
    assert link.is_symlink() and auths(real) and stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError):
        keep_credentials("quay.io", "", "me", "secret", environ)


# the commands


def test_the_commands(fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> None:
    lab = Lab(tmp_path, variables=environ)
    fake.token, fake.user = "t0ken", "me:secret"
    done = lab("login", "-u", "me", "--password-stdin", fake.host, stdin=b"secret\n")
    assert f"logged in to {fake.host} as me" in done.out and "secret" not in done.out + done.err
    assert f"logged out of {fake.host}" in lab("logout", fake.host).out
    assert "nobody is logged in" in lab("logout", fake.host, status=1).err
    lab.fails("login", fake.host, status=2, says="no terminal", hint="--password-stdin")
    lab.fails("login", "--password-stdin", fake.host, status=2, says="needs the user's name", hint="-u USER")
    lab.fails("login", "-u", "a", "--password-stdin", "x", status=2, says="names no registry", hint="name a host")
    lab.fails("login", "-u", "me", "--password-stdin", fake.host, stdin=b"\xff", status=2, says="not UTF-8", hint="")
    lab.fails(
        *("login", "-u", "me", "--password-stdin", fake.host),
        stdin=b"no",
        status=2,
        says="does not accept",
        hint="token",
    )


def test_podman_and_skopeo_find_it(fake: FakeRegistry, app: str, environ: dict[str, str], tmp_path: Path) -> None:
    """What was kept is what they read, and what they keep is what envgit reads."""
    fake.basic, fake.user = True, "me:secret"
    login(fake.host, "me", "secret", environ)
    variables = {**os.environ, **environ}
    command = ["skopeo", "inspect", "--no-tags", "--tls-verify=false", "--format", "{{.Digest}}", app]
    done = subprocess.run(command, capture_output=True, env=variables, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == fake.tags["1"], done.stderr
    logout(fake.host, environ)
    assert subprocess.run(command, capture_output=True, env=variables, check=False).returncode != 0
    words = ["skopeo", "login", "--tls-verify=false", "-u", "me", "-p", "secret", fake.host]
    subprocess.run(words, capture_output=True, env=variables, check=True)
    found = find_credentials(fake.host, "me/app", environ)
    assert found is not None and found.basic() == "Basic " + base64.b64encode(b"me:secret").decode()
    assert logout(fake.host, environ).places


def test_at_a_terminal_it_asks(fake: FakeRegistry, environ: dict[str, str]) -> None:
    fake.basic, fake.user = True, "me:secret"
    pid, terminal = pty.fork()
    if not pid:
        os.execve(sys.executable, [*command_words(), "login", fake.host], command_environment(environ))
    shown = b""
    answers = [(b"Username: ", b"me\n"), (b"Password: ", b"secret\n")]
    try:
        while data := os.read(terminal, 1024):
            shown += data
            if answers and answers[0][0] in shown:
                os.write(terminal, answers.pop(0)[1])
    except OSError:  # the other side is closed
        pass
    assert os.waitpid(pid, 0)[1] == 0, shown
    assert b"logged in to " in shown and b"secret" not in shown
    assert find_credentials(fake.host, "a", environ) is not None


@pytest.mark.parametrize("kind", ["socket", "folder", "link to a socket"])
def test_only_a_plain_file_is_replaced(tmp_path: Path, environ: dict[str, str], kind: str) -> None:
    """REGISTRY_AUTH_FILE=/dev/null, as root, must not take the device from everybody."""
    place = tmp_path / "special"
    if kind == "folder":
        place.mkdir()
    else:
        os.mknod(place, stat.S_IFSOCK | 0o600)
    named = place
    if kind == "link to a socket":
        named = tmp_path / "link"
        named.symlink_to(place)
    before = os.lstat(place)
    with pytest.raises(UsageError, match="is no plain file"):
        keep_credentials("quay.io", "", "me", "secret", {**environ, "REGISTRY_AUTH_FILE": str(named)})
    after = os.lstat(place)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
