"""What a pattern cannot say about a text: checks that return it as it is kept, or raise ValueError(message, hint)."""

from __future__ import annotations

SANDBOX_LABEL = "envgit.sandbox"
"""Carries what [sandbox] asks for."""


def normal_directory(path: str) -> str:
    """Return an absolute path without empty parts, "." and a last slash."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("'..' is not resolved in a path of the environment", f'write where it is: "/{parts[0]}/..."')
    return "/" + "/".join(parts)


def normal_target(path: str) -> str:
    """Return an absolute path as normal_directory does, with a slash at its end when it has one."""
    plain = normal_directory(path)
    return plain + "/" if path.endswith(("/", "/.")) and plain != "/" else plain


def ports_of(text: str) -> str:
    """Return a port or a range of ports with its protocol: "8080/tcp", "8000-8010/udp"."""
    numbers, _, protocol = text.partition("/")
    ends = [int(number) for number in numbers.split("-")]
    if not all(1 <= end <= 65535 for end in ends) or ends[0] > ends[-1]:
        raise ValueError(f"{text!r} is no port", 'from 1 to 65535, as in 8080, "53/udp", "8000-8010"')
    return "-".join(str(end) for end in ends) + "/" + (protocol or "tcp")


def refuse_own_label(name: str) -> str:
    """Return a label's name unless envgit itself sets it."""
    if name == SANDBOX_LABEL:
        raise ValueError("this label is set by envgit", "say it in [sandbox]")
    return name
