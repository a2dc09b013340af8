"""Another name for a sandbox; running or not, it stays the same one."""

from __future__ import annotations

from envgit.repo import Repository
from envgit.sandbox.names import check_name
from envgit.sandbox.registry import (
    Found,
    check_name_free,
    find_sandbox,
    names_locked,
    names_taken,
    read_record,
    write_record,
)


def rename_sandbox(repo: Repository, word: str, name: str) -> Found:
    """Return the sandbox as it was before. Raises UnknownSandbox, InvalidName, Conflict when the name is taken."""
    check_name(name)
    with names_locked(repo):
        found = find_sandbox(repo, word)
        check_name_free(repo, name, names_taken(repo))
        record = read_record(repo, found.id)
        write_record(repo, record._replace(name=name, request=record.request._replace(name=name)))
    return found
