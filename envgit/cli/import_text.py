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
    content = f"{_layers(result)}{content}, {human_bytes(result.bytes)}"
    if result.layers and result.reused_layers == result.layers:
        content = f"{count_of(result.layers, 'layer')}, all here already"
    if result.dry_run:
        out.line(f"would import {content}; nothing was recorded")
    else:
        where = out.safe(result.branch or "detached HEAD")
        out.line(f"[{where} {result.oid[:7]}] {out.safe(result.subject)}")
        nothing = "; nothing had to be recorded" if not result.operation else ""
        out.line(f" {content}; {human_bytes(result.stored_bytes)} stored{nothing}")
    say_left_out(session, result)


def _layers(result: ImportResult) -> str:
    if not result.layers:
        return ""
    here = f" ({result.reused_layers:,} here already)" if result.reused_layers else ""
    return f"{count_of(result.layers, 'layer')}{here}, "


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
