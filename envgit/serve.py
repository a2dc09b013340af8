"""Serve: offer the branches and tags to others on the network, to be read only."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable
from threading import Lock
from typing import Final, NamedTuple

from envgit.errors import UsageError
from envgit.repo import Repository
from envgit.serving.git_upload_pack import GitUploadPack
from envgit.serving.http_server import GitHttpServer, Served
from envgit.serving.public_history import PublicHistory
from envgit.serving.upload_pack import UploadPack

DEFAULT_BIND: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8418
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
_EVERYWHERE: Final = ("0.0.0.0", "::", "")
_ELSEWHERE: Final = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("2001:db8::1", 9)}
"""Addresses of documentation (RFC 5737, RFC 3849): asking for the way there sends nothing."""
_LOOPBACK: Final = re.compile(r"(localhost|127\..*|::1)\Z")


class Serving(NamedTuple):
    """Where it is offered. `local`: to this machine only. `program` makes the packs."""

    url: str
    local: bool
    branches: int
    tags: int
    program: str


class ServeResult(NamedTuple):
    """What was served until it was stopped."""

    answers: int
    refused: int
    bytes: int


def serve(
    repo: Repository,
    *,
    bind: str = DEFAULT_BIND,
    port: int = DEFAULT_PORT,
    name: str | None = None,
    program: str | None = None,
    ready: Callable[[Serving], None] = lambda serving: None,
    tell: Callable[[Served], None] = lambda served: None,
) -> ServeResult:
    """Answer git's fetch protocol over HTTP until SIGINT or SIGTERM. Nobody is asked who they are; nothing is written.

    `bind`: an address of this machine; `port` 0 takes a free one; `name`: the path (the project's name by default).
    `program`: "git", or "dulwich" for all without git (None: ENVGIT_GIT, else git when it is installed). `ready` is called when
    clients can come, `tell` for every pack, one call at a time. Raises UsageError.
    """
    name = _check_name(name or _default_name(repo.project))
    history = PublicHistory(repo.git_dir)
    upload_pack = _choose(repo, program or repo.environ.get("ENVGIT_GIT"))
    counts = [0, 0, 0]
    lock = Lock()

    def hear(served: Served) -> None:
        with lock:
            counts[0] += not served.problem
            counts[1] += bool(served.problem)
            counts[2] += served.bytes
            tell(served)

    try:
        server = GitHttpServer((bind, port), name, history, upload_pack, hear)
    except (OSError, OverflowError) as error:
        hint = "another one: --port N; any that is free: --port 0; addresses of this machine: ip address"
        raise UsageError(
            f"cannot listen at {bind} port {port}: {getattr(error, 'strerror', None) or error}", hint=hint
        ) from None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        public = history.look()
        tags = sum(each.startswith("refs/tags/") for each in public.refs)
        host = reachable_host(bind, server.address_family)
        url = f"http://{f'[{host}]' if ':' in host else host}:{server.server_address[1]}/{name}"
        ready(Serving(url, bool(_LOOPBACK.match(bind)), len(public.refs) - tags, tags, upload_pack.program))
        server.serve_forever(poll_interval=0.5)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        server.server_close()
        upload_pack.stop()
    with lock:
        return ServeResult(*counts)


def reachable_host(bind: str, family: int) -> str:
    """Return what others call this machine: the address on the way out when it listens everywhere."""
    if bind not in _EVERYWHERE:
        return bind
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE[socket.AddressFamily(family)])
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _choose(repo: Repository, program: str | None) -> UploadPack:
    if program not in (None, "", "git", "dulwich"):
        raise UsageError(f"{program!r} cannot serve", hint="git or dulwich")
    git = None if program == "dulwich" else shutil.which("git", path=repo.environ.get("PATH"))
    if git is not None:
        return GitUploadPack(git, repo.git_dir, repo.environ)
    if program == "git":
        raise UsageError("git was not found", hint="sudo apt install git; or: ENVGIT_GIT=dulwich")
    from envgit.serving.own_upload_pack import OwnUploadPack

    return OwnUploadPack(repo.git_dir)


def _default_name(project: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(project)).strip("-.")
    return name[:100] or "environment"


def _check_name(name: str) -> str:
    name = name.removesuffix(".git")
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be part of an address", hint="letters, digits, '.', '_' and '-': --export-name lab"
        )
    return name
