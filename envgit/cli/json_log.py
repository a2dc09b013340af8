"""Commits as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .commit_text import subject
from .dates import format_date
from .json_output import message_text, write_json
from .screen import Screen

if TYPE_CHECKING:
    from envgit.log import LogEntry
    from envgit.store.objects import Signature


def _person(who: Signature) -> dict[str, Any]:
    return {
        "name": message_text(who.name),
        "email": message_text(who.email),
        "date": format_date(who.seconds, who.offset.decode("ascii"), "iso-strict", 0),
        "time": who.seconds,
    }


def commit_fields(entry: LogEntry) -> dict[str, Any]:
    """Return one commit; `message` is as it was written, without envgit's trailers."""
    return {
        "oid": entry.oid,
        "tree": entry.commit.tree.hex(),
        "parents": list(entry.parents),
        "author": _person(entry.commit.author),
        "committer": _person(entry.commit.committer),
        "subject": message_text(subject(entry.commit)),
        "message": message_text(entry.commit.message),
        "refs": list(entry.decorations),
    }


def write_log_json(screen: Screen, entries: Iterable[LogEntry]) -> None:
    write_json(screen, {"commits": [commit_fields(entry) for entry in entries]})
