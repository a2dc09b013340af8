"""Where a registry is really reached: its API's host, mirrors, and whether it may be insecure.

Source: containers-registries.conf(5), version 2, of podman; "insecure-registries" of docker's daemon.json. Registries on this
machine itself (localhost, 127.0.0.0/8, ::1) may be insecure, as docker has it.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tomli

from envgit.errors import SourceError, UsageError


class Endpoint(NamedTuple):
    """`host` with port and `path`: where to ask. `insecure`: any certificate will do, and plain http when there is no TLS."""

    host: str
    path: str
    insecure: bool


class _Registry(NamedTuple):
    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: tuple[tuple[str, bool], ...]


def find_endpoints(host: str, path: str, environ: Mapping[str, str]) -> list[Endpoint]:
    """Return where to ask for the repository `host`/`path`, mirrors first.

    Raises SourceError when registries.conf blocks it, UsageError when that file is malformed.
    """
    name = f"{host}/{path}"
    matching = [one for one in _registries(environ) if _covers(one.prefix, name)]
    if not matching:
        return [_endpoint(name, is_local(host) or host in _docker_insecure())]
    found = max(matching, key=lambda one: len(one.prefix))
    if found.blocked:
        raise SourceError(f"{found.prefix} is blocked by registries.conf", hint="see containers-registries.conf(5)")
    rest = name if found.prefix.startswith("*.") else name[len(found.prefix) :]
    endpoints = [_endpoint(location + rest, insecure) for location, insecure in found.mirrors]
    target = name if found.prefix.startswith("*.") or not found.location else found.location + rest
    insecure = found.insecure or is_local(target.partition("/")[0])
    return [*endpoints, _endpoint(target, insecure)]


def is_local(host: str) -> bool:
    """Say whether a host (with or without port) is this machine."""
    name = host.rpartition("]")[0].lstrip("[") or host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _endpoint(name: str, insecure: bool) -> Endpoint:
    host, _, path = name.partition("/")
    return Endpoint("registry-1.docker.io" if host == "docker.io" else host, path, insecure)


def _covers(prefix: str, name: str) -> bool:
    if prefix.startswith("*."):
        return name.partition("/")[0].partition(":")[0].endswith(prefix[1:])
    return name == prefix or (name.startswith(prefix) and name[len(prefix)] in "/:")


def _registries(environ: Mapping[str, str]) -> Iterator[_Registry]:
    for file in _files(environ):
        try:
            with open(file, "rb") as stream:
                fields = tomli.load(stream)
        except OSError:
            continue
        except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{file}: {error}", hint="correct it; see containers-registries.conf(5)") from None
        tables = fields.get("registry")
        for table in tables if isinstance(tables, list) else ():
            if isinstance(table, dict):
                yield _registry(table, file)


def _registry(table: Mapping[str, object], file: str) -> _Registry:
    location, prefix = table.get("location", ""), table.get("prefix", "")
    mirrors: list[tuple[str, bool]] = []
    listed = table.get("mirror", [])
    for mirror in listed if isinstance(listed, list) else ():
        if isinstance(mirror, dict) and isinstance(mirror.get("location"), str):
            where = mirror["location"]
            mirrors.append((where, mirror.get("insecure") is True or is_local(where.partition("/")[0])))
    if not isinstance(location, str) or not isinstance(prefix, str) or not (prefix or location):
        raise UsageError(
            f"{file}: a [[registry]] has neither prefix nor location", hint="see containers-registries.conf(5)"
        )
    return _Registry(
        prefix or location, location, table.get("insecure") is True, table.get("blocked") is True, tuple(mirrors)
    )


def _files(environ: Mapping[str, str]) -> list[str]:
    """Return the files that apply; one that the user has stands for the system's."""
    if named := environ.get("CONTAINERS_REGISTRIES_CONF"):
        return [named]
    home = environ.get("HOME", "")
    user = (environ.get("XDG_CONFIG_HOME") or (home + "/.config" if home else "")) + "/containers/registries.conf"
    main = user if os.path.exists(user) else "/etc/containers/registries.conf"
    files = [main]
    for folder in ("/etc/containers/registries.conf.d", user + ".d"):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        files += [f"{folder}/{name}" for name in names if name.endswith(".conf")]
    return files


def _docker_insecure() -> frozenset[str]:
    try:
        with open("/etc/docker/daemon.json", "rb") as stream:
            fields = json.loads(stream.read(1024 * 1024))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    hosts = fields.get("insecure-registries") if isinstance(fields, dict) else None
    return frozenset(host for host in hosts if isinstance(host, str)) if isinstance(hosts, list) else frozenset()
