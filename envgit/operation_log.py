"""The operation log, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from envgit.repo import Repository, hex_or_none
from envgit.store.operations import iter_operations


class OperationEntry(NamedTuple):
    number: int
    time: int
    offset: str
    command: str
    refs: tuple[tuple[str, str | None, str | None], ...]
    head: tuple[str, str] | None
    current: bool


def read_operations(repo: Repository, limit: int | None = None) -> Iterator[OperationEntry]:
    """Yield the recorded operations, newest first, at most `limit`."""
    for index, operation in enumerate(iter_operations(repo.git_dir)):
        if limit is not None and index >= limit:
            return
        yield OperationEntry(
            number=operation.number,
            time=operation.seconds,
            offset=operation.offset,
            command=" ".join(operation.command),
            refs=tuple((name, hex_or_none(old), hex_or_none(new)) for name, old, new in operation.refs),
            head=operation.head,
            current=index == 0,
        )
