"""Which names refs may have (git-check-ref-format(1))."""

from __future__ import annotations

import re

from envgit.errors import InvalidName

_BAD = re.compile(
    r"""(?x) [\x00-\x20\x7f~^:?*\[\\]   # control characters, space and what revision syntax uses
    | \.\. | @\{ | //                   # ranges, reflogs, empty components
    | (?:^|/)\.                         # a component that starts with a full stop
    | \.lock(?:/|\Z) | \.\Z | /\Z | ^/ | ^@\Z"""
)
_PSEUDO = re.compile(r"[A-Z][A-Z_]*\Z")
NAME_MAX_BYTES = 240
"""Of one component: `.lock` is appended to it, and file systems end at 255."""


def is_ref_name(name: str) -> bool:
    """Whether `name` is a full ref name: below `refs/`, or a pseudo-ref such as HEAD."""
    if _PSEUDO.match(name):
        return True
    return name.startswith("refs/") and not _BAD.search(name)


def check_ref_name(name: str) -> str:
    """Return a full ref name below `refs/`; raises InvalidName."""
    if not name.startswith("refs/") or _BAD.search(name):
        raise InvalidName(f"{name!r} is not a valid ref name", hint="see 'git help check-ref-format'")
    if any(len(part.encode("utf-8", "surrogateescape")) > NAME_MAX_BYTES for part in name.split("/")):
        raise InvalidName(f"{name[:40]!r}... is too long for a ref name")
    return name


def check_branch_name(name: str) -> str:
    """Return the full ref name of a branch; raises InvalidName as `git check-ref-format --branch` does."""
    if not name or name.startswith("-") or name in ("HEAD", "@") or _BAD.search(name):
        raise InvalidName(f"{name!r} is not a valid branch name", hint="see 'git help check-ref-format'")
    return check_ref_name("refs/heads/" + name)


def check_tag_name(name: str) -> str:
    """Return the full ref name of a tag; raises InvalidName."""
    if not name or name.startswith("-") or name == "HEAD" or _BAD.search(name):
        raise InvalidName(f"{name!r} is not a valid tag name", hint="see 'git help check-ref-format'")
    return check_ref_name("refs/tags/" + name)
