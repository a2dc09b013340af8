"""Checkout as checkout, switch and the fast lane say it. Without click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envgit.errors import UsageError

from .session import Session

if TYPE_CHECKING:
    from envgit.checkout import CheckoutResult


def switch_and_say(
    session: Session,
    words: tuple[str, ...],
    create: str | None,
    force_create: str | None,
    detach: bool,
    quiet: bool,
) -> None:
    """Check out what `words` and the options name, and say the new state and the way back."""
    from envgit.checkout import checkout

    if create and force_create:
        raise UsageError("there can be one new branch only", hint="use either -b or -B")
    if len(words) > 1:
        raise UsageError("at most one revision makes sense", hint=f"paths go after --: {words[0]} -- {words[1]}")
    if not (words or create or force_create or detach):
        raise UsageError("which branch or revision?", hint="envgit branch lists them; -b NAME creates one")
    result = checkout(
        session.repo,
        words[0] if words else None,
        create=create or force_create,
        force_create=force_create is not None,
        detach=detach,
    )
    if not quiet:
        _say_switch(session, result)


def _say_switch(session: Session, result: CheckoutResult) -> None:
    out = session.out
    if result.branch is None:
        verb_text = "Already at" if result.already else "HEAD is now at"
        out.line(f"{verb_text} {out.paint('yellow', (result.oid or '')[:7])} (detached)")
    elif result.already:
        out.line(f"Already on '{out.safe(result.branch)}'")
    else:
        kind = "a new branch" if result.created else "branch"
        at = f" at {out.paint('yellow', result.oid[:7])}" if result.oid else " (no commits yet)"
        out.line(f"Switched to {kind} '{out.safe(result.branch)}'{at}")
    if result.carried:
        out.line("Uncommitted changes came along (envgit status).")
    elif result.uncommitted and not result.already:
        out.line("It has uncommitted changes from before (envgit status).")
    if not result.already:
        session.say("hint: to go back: envgit checkout -" if result.previous else "hint: take it back: envgit undo")
