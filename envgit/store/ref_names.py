"""Which names refs may have (git-check-ref-format(1))."""

from __future__ import annotations

from envgit.errors import InvalidName

_FORBIDDEN = frozenset(map(chr, range(0x21))) | frozenset("\x7f~^:?*[\\")
"""Control characters, space, and what revision syntax uses."""

NAME_MAX_BYTES = 240
"""Of one component: `.lock` is appended to it, and file systems end at 255."""

NAME_MAX_PARTS = 64
FULL_NAME_MAX_BYTES = 1024
"""Of a whole name: it is a path below the repository, once more below logs/, and paths end at 4,096."""


def is_ref_name(name: str) -> bool:
    """Whether `name` is a full ref name: below `refs/`, or a pseudo-ref such as HEAD."""
    letters = name.replace("_", "A")
    if letters.isascii() and letters.isalpha() and letters.isupper() and name[0] != "_":
        return True
    return name.startswith("refs/") and not _is_malformed(name)


def check_ref_name(name: str) -> str:
    """Return a full ref name below `refs/`; raises InvalidName."""
    if not name.startswith("refs/") or _is_malformed(name):
        raise InvalidName(f"{name!r} is not a valid ref name", hint="see 'git help check-ref-format'")
    if not is_keepable(name):
        raise InvalidName(f"{name[:40]!r}... is too long for a ref name")
    return name


def is_keepable(name: str, growth: int = 0) -> bool:
    """Whether a ref name is short enough for a file, also when it grows by so many bytes."""
    data = name.encode("utf-8", "surrogateescape")
    parts = data.split(b"/")
    too_long = len(data) + growth > FULL_NAME_MAX_BYTES or len(parts) > NAME_MAX_PARTS
    return not too_long and max(map(len, parts)) <= NAME_MAX_BYTES


def check_branch_name(name: str) -> str:
    """Return the full ref name of a branch; raises InvalidName as `git check-ref-format --branch` does."""
    if not name or name.startswith("-") or name in ("HEAD", "@") or _is_malformed(name):
        raise InvalidName(f"{name!r} is not a valid branch name", hint="see 'git help check-ref-format'")
    return check_ref_name("refs/heads/" + name)


def check_tag_name(name: str) -> str:
    """Return the full ref name of a tag; raises InvalidName."""
    if not name or name.startswith("-") or name == "HEAD" or _is_malformed(name):
        raise InvalidName(f"{name!r} is not a valid tag name", hint="see 'git help check-ref-format'")
    return check_ref_name("refs/tags/" + name)


def _is_malformed(name: str) -> bool:
    """Whether a name breaks a rule that holds for every ref: no expressions, ranges or reflogs (`@{`), no odd components."""
    if not _FORBIDDEN.isdisjoint(name) or ".." in name or "@{" in name or name == "@" or name.endswith("."):
        return True
    return any(not part or part.startswith(".") or part.endswith(".lock") for part in name.split("/"))
