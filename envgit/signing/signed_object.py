"""Where git keeps the signature of a commit and of a tag, and what it covers (git's commit.c, gpg-interface.c, tag.c)."""

from __future__ import annotations

import re
from typing import NamedTuple

from envgit.errors import EnvgitError

MOST_SIGNATURE_BYTES = 64 << 10
"""More than any key makes: an SSH signature is below 2 KiB, one of OpenPGP below 10."""
_HEADER = b"gpgsig"
_OTHER_HEADER = b"gpgsig-sha256"
"""Of the same commit under its SHA-256 name; no part of what either covers."""
_BEGINS = (
    b"-----BEGIN SSH SIGNATURE-----",
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
)
_ARMOUR = re.compile(rb"-----BEGIN ([A-Z ]{1,32})-----\n[\x20-\x7e\n]*\n-----END ([A-Z ]{1,32})-----\n?")


class BadSignature(EnvgitError):
    """A signature that cannot be one: twice there, cut off, of no known kind, too long."""

    code = "bad-signature"
    exit_code = 1


class SignedObject(NamedTuple):
    """`payload`: what the signature covers; `signature`: armoured, None when the object has none."""

    payload: bytes
    signature: bytes | None

    @property
    def kind(self) -> str:
        """Return what the armour says: "SSH SIGNATURE", "PGP SIGNATURE"; "" without a signature."""
        return "" if self.signature is None else self.signature[11 : self.signature.index(b"-----", 11)].decode("ascii")


def split_commit(data: bytes) -> SignedObject:
    """Return what the signature of a commit covers, and the signature.

    Stricter than git, which joins several `gpgsig` headers to one signature and ignores any header that begins so: BadSignature.
    """
    head, separator, message = data.partition(b"\n\n")
    kept: list[bytes] = []
    found: dict[bytes, list[bytes]] = {}
    current: list[bytes] | None = None
    for line in head.split(b"\n"):
        if line[:1] == b" " and current is not None:
            current.append(line[1:])
        elif line.startswith(_HEADER):
            key, _, first = line.partition(b" ")
            if key in found:
                raise BadSignature("the commit has two signatures", hint="git shows it: git cat-file commit ID")
            if key not in (_HEADER, _OTHER_HEADER):
                raise BadSignature(f"the commit has an unknown header {key[:32].decode('ascii', 'replace')!r}")
            current = found[key] = [first]
        else:
            current = None
            kept.append(line)
    payload = b"\n".join(kept) + separator + message
    lines = found.get(_HEADER)
    return SignedObject(payload, None if lines is None else check_armour(b"\n".join(lines) + b"\n"))


def split_tag(data: bytes) -> SignedObject:
    """Return what the signature of an annotated tag covers, and the signature: the last block of armour of its message."""
    head, separator, message = data.partition(b"\n\n")
    if any(line.startswith(_HEADER) for line in head.split(b"\n")):
        raise BadSignature("the tag has a signature among its headers")
    start = -1
    for begin in _BEGINS:
        start = max(start, (b"\n" + message).rfind(b"\n" + begin))
    if start < 0:
        return SignedObject(data, None)
    return SignedObject(head + separator + message[:start], check_armour(message[start:]))


def check_armour(signature: bytes) -> bytes:
    """Return a signature that is one block of armour and nothing else: programs would read past it. Raises BadSignature."""
    if len(signature) > MOST_SIGNATURE_BYTES:
        raise BadSignature(f"the signature has {len(signature)} bytes, more than any has")
    match = _ARMOUR.fullmatch(signature)
    if match is None or match[1] != match[2] or signature.count(b"-----BEGIN ") != 1:
        raise BadSignature("the signature is not one block of ASCII armour")
    return signature


def add_to_commit(data: bytes, signature: bytes) -> bytes:
    """Return the commit with its signature, as git writes it: the last header."""
    head, separator, message = data.partition(b"\n\n")
    return head + b"\n" + _HEADER + b" " + signature.rstrip(b"\n").replace(b"\n", b"\n ") + separator + message


def add_to_tag(data: bytes, signature: bytes) -> bytes:
    """Return the tag with its signature, as git writes it: at the end of the message."""
    return data + signature.rstrip(b"\n") + b"\n"
