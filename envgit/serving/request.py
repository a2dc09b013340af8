"""A request of git's fetch protocol, made to ask for public objects only.

upload-pack of protocol 2 sends any object whose id is asked for, and builds deltas on any that the client says it has: who knows
the id of a commit that was undone could read it. So wants are checked, and what is not public is not believed to be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from envgit.errors import InvalidName
from envgit.serving.errors import BadRequest, NotPublic
from envgit.serving.packet_lines import iter_lines, join_lines
from envgit.serving.public_history import PUBLIC_PREFIXES, Public
from envgit.store.oid import ZERO_OID, parse_oid

_COMMANDS: Final = (b"command=ls-refs", b"command=fetch")
_REFUSED: Final = (b"filter ", b"want-ref ", b"packfile-uris ", b"sideband-all")
"""What is not announced: partial clones among them (docs/format.md section 10)."""
_OID_HEX: Final = 40
UNKNOWN_HAVE: Final = b"have " + ZERO_OID.hex().encode() + b"\n"
"""No object has this id."""


class Request(NamedTuple):
    """`body` as it may be answered. `is_fetch`: it asks for objects, not for names; `wants`: how many."""

    body: bytes
    is_fetch: bool
    wants: int


def check_request(body: bytes, version: int, public: Public) -> Request:
    """Return the request as far as it may be answered. Raises BadRequest, NotPublic."""
    lines = list(iter_lines(body))
    if not lines:
        raise BadRequest("the request is empty")
    if version == 2 and lines[0][1].rstrip(b"\n") not in _COMMANDS:
        raise BadRequest("the request asks for neither refs nor objects")
    kept = list(_checked(lines, public))
    wants = sum(line.startswith(b"want ") for _, line in kept)
    return Request(join_lines(kept), version != 2 or lines[0][1].rstrip(b"\n") == _COMMANDS[1], wants)


def _checked(lines: list[tuple[bytes, bytes]], public: Public) -> Iterator[tuple[bytes, bytes]]:
    for marker, line in lines:
        if line.startswith(_REFUSED):
            raise BadRequest(f"{line.split()[0].decode('ascii', 'replace')!r} is not offered here")
        if line.startswith(b"want "):
            oid = _read_oid(line)
            if oid not in public.objects:
                raise NotPublic(f"upload-pack: not our ref {oid.hex()}")
        elif line.startswith(b"have ") and _read_oid(line) not in public.objects:
            line = UNKNOWN_HAVE  # not left out: a client that named something is answered in another way than one that did not
        elif line.startswith(b"shallow ") and _read_oid(line, b"shallow ") not in public.objects:
            continue  # upload-pack sends the parents of what a client names here, once it is no longer cut
        elif line.startswith(b"deepen-not "):
            _check_name(line.removeprefix(b"deepen-not ").rstrip(b"\n"), public)
        yield marker, line


def _read_oid(line: bytes, word: bytes = b"want ") -> bytes:
    try:
        return parse_oid(line[len(word) : len(word) + _OID_HEX].decode("ascii", "replace"))
    except InvalidName:
        raise BadRequest("the request names an object by what is no id") from None


def _check_name(name: bytes, public: Public) -> None:
    text = name.decode("utf-8", "surrogateescape")
    if not any(full in public.refs for full in (text, *(prefix + text for prefix in PUBLIC_PREFIXES))):
        raise NotPublic("upload-pack: deepen-not names no branch or tag")
