"""What init and import say about what came in and what did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .escape import count_of, human_bytes, quote_path
from .session import Session

if TYPE_CHECKING:
    from envgit.import_environment import ImportResult

_LEFT_OUT_SHOWN: Final = 12


def say_import(session: Session, result: ImportResult) -> None:
    """Print the new commit and, on standard error, everything that was left out, grouped by reason."""
    out = session.out
    content = f"{count_of(result.files, 'file')}, {count_of(result.directories, 'directory', 'directories')}"
    if result.dry_run:
        out.line(f"would import {content}, {human_bytes(result.bytes)}; nothing was recorded")
    else:
        where = out.safe(result.branch or "detached HEAD")
        out.line(f"[{where} {result.oid[:7]}] {out.safe(result.subject)}")
        out.line(f" {content}, {human_bytes(result.bytes)}; {human_bytes(result.stored_bytes)} stored")
    say_left_out(session, result)


def say_left_out(session: Session, result: ImportResult) -> None:
    """Group what was left out by reason; a few names of each."""
    reasons: dict[str, list[bytes]] = {}
    for path, reason in result.left_out:
        reasons.setdefault(reason, []).append(path)
    for reason, paths in reasons.items():
        session.say(f"left out: {count_of(len(paths), 'path')}: {reason}")
        for path in paths[:_LEFT_OUT_SHOWN]:
            session.say(f"    {quote_path(path)}")
        if len(paths) > _LEFT_OUT_SHOWN:
            session.say(f"    and {len(paths) - _LEFT_OUT_SHOWN:,} more")
