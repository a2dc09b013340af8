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
    from envgit.signing.verdict import Verdict
    from envgit.store.objects import Signature

    from .commit_text import TextOptions


def _person(who: Signature) -> dict[str, Any]:
    return {
        "name": message_text(who.name),
        "email": message_text(who.email),
        "date": format_date(who.seconds, who.offset.decode("ascii"), "iso-strict", 0),
        "time": who.seconds,
    }


def verdict_fields(verdict: Verdict) -> dict[str, str]:
    """Return what the check of a signature found: state, signer, key, detail."""
    return {
        name: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for name, value in verdict._asdict().items()
    }


def commit_fields(entry: LogEntry, style: TextOptions | None = None) -> dict[str, Any]:
    """Return one commit; `message` is as it was written, without envgit's trailers. With --show-signature also the verdict."""
    signature = (
        {"signature": verdict_fields(style.read_verdict(entry.oid))}
        if style is not None and style.show_signature and style.read_verdict is not None
        else {}
    )
    return {
        "oid": entry.oid,
        "tree": entry.commit.tree.hex(),
        "parents": list(entry.parents),
        "cut": entry.cut,
        "author": _person(entry.commit.author),
        "committer": _person(entry.commit.committer),
        "subject": message_text(subject(entry.commit)),
        "message": message_text(entry.commit.message),
        "refs": list(entry.decorations),
        **signature,
    }


def write_log_json(screen: Screen, entries: Iterable[LogEntry], style: TextOptions) -> None:
    write_json(screen, {"commits": [commit_fields(entry, style) for entry in entries]})
