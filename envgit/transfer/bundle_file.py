"""The head of a bundle: what it holds and what it builds on (gitformat-bundle(5), versions 2 and 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from envgit.transfer.errors import NoSuchRepository, ProtocolViolation, TransferError

_SIGNATURES: Final = {b"# v2 git bundle\n": 2, b"# v3 git bundle\n": 3}
_MOST_LINE: Final = 8192
_MOST_HEAD: Final = 256 * 1024 * 1024
_PREREQUISITE: Final = re.compile(rb"-([0-9a-f]{40})(?: (.*))?", re.DOTALL)
_REFERENCE: Final = re.compile(rb"([0-9a-f]{40}) (\S.*)", re.DOTALL)


class Prerequisite(NamedTuple):
    """A commit that a reader must have; `subject` is what its message says, for people."""

    oid: bytes
    subject: str


class BundleHead(NamedTuple):
    """`references` as they stand there, names not checked; `offset`: where the pack begins."""

    version: int
    prerequisites: tuple[Prerequisite, ...]
    references: tuple[tuple[str, bytes], ...]
    offset: int


def read_head(path: str) -> BundleHead:
    """Return the head of a file. Raises NoSuchRepository when there is none, ProtocolViolation for what is no bundle."""
    try:
        with open(path, "rb") as file:
            version = _SIGNATURES.get(file.readline(_MOST_LINE))
            if version is None:
                raise _broken(path, "it does not begin as one")
            prerequisites: list[Prerequisite] = []
            references: list[tuple[str, bytes]] = []
            while (line := file.readline(_MOST_LINE)) != b"\n":
                if not line.endswith(b"\n") or file.tell() > _MOST_HEAD:
                    raise _broken(path, "its head has no end")
                line = line[:-1]
                if line.startswith(b"@"):
                    _check_capability(path, line, version, first=not prerequisites and not references)
                elif (match := _PREREQUISITE.fullmatch(line)) and not references:
                    prerequisites.append(Prerequisite(_oid(match), (match[2] or b"").decode("utf-8", "replace")))
                elif match := _REFERENCE.fullmatch(line):
                    references.append((match[2].decode("utf-8", "surrogateescape"), _oid(match)))
                else:
                    raise _broken(path, "its head has a line that means nothing")
            return BundleHead(version, tuple(prerequisites), tuple(references), file.tell())
    except FileNotFoundError:
        raise NoSuchRepository(f"there is no bundle {path}", hint="check the path") from None
    except OSError as error:
        raise TransferError(f"cannot read {path}: {error.strerror}", hint="check the file and its disk") from error


def format_head(prerequisites: Sequence[Prerequisite], references: Mapping[str, bytes]) -> bytes:
    """Return the head of a bundle of version 2."""
    lines = [b"# v2 git bundle\n"]
    for each in prerequisites:
        subject = " ".join(each.subject.split())[:200].encode("utf-8", "surrogateescape")
        lines.append(b"-" + each.oid.hex().encode() + b" " + subject + b"\n")
    for name, oid in references.items():
        lines.append(oid.hex().encode() + b" " + name.encode("utf-8", "surrogateescape") + b"\n")
    return b"".join(lines) + b"\n"


def _check_capability(path: str, line: bytes, version: int, *, first: bool) -> None:
    if version < 3 or not first:
        raise _broken(path, "its head has a line that means nothing")
    if line != b"@object-format=sha1":
        name = line[1:].split(b"=")[0].decode("utf-8", "replace")
        raise ProtocolViolation(
            f"the bundle {path} needs {name}, which is not supported", hint="make it with: git bundle create FILE --all"
        )


def _oid(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode())


def _broken(path: str, why: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"{path} is no bundle, or a damaged one: {why}", hint="check it with: git bundle verify FILE"
    )
