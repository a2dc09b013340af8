"""From what the user typed to an open way there."""

from __future__ import annotations

import os
from typing import Literal

from envgit.errors import UsageError
from envgit.remotes.configuration import Remote, find_remote, list_remotes, read_upstream, require_remote
from envgit.repo import Repository
from envgit.transfer.address import Address, parse_address
from envgit.transfer.local_path import open_local
from envgit.transfer.transport import Transport, asked_program, open_transport

REGISTRY_PREFIX = "docker://"


def choose_remote(repo: Repository, word: str | None) -> Remote:
    """Return the remote that a word names: one of the configuration, or an address, which has no name and no refspecs.

    Without a word: what the current branch follows, else the only remote, else origin. Raises UnknownRemote, BadAddress,
    UsageError when there is none.
    """
    if word is None:
        return _default_remote(repo)
    found = find_remote(repo, word)
    if found is not None:
        return found
    if not _looks_like_address(word):
        return require_remote(repo, word)
    url = parse_place(word, os.getcwd()).url
    return Remote("", url, url, ())


def parse_place(text: str, folder: str) -> Address:
    """Return what a user typed as an address: of a git repository, or `docker://NAME` of a history in a registry."""
    if text.startswith(REGISTRY_PREFIX):
        from envgit.transfer.registry.transport import registry_address

        return registry_address(text)
    return parse_address(text, folder)


def address_of(repo: Repository, url: str) -> Address:
    """Return where a remote is. Relative paths of the configuration start at the project's folder."""
    return parse_place(url, repo.project)


def open_way(repo: Repository, address: Address, purpose: Literal["fetch", "push"]) -> Transport:
    """Return the quickest way to an address that keeps every promise: links for a folder of this user, else git's protocol."""
    if address.kind == "registry":
        from envgit.transfer.registry.transport import RegistryTransport

        return RegistryTransport(repo.git_dir, address, repo.environ, repo.monitor)

    asked_program(repo.environ)  # what is wrong there is wrong for all ways

    def by_protocol() -> Transport:
        return open_transport(repo.git_dir, address, repo.environ, repo.monitor)

    short = open_local(
        repo.git_dir,
        address,
        repo.environ,
        repo.monitor,
        purpose=purpose,
        committer=repo.committer,
        otherwise=by_protocol,
    )
    return short or by_protocol()


def _default_remote(repo: Repository) -> Remote:
    branch = repo.branch_name()
    upstream = read_upstream(repo, branch) if branch else None
    if upstream is not None and upstream.remote != ".":
        return require_remote(repo, upstream.remote)
    remotes = list_remotes(repo)
    if not remotes:
        raise UsageError(
            "there is no remote yet", hint="add one: envgit remote add origin URL; then envgit push or fetch"
        )
    if len(remotes) == 1:
        return remotes[0]
    return require_remote(repo, "origin")


def _looks_like_address(word: str) -> bool:
    return "/" in word or ":" in word or word in (".", "..") or os.path.exists(word)
