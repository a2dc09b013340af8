"""Refspecs: which refs of one side become which of the other (gitglossary(7), "refspec")."""

from __future__ import annotations

from typing import NamedTuple

from envgit.errors import UsageError
from envgit.store.ref_names import is_ref_name

_HEADS, _TAGS = "refs/heads/", "refs/tags/"


class Refspec(NamedTuple):
    """Full names; with `*` in both sides a whole folder. `source` "" deletes, `destination` "" fetches without keeping a ref."""

    force: bool
    source: str
    destination: str

    def map(self, name: str) -> str | None:
        """Return what a ref of the source side is called on the other; None when the refspec is not about it."""
        if "*" not in self.source:
            return self.destination if name == self.source else None
        head, _, tail = self.source.partition("*")
        if len(name) < len(head) + len(tail) or not name.startswith(head) or not name.endswith(tail):
            return None
        return self.destination.replace("*", name[len(head) : len(name) - len(tail)], 1)

    def __str__(self) -> str:
        return ("+" if self.force else "") + f"{self.source}:{self.destination}"


def parse_fetch_refspec(text: str) -> Refspec:
    """Parse `[+]SOURCE[:DESTINATION]`. A short source is a branch's name, or `tags/NAME`. Raises UsageError."""
    force, source, destination, _ = _split(text)
    if not source:
        raise UsageError(f"the refspec {text!r} says not what to fetch", hint="such as: envgit fetch origin main")
    return _checked(text, Refspec(force, _full(source), _full(destination) if destination else ""))


def parse_push_refspec(text: str) -> Refspec:
    """Parse `[+]SOURCE[:DESTINATION]`, `:DESTINATION` for deleting.

    A source may be any revision, and is kept as typed; a short destination is made full by the caller, who knows what the source
    is. Raises UsageError.
    """
    force, source, destination, has_colon = _split(text)
    if has_colon and not destination:
        raise UsageError(f"the refspec {text!r} says not what to push to", hint="such as: envgit push origin main:main")
    return Refspec(force, source, destination)


def full_destination(destination: str, source: str) -> str:
    """Return the full name of a push's short destination: of the kind that the source's full name is, else a branch.

    Raises UsageError for what no server may be asked to change.
    """
    kind = _TAGS if source.startswith(_TAGS) else _HEADS
    name = destination if destination.startswith("refs/") else kind + destination
    if not is_ref_name(name):
        raise UsageError(f"{destination!r} is no name of a branch or tag", hint="such as: envgit push origin main:main")
    _refuse_head(name)
    if name.startswith("refs/envgit/"):
        raise UsageError(
            f"{name} is of this repository alone and is not shared",
            hint="push branches and tags: envgit push origin main",
        )
    return name


def _split(text: str) -> tuple[bool, str, str, bool]:
    force = text.startswith("+")
    source, colon, destination = text.removeprefix("+").partition(":")
    if ":" in destination:
        raise UsageError(f"the refspec {text!r} has more than one colon", hint="it is [+]SOURCE:DESTINATION")
    return force, source, destination, bool(colon)


def _full(name: str) -> str:
    if name.startswith("refs/") or name == "HEAD":
        return name
    return "refs/" + name if name.startswith(("heads/", "tags/", "remotes/")) else _HEADS + name


def _refuse_head(name: str) -> None:
    if name in ("HEAD", _HEADS + "HEAD", _TAGS + "HEAD"):
        raise UsageError(
            f"{name} cannot be a destination: HEAD is what is checked out", hint="name a branch, such as main:copy"
        )


def _checked(text: str, refspec: Refspec) -> Refspec:
    _refuse_head(refspec.destination)
    sides = [side for side in (refspec.source, refspec.destination) if side and side != "HEAD"]
    stars = [side.count("*") for side in sides]
    if any(not is_ref_name(side.replace("*", "x", 1)) for side in sides) or max(stars, default=0) > 1:
        raise UsageError(
            f"{text!r} is no refspec", hint="it is [+]SOURCE:DESTINATION, such as +refs/heads/*:refs/remotes/origin/*"
        )
    if refspec.destination and len(set(stars)) > 1:
        raise UsageError(f"the refspec {text!r} has a * on one side only", hint="give it on both sides, or on none")
    if refspec.destination.startswith("refs/envgit/") or refspec.source.startswith("refs/envgit/"):
        raise UsageError(f"{text!r}: refs/envgit/ is of one repository alone", hint="fetch branches and tags")
    return refspec
