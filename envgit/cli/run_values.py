"""The smaller values among docker's options of a run: security options, labels, log options."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from envgit.errors import UsageError


class SecurityOptions(NamedTuple):
    """`seccomp`: "" for the built-in filter, "unconfined", or the absolute path of a profile."""

    seccomp: str = ""
    new_privileges: bool = False
    nested_namespaces: bool = False


class LogOptions(NamedTuple):
    most_bytes: int = 10 << 20
    most_files: int = 3


_TRUE, _FALSE = ("", "true", "1", "yes"), ("false", "0", "no")
_OPTIONS = "seccomp=FILE, seccomp=unconfined, no-new-privileges[=false], nested-namespaces"


def parse_security_options(texts: Iterable[str]) -> SecurityOptions:
    """Parse --security-opt in docker's spellings (`=` or `:`). Raises UsageError."""
    found = SecurityOptions()
    for text in texts:
        name, _, value = text.partition("=" if "=" in text else ":")
        if name == "seccomp" and value:
            plain = value if value == "unconfined" else "" if value == "builtin" else os.path.abspath(value)
            found = found._replace(seccomp=plain)
        elif name == "no-new-privileges" and value in _TRUE + _FALSE:
            found = found._replace(new_privileges=value in _FALSE)
        elif name == "nested-namespaces" and value in _TRUE + _FALSE:
            found = found._replace(nested_namespaces=value in _TRUE)
        elif name in ("label", "apparmor"):
            raise UsageError(f"--security-opt {text}: envgit sets no {name} profile", hint=f"one of: {_OPTIONS}")
        else:
            raise UsageError(f"--security-opt {text!r} is unknown", hint=f"one of: {_OPTIONS}")
    return found


def parse_labels(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Parse NAME[=VALUE] words; a later one of a name counts."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name:
            raise UsageError(f"{text!r} is not a label", hint="--label NAME=VALUE")
        found[name] = value
    return tuple(found.items())


def parse_log_options(texts: Iterable[str]) -> LogOptions:
    """Parse --log-opt max-size=SIZE and max-file=N. Raises UsageError."""
    found = LogOptions()
    for text in texts:
        name, _, value = text.partition("=")
        if name == "max-size":
            from envgit.exec.cgroups.limits import parse_size

            found = found._replace(most_bytes=max(4096, parse_size(value, "--log-opt max-size=")))
        elif name == "max-file" and value.isascii() and value.isdigit() and 1 <= int(value) <= 1000:
            found = found._replace(most_files=int(value))
        else:
            raise UsageError(f"--log-opt {text!r} is unknown", hint="--log-opt max-size=10m --log-opt max-file=3")
    return found
