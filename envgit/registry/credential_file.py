"""Log in and out: credentials written where docker and podman look for them, or given to their credential helpers."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from envgit.errors import StorageError, UsageError
from envgit.registry.credential_helper import clear_helper, tell_helper
from envgit.registry.credentials import auth_files, bare_name, entry_names, read_auth_file, table_of

_DOCKER_FILE: Final = "config.json"
_DOCKER_HUB_OF_DOCKER: Final = "https://index.docker.io/v1/"


def keep_credentials(host: str, path: str, user: str, password: str, environ: Mapping[str, str]) -> str:
    """Keep the credentials for a registry, or for the part `path` of it ("": all); return where they are now.

    It is the file that has an entry for it already, else the first that is there, else podman's. The file is replaced as a
    whole, mode 0600; everything else in it stays. Raises UsageError for a file or helper that cannot be understood, StorageError.
    """
    file = _choose(host, path, environ)
    with _replacing(file) as fields:
        name = _name_in(file, host, path)
        entries = dict(table_of(fields, "auths"))
        for other in _matching(entries, host, path):
            del entries[other]
        helper = _helper_of(fields, host, path)
        if helper is not None:
            tell_helper(helper[0], helper[1], user, password, environ, file)
            entries[name] = {}  # as docker notes whom its helper knows
        else:
            entries[name] = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        fields["auths"] = entries
    return file if helper is None else f"docker-credential-{helper[0]}"


def forget_credentials(host: str, path: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Remove the credentials for a registry, or for the part `path` of it, wherever they are; return from where.

    Raises as keep_credentials does; what was removed until then stays removed.
    """
    places: list[str] = []
    for file in auth_files(environ):
        fields = read_auth_file(file)
        if fields is None:
            continue
        helper = _helper_of(fields, host, path)
        if helper is not None and clear_helper(helper[0], helper[1], environ, file):
            places.append(f"docker-credential-{helper[0]}")
        if not _matching(table_of(fields, "auths"), host, path):
            continue
        with _replacing(file) as fields_:
            entries = dict(table_of(fields_, "auths"))
            had = [entries.pop(name) for name in _matching(entries, host, path)]
            fields_["auths"] = entries
        if any(had):  # else only the note that a helper knows
            places.append(file)
    return tuple(places)


def _choose(host: str, path: str, environ: Mapping[str, str]) -> str:
    files = list(auth_files(environ))
    found = {file: fields for file in files if (fields := read_auth_file(file)) is not None}
    for file, fields in found.items():
        if (
            _matching(table_of(fields, "auths"), host, path)
            or _names(host, path) & table_of(fields, "credHelpers").keys()
        ):
            return file
    for file in found:
        return file
    if not environ.get("REGISTRY_AUTH_FILE") and not environ.get("XDG_RUNTIME_DIR") and len(files) > 1:
        return files[1]  # /run/containers belongs to root, and to podman
    return files[0]


def _names(host: str, path: str) -> set[str]:
    return {f"{host}/{path}"} if path else set(entry_names(host, ""))


def _name_in(file: str, host: str, path: str) -> str:
    if path:
        return f"{host}/{path}"
    return _DOCKER_HUB_OF_DOCKER if host == "docker.io" and os.path.basename(file) == _DOCKER_FILE else host


def _matching(entries: Mapping[str, object], host: str, path: str) -> list[str]:
    """Return the names of the entries that find_credentials would take for this very registry or part."""
    names = _names(host, path)
    bare = {bare_name(name) for name in names}
    return [name for name in entries if name in names or bare_name(name) in bare]


def _helper_of(fields: Mapping[str, object], host: str, path: str) -> tuple[str, str] | None:
    """Return the helper that a file has for this, and the name that it knows it by."""
    helpers = table_of(fields, "credHelpers")
    for name in (f"{host}/{path}",) if path else entry_names(host, ""):
        helper = helpers.get(name)
        if isinstance(helper, str) and helper:
            return helper, name
    store = fields.get("credsStore")
    if path or not isinstance(store, str) or not store:
        return None
    return store, _DOCKER_HUB_OF_DOCKER if host == "docker.io" else host


@contextmanager
def _replacing(file: str) -> Iterator[dict[str, object]]:
    """Yield what the file holds, and write what became of it. Atomic; the file a link leads to is the one replaced."""
    file = os.path.realpath(file)
    if os.path.lexists(file) and not os.path.isfile(file):  # a device would be replaced by a file, for everybody
        raise UsageError(f"{file} is no plain file", hint="name another one in REGISTRY_AUTH_FILE")
    folder = os.path.dirname(file)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(
            f"cannot use the folder {folder}: {error.strerror}", hint="check its owner and mode"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fields = read_auth_file(file)
        if fields is None and os.path.lexists(file):
            raise UsageError(f"{file} cannot be read", hint="check its owner and mode")
        fields = fields or {}
        yield fields
        _write(file, (json.dumps(fields, indent="\t") + "\n").encode(), lock)
    finally:
        os.close(lock)


def _write(file: str, data: bytes, folder_fd: int) -> None:
    temporary = f"{file}.{secrets.token_hex(8)}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(fd)
        os.rename(temporary, file)
        os.fsync(folder_fd)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise StorageError(
            f"cannot write {file}: {error.strerror}", hint="check the folder's owner and mode"
        ) from error
