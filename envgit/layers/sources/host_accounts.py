"""The accounts of a fresh system: base-passwd's masters, never this machine's users."""

from __future__ import annotations

from typing import NamedTuple

from envgit.layers.sources.dpkg_info import read_lines

_SHADOW_GROUP = 42
_APT = b"_apt"


class Accounts(NamedTuple):
    """Contents for /etc, and the ids that they name."""

    files: dict[bytes, tuple[bytes, int, int]]
    """Path to (content, mode, group id)."""
    uids: frozenset[int]
    gids: frozenset[int]


def make_accounts(root: str, changed_day: int) -> Accounts:
    """Return the account files from the masters below `root`: every account locked, passwords in shadow.

    `_apt` is added under this machine's id where apt's own script made it (before base-passwd had it).
    """
    users = _master(root, "passwd.master", 7)
    groups = _master(root, "group.master", 4)
    if users and not any(user[0] == _APT for user in users):
        for line in read_lines(f"{root}/etc/passwd"):
            fields = line.split(b":")
            if fields[0] == _APT and len(fields) == 7 and fields[2].isdigit():
                users.append([_APT, b"*", fields[2], b"65534", b"", b"/nonexistent", b"/usr/sbin/nologin"])
    day = str(changed_day).encode()
    passwd = [b":".join([user[0], b"x", *user[2:]]) for user in users]
    shadow = [b"%b:*:%b:0:99999:7:::" % (user[0], day) for user in users]
    group = [b":".join([entry[0], b"x", *entry[2:]]) for entry in groups]
    gshadow = [b"%b:*::%b" % (entry[0], entry[3]) for entry in groups]
    return Accounts(
        {
            b"etc/passwd": (_text(passwd), 0o644, 0),
            b"etc/group": (_text(group), 0o644, 0),
            b"etc/shadow": (_text(shadow), 0o640, _SHADOW_GROUP),
            b"etc/gshadow": (_text(gshadow), 0o640, _SHADOW_GROUP),
        },
        frozenset(int(user[2]) for user in users),
        frozenset(int(entry[2]) for entry in groups),
    )


def _master(root: str, name: str, count: int) -> list[list[bytes]]:
    rows = [line.split(b":") for line in read_lines(f"{root}/usr/share/base-passwd/{name}")]
    return [row for row in rows if len(row) == count and row[0] and row[2].isdigit()]


def _text(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
