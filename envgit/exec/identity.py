"""Who the program runs as: `-u NAME|UID[:GROUP|GID]` against the environment's own /etc/passwd and /etc/group.

The files are hostile input read as bytes; the C library's name service is never asked.
"""

from __future__ import annotations

import os

from envgit.errors import SandboxError
from envgit.light_typing import NamedTuple


class Identity(NamedTuple):
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: bytes


def resolve_identity(user: bytes, passwd: bytes, group: bytes) -> Identity:
    """Return the ids for `user` (empty: root). A number need not exist in passwd; a name must, else SandboxError.

    Supplementary groups are those that list the user's name, unless a group is given explicitly (as docker does).
    """
    name, colon, group_name = user.partition(b":")
    if colon and not group_name:
        raise SandboxError(f"the user {os.fsdecode(user)!r} has no group after the colon", hint="USER or USER:GROUP")
    record = _find(passwd, name or b"0", 7)
    if record is not None:
        uid, gid = _number(record[2]), _number(record[3])
        login, home = record[0], record[5].partition(b"\0")[0] or b"/"
    elif _is_number(name or b"0"):
        uid, gid, login, home = _number(name or b"0"), 0, b"", b"/root" if not name else b"/"
    else:
        shown = os.fsdecode(name)
        raise SandboxError(
            f"no user {shown!r} in /etc/passwd of the environment",
            hint="use a number instead, or add the account first, with useradd or adduser",
        )
    if colon:
        found = _find(group, group_name, 4)
        if found is not None:
            gid = _number(found[2])
        elif _is_number(group_name):
            gid = _number(group_name)
        else:
            raise SandboxError(
                f"no group {os.fsdecode(group_name)!r} in /etc/group of the environment",
                hint="use a number instead, or add the group first, with groupadd or addgroup",
            )
        return Identity(uid, gid, (), home)
    groups = {gid}
    if login:
        for line in group.splitlines():
            fields = line.split(b":")
            if len(fields) >= 4 and login in fields[3].split(b",") and _is_number(fields[2]):
                groups.add(int(fields[2]))
    return Identity(uid, gid, tuple(sorted(groups)), home)


def _find(text: bytes, key: bytes, fields_wanted: int) -> list[bytes] | None:
    """Return the first record with name `key`, or else the first with that number."""
    by_number = None
    for line in text.splitlines():
        fields = line.split(b":")
        if len(fields) < fields_wanted or not _is_number(fields[2]):
            continue
        if fields_wanted == 7 and not _is_number(fields[3]):
            continue
        if fields[0] == key:
            return fields
        if by_number is None and fields[2] == key:
            by_number = fields
    return by_number


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 10


def _number(text: bytes) -> int:
    value = int(text)
    if value >= 0xFFFFFFFF:
        raise SandboxError(f"id {value} is out of range")
    return value
