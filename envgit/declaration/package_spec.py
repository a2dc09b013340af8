"""How each package manager's packages are written in a declaration."""

from __future__ import annotations

import re
from collections.abc import Mapping

from envgit.light_typing import NamedTuple

from .values import Manager

_LINE = r"[^\u0000-\u001f\u007f]+"


class SpecGrammar(NamedTuple):
    """`pattern`: of the whole, its first group is the name and its second the constraint. No name begins with a dash."""

    pattern: str
    meaning: str
    examples: tuple[str, ...]


GRAMMARS: Mapping[Manager, SpecGrammar] = {
    "apt": SpecGrammar(
        r"([a-z0-9](?:[a-z0-9+.-]*[a-z0-9+.])?(?::[a-z0-9-]+)?)((?:=[A-Za-z0-9.+~:*-]+|/[A-Za-z0-9._-]+)?)",
        "a Debian package: NAME, NAME=VERSION, NAME/SUITE",
        ("postgresql", "curl=7.*", "libc6:i386", "git/bookworm-backports"),
    ),
    "apk": SpecGrammar(
        r"([A-Za-z0-9_][A-Za-z0-9_.+-]*)((?:(?:[<>]=?|=|~=?)[A-Za-z0-9._-]+)?(?:@[A-Za-z0-9_-]+)?)",
        "an Alpine package: NAME, NAME=VERSION, NAME~VERSION",
        ("nginx", "curl~8.5", "build-base"),
    ),
    "dnf": SpecGrammar(
        r"(@?[A-Za-z0-9_][A-Za-z0-9_.+-]*)((?:=[A-Za-z0-9._+~^:*-]+)?)",
        "an RPM package or @group: NAME, NAME=VERSION",
        ("httpd", "curl=8.*", "@development-tools"),
    ),
    "pip": SpecGrammar(
        r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
        rf"((?: *\[[A-Za-z0-9._, -]*\])?(?: *(?:===?|~=|!=|<=?|>=?|@|;){_LINE})?)",
        "a requirement of Python: NAME, NAME==VERSION, NAME[EXTRA]>=VERSION",
        ("flask==3.*", "uvicorn[standard]>=0.30,<1"),
    ),
    "npm": SpecGrammar(
        rf"((?:@[a-z0-9~][a-z0-9._~-]*/)?[A-Za-z0-9][A-Za-z0-9._~-]*)((?:@{_LINE})?)",
        "an npm package: NAME, NAME@RANGE, @SCOPE/NAME",
        ("typescript@^5", "@angular/cli"),
    ),
}


def split_spec(manager: Manager, text: str) -> tuple[str, str]:
    """Return name (pip: normalised, https://peps.python.org/pep-0503/) and constraint. Raises ValueError."""
    match = re.fullmatch(GRAMMARS[manager].pattern, text)
    if match is None:
        raise ValueError(f"not {GRAMMARS[manager].meaning}")
    name = re.sub(r"[-_.]+", "-", match[1]).lower() if manager == "pip" else match[1]
    return name, match[2].strip()
