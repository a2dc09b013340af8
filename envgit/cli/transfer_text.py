"""What fetch, pull, clone and push say about refs, a line each, as git does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from .escape import count_of, human_bytes
from .session import Session

if TYPE_CHECKING:
    from envgit.fetch import FetchResult, RefChange
    from envgit.push import PushedRef, PushResult

_PREFIXES: Final = ("refs/heads/", "refs/tags/", "refs/remotes/")
_WIDTH: Final = 17


def say_fetch(session: Session, result: FetchResult, *, verbose: bool = False) -> None:
    """Print what moved, and on standard error how much came."""
    shown = [change for change in result.changes if verbose or change.kind != "same"]
    if shown:
        session.out.line(f"From {session.out.safe(result.url)}")
    for change in shown:
        session.out.line(_fetch_line(session, change))
    if result.objects:
        session.say(f"received {count_of(result.objects, 'object')}, {_amount(result.bytes, result.seconds)}")


def say_push(session: Session, result: PushResult) -> None:
    """Print what became of each ref there."""
    out = session.out
    if all(ref.kind == "same" for ref in result.refs):
        out.line("Everything up-to-date")
    else:
        out.line(f"To {out.safe(result.url)}")
        for ref in result.refs:
            out.line(_push_line(session, ref))
    for branch, name in result.followed:
        out.line(out.safe(f"{branch} follows {result.remote}/{short_ref(name)} now"))
    for ref in result.refs:
        if ref.kind == "forced" and ref.old and session.repo.objects.contains(ref.old):
            back = f"{ref.old.hex()[:12]}:{short_ref(ref.name) if ref.name.startswith('refs/heads/') else ref.name}"
            session.say(
                out.safe(f"hint: to what it was there: envgit push --force {result.remote or result.url} {back}")
            )


def say_rejected(session: Session, result: PushResult, *, forced: bool, listed: bool) -> None:
    """Print on standard error what was rejected, unless `listed` already, and what to do about it."""
    out = session.out
    for ref in result.rejected:
        if not listed:
            session.say(_push_line(session, ref))
    hints = dict.fromkeys(filter(None, (_hint_of(result, ref, forced=forced) for ref in result.rejected)))
    for hint in hints:
        session.say(out.safe(f"hint: {hint}"))


def _hint_of(result: PushResult, ref: PushedRef, *, forced: bool) -> str:
    """Return the way out for one refused ref, "" where the reason says it all."""
    place = result.remote or result.url
    name = short_ref(ref.name)
    theirs = f"{result.remote}/{name}" if result.remote else "FETCH_HEAD"
    fetch = f"envgit fetch {result.remote}" if result.remote else f"envgit fetch {result.url} {name}"
    if "stale info" in ref.reason:
        return f"see what is there, then push again: {fetch}; envgit log {theirs}"
    if "checked out" in ref.reason:
        return (
            f"push to another branch, and let who works there take it: envgit push {place} {short_ref(ref.source)}:NAME"
        )
    if forced and "fast-forward" in ref.reason:
        return "the repository there forbids it (receive.denyNonFastForwards): ask its owner, or push to another branch"
    if "fetch first" in ref.reason or "fast-forward" in ref.reason:
        ours = short_ref(ref.source)
        return f"see what is there: {fetch}, then envgit log {ours}..{theirs}; envgit pull {place} {name} moves ahead to it"
    return ""


def _fetch_line(session: Session, change: RefChange) -> str:
    source = short_ref(change.source) or "(none)"
    target = short_ref(change.name) if change.name else "FETCH_HEAD"
    return _line(
        session, change.kind, change.old, change.new, change.source or change.name, source, target, change.reason
    )


def _push_line(session: Session, ref: PushedRef) -> str:
    source, target = short_ref(ref.source), short_ref(ref.name)
    return _line(session, ref.kind, ref.old, ref.new, ref.name, source or "(delete)", target, ref.reason)


def _line(
    session: Session, kind: str, old: bytes | None, new: bytes | None, full: str, source: str, target: str, reason: str
) -> str:
    out = session.out
    noun = "tag" if full.startswith("refs/tags/") else "branch" if full.startswith("refs/heads/") else "ref"
    before, after = (old or b"").hex()[:7], (new or b"").hex()[:7]
    mark, what = {
        "new": ("*", f"[new {noun}]"),
        "forward": (" ", f"{before}..{after}"),
        "forced": ("+", f"{before}...{after}"),
        "same": ("=", "[up to date]"),
        "deleted": ("-", "[deleted]"),
        "pruned": ("-", "[deleted]"),
        "rejected": ("!", "[rejected]"),
        "fetched": ("*", noun),
    }[kind]
    name = target if kind in ("deleted", "pruned") else f"{source} -> {target}"
    note = f" ({reason})" if reason else " (forced update)" if kind == "forced" else ""
    return f" {mark} {what:{_WIDTH}} {out.safe(name)}{out.safe(note)}"


def short_ref(name: str) -> str:
    """Return the name of a ref as people say it."""
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _amount(size: int, seconds: float) -> str:
    rate = f" ({human_bytes(int(size / seconds))}/s)" if seconds > 0.5 else ""
    return human_bytes(size) + rate


def ref_fields(refs: Iterable[RefChange | PushedRef]) -> list[dict[str, Any]]:
    """Return refs for JSON: ids as 40 hexadecimal digits or null."""
    return [
        {
            "source": ref.source,
            "name": ref.name,
            "old": ref.old.hex() if ref.old else None,
            "new": ref.new.hex() if ref.new else None,
            "kind": ref.kind,
            "reason": ref.reason,
        }
        for ref in refs
    ]
