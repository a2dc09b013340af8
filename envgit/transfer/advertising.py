"""The refs that another repository says it has, checked: names become names of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from envgit.errors import InvalidName
from envgit.store.ref_names import check_ref_name
from envgit.transfer.address import Address
from envgit.transfer.errors import ProtocolViolation
from envgit.transfer.values import Advertised

PRIVATE: Final = "refs/envgit/"
"""Never asked for, taken or sent."""

_OID: Final = re.compile(rb"[0-9a-f]{40}")
_PEELED: Final = "^{}"
_MOST_REFS: Final = 2_000_000


def parse_listing(listed: bytes, address: Address) -> Advertised:
    """Return what `git ls-remote --symref` printed. Raises ProtocolViolation for anything else than such lines."""
    pairs: list[tuple[str, bytes]] = []
    head = None
    for line in listed.splitlines():
        value, tab, name = line.partition(b"\t")
        if value.startswith(b"ref: "):
            if name == b"HEAD":
                head = value[5:].decode("utf-8", "surrogateescape")
            continue
        if not tab or not _OID.fullmatch(value):
            if re.match(rb"[0-9a-f]{64}\t", line):
                raise ProtocolViolation(f"{address.shown} names its objects by SHA-256, which is not supported",
                                        hint="make it with: git init --bare --object-format=sha1")  # fmt: skip
            raise ProtocolViolation(f"{address.shown} lists something that is no ref", hint="check the address")
        pairs.append((name.decode("utf-8", "surrogateescape"), bytes.fromhex(value.decode())))
    return advertised(pairs, head)


def advertised(pairs: Iterable[tuple[str, bytes]], head: str | None) -> Advertised:
    """Return the checked form of refs as they were announced: HEAD and `NAME^{}` among them, names not yet believed."""
    refs: dict[str, bytes] = {}
    peeled: dict[str, bytes] = {}
    detached = None
    left_out = 0
    for number, (name, oid) in enumerate(pairs):
        if number > _MOST_REFS:
            raise ProtocolViolation("the other side lists more refs than any repository has", hint="check the address")
        if name == "HEAD":
            detached = oid
        elif name.startswith(PRIVATE) or name == "HEAD^{}":
            continue
        elif not is_good_name(name.removesuffix(_PEELED)) or oid == bytes(20):
            left_out += 1
        elif name.endswith(_PEELED):
            peeled[name.removesuffix(_PEELED)] = oid
        else:
            refs[name] = oid
    if head is not None and not (head.startswith("refs/heads/") and is_good_name(head)):
        head = None
    return Advertised(refs, peeled, head, None if head else detached, left_out)


def is_good_name(name: str) -> bool:
    """Return whether this may be the name of a ref here."""
    if not name.startswith("refs/"):
        return False
    try:
        check_ref_name(name)
    except InvalidName:
        return False
    return True
