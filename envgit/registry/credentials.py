"""Credentials for registries, from the places where docker and podman keep them.

Source: containers-auth.json(5); docker's config.json ("auths", "credHelpers", "credsStore").
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from envgit.errors import UsageError
from envgit.registry.credential_helper import ask_helper

_MOST_BYTES: Final = 4 * 1024 * 1024
_DOCKER_HUB: Final = ("docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")


class Credentials(NamedTuple):
    """`user` and `password`, or only `identity_token`. `origin` says where they are from, for messages."""

    user: str
    password: str
    identity_token: str
    origin: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, origin={self.origin!r})"

    def basic(self) -> str:
        """Return the value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(host: str, path: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials for the repository `host`/`path`, None if nobody has any.

    The first file that has an entry wins, and in it the entry of the longest part of the name. Raises UsageError for a file
    that cannot be understood and a helper that fails.
    """
    for file in auth_files(environ):
        fields = read_auth_file(file)
        if fields is not None and (found := _in_file(file, fields, host, path, environ)) is not None:
            return found
    return None


def auth_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the files that have credentials, if they exist, in the order in which they count."""
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield named
        return
    home = environ.get("HOME", "")
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield f"{runtime}/containers/auth.json"
    else:
        yield f"/run/containers/{os.getuid()}/auth.json"
    if config := environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        yield f"{config}/containers/auth.json"
    if config := environ.get("DOCKER_CONFIG") or (home and f"{home}/.docker"):
        yield f"{config}/config.json"


def read_auth_file(file: str) -> dict[str, object] | None:
    """Return what a file holds, None when there is none that can be read. Raises UsageError."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:  # a FIFO keeps nobody
            data = stream.read(_MOST_BYTES)
    except OSError:
        return None
    try:
        fields = json.loads(data.decode("utf-8")) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file} is not JSON: {type(error).__name__}", hint="log in again, or remove the file"
        ) from None
    if not isinstance(fields, dict):
        raise UsageError(f"{file} is not a JSON object", hint="log in again, or remove the file")
    return fields


def _in_file(
    file: str, fields: Mapping[str, object], host: str, path: str, environ: Mapping[str, str]
) -> Credentials | None:
    keys = list(entry_names(host, path))
    helpers = table_of(fields, "credHelpers")
    for key in keys:
        helper = helpers.get(key)
        if isinstance(helper, str) and helper:
            return _from_helper(helper, key, file, environ)
    auths = table_of(fields, "auths")
    plain = {bare_name(name): value for name, value in reversed(list(auths.items()))}
    for key in keys:
        entry = auths.get(key, plain.get(bare_name(key)))
        if isinstance(entry, dict) and (found := _from_entry(entry, key, file)) is not None:
            return found
    store = fields.get("credsStore")
    if isinstance(store, str) and store:
        # Stores know docker.io by docker's own old name.
        for key in _DOCKER_HUB[1:2] if host == "docker.io" else (host,):
            if (found := _from_helper(store, key, file, environ)) is not None:
                return found
    return None


def entry_names(host: str, path: str) -> Iterator[str]:
    """Yield the names an entry can have, the most specific first; with "" for `path` those of the host itself."""
    parts = path.split("/") if path else []
    for count in range(len(parts), 0, -1):
        yield f"{host}/{'/'.join(parts[:count])}"
    yield from _DOCKER_HUB if host == "docker.io" else (host,)


def bare_name(name: str) -> str:
    """Return a key as docker normalises it: without scheme and API path."""
    for scheme in ("https://", "http://"):
        if name.startswith(scheme):
            return name.removeprefix(scheme).partition("/")[0]
    return name


def _from_entry(entry: Mapping[str, object], key: str, file: str) -> Credentials | None:
    origin = f"{file} ({key})"
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials("", "", token, origin)
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            user, colon, password = base64.b64decode(auth, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            raise UsageError(f"the entry {key} of {file} is malformed", hint=f"log in again: envgit login {key}")
        return Credentials(user, password.strip("\0"), "", origin)
    user_, password_ = entry.get("username"), entry.get("password")
    if isinstance(user_, str) and isinstance(password_, str) and user_:
        return Credentials(user_, password_, "", origin)
    return None


def _from_helper(helper: str, key: str, file: str, environ: Mapping[str, str]) -> Credentials | None:
    answer = ask_helper(helper, key, environ, file)
    if answer is None:
        return None
    user, secret = answer
    origin = f"docker-credential-{helper} ({key})"
    if user == "<token>":
        return Credentials("", "", secret, origin)
    return Credentials(user, secret, "", origin)


def table_of(fields: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return the object called `name`; an empty one for whatever else is there."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}
