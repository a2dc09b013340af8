"""A commit as envgit sees it: its environment tree, configuration and message (docs/format.md section 2)."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple, Protocol

from envgit.errors import CorruptObject
from envgit.model import DirectoryRef
from envgit.store.objects import Commit, Signature, decode_tree, encode_commit, encode_tree, parse_commit

ROOTFS_NAME = b"rootfs"
CONFIG_NAME = b"config.json"
_ROOT_TRAILER = b"Envgit-Root: sha256:"
_CONFIG_TRAILER = b"Envgit-Config: sha256:"
BUILD_TRAILER = b"Envgit-Build: sha256:"
"""The key of the unit that a build made the commit from (docs/build.md)."""
UNIT_TRAILER = b"Envgit-Unit: "
"""What the unit did, as one line of JSON."""
LAYER_TRAILER = b"Envgit-Layer: "
"""The diff id of the layer of a container image that the commit is (docs/images.md)."""
CHAIN_TRAILER = b"Envgit-Chain: "
"""The chain id: of the layer and all below it, and so of the files of the commit."""
_OWN_TRAILERS = (_ROOT_TRAILER, _CONFIG_TRAILER, BUILD_TRAILER, UNIT_TRAILER, LAYER_TRAILER, CHAIN_TRAILER)


class _Reader(Protocol):
    def read(self, oid: bytes) -> tuple[str, bytes]: ...


class _Session(Protocol):
    def put(self, type: str, data: bytes) -> bytes: ...


class Snapshot(NamedTuple):
    """One revision of an environment. `tree_entries` is the commit's top tree, so that a rewrite keeps what it holds."""

    oid: bytes
    commit: Commit
    root: DirectoryRef
    config_sha256: bytes
    tree_entries: tuple[tuple[int, bytes, bytes], ...]


def read_snapshot(objects: _Reader, oid: bytes) -> Snapshot:
    """Read a commit and its top tree; raises CorruptObject when it is not an envgit commit."""
    type, data = objects.read(oid)
    if type != "commit":
        raise CorruptObject(f"{oid.hex()} is a {type}, not a commit")
    commit = parse_commit(data)
    entries = tuple(decode_tree(objects.read(commit.tree)[1]))
    rootfs = next((entry for _, name, entry in entries if name == ROOTFS_NAME), None)
    root_sha256 = read_digest(commit.message, _ROOT_TRAILER)
    config_sha256 = read_digest(commit.message, _CONFIG_TRAILER)
    if rootfs is None or root_sha256 is None or config_sha256 is None:
        raise CorruptObject(
            f"commit {oid.hex()} holds no environment: it has no rootfs/ or no Envgit-Root trailer",
            hint="it was made by another program; envgit log shows the commits before it",
        )
    return Snapshot(oid, commit, DirectoryRef(rootfs, root_sha256), config_sha256, entries)


def read_config_bytes(objects: _Reader, snapshot: Snapshot) -> bytes:
    """Return config.json, verified against its trailer."""
    for _, name, oid in snapshot.tree_entries:
        if name == CONFIG_NAME:
            data = objects.read(oid)[1]
            if sha256(data).digest() != snapshot.config_sha256:
                raise CorruptObject(
                    f"config.json of {snapshot.oid.hex()} does not have the SHA-256 its commit recorded"
                )
            return data
    raise CorruptObject(f"commit {snapshot.oid.hex()} has no config.json")


def read_trailer(message: bytes, key: bytes) -> bytes | None:
    """Return what follows `key` in the last line of the message's last paragraph that starts with it."""
    paragraph = message.rstrip(b"\n").rpartition(b"\n\n")[2]
    found = (line for line in reversed(paragraph.split(b"\n")) if line.startswith(key))
    line = next(found, None)
    return None if line is None else line[len(key) :]


def read_digest(message: bytes, key: bytes) -> bytes | None:
    """Return the 32 bytes of a trailer of 64 hexadecimal digits, None when it is missing or something else."""
    value = read_trailer(message, key)
    try:
        digest = bytes.fromhex(value.decode("ascii")) if value is not None else b""
    except ValueError:
        return None
    return digest if len(digest) == 32 else None


def strip_trailers(message: bytes) -> bytes:
    """Return the message without envgit's own trailers, as the user wrote it."""
    lines = [line for line in message.split(b"\n") if not line.startswith(_OWN_TRAILERS)]
    return b"\n".join(lines).strip(b"\n") + b"\n"


def _is_trailer_block(paragraph: bytes) -> bool:
    lines = paragraph.split(b"\n")
    return all(line[:1].isalpha() and b": " in line and b" " not in line.partition(b": ")[0] for line in lines)


def write_snapshot(
    session: _Session,
    root: DirectoryRef,
    config: bytes,
    message: bytes,
    *,
    parents: tuple[bytes, ...],
    author: Signature,
    committer: Signature,
    keep: tuple[tuple[int, bytes, bytes], ...] = (),
    trailers: tuple[bytes, ...] = (),
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """Write the top tree and the commit into the session; return the commit id.

    `keep`: top tree entries beside rootfs/ and config.json, such as those of the parent. `trailers`: lines, without the two that
    every commit has. `sign` returns the armoured signature of the commit (Repository.signer); it covers both of these.
    """
    assert isinstance(root.content, bytes)
    kept = [entry for entry in keep if entry[1] not in (ROOTFS_NAME, CONFIG_NAME)]
    tree = encode_tree(
        [(0o100644, CONFIG_NAME, session.put("blob", config)), (0o040000, ROOTFS_NAME, root.content), *kept]
    )
    text = strip_trailers(message).rstrip(b"\n")
    digests = ((_ROOT_TRAILER, root.sha256.hex()), (_CONFIG_TRAILER, sha256(config).hexdigest()))
    block = (*trailers, *(key + digest.encode() for key, digest in digests))
    last_paragraph = text.rpartition(b"\n\n")
    separator = b"\n" if last_paragraph[0] and _is_trailer_block(last_paragraph[2]) else b"\n\n"
    commit = Commit(
        tree=session.put("tree", tree),
        parents=parents,
        author=author,
        committer=committer,
        message=text + separator + b"\n".join(block) + b"\n",
    )
    data = encode_commit(commit)
    if sign is not None:
        from envgit.signing.signed_object import add_to_commit

        data = add_to_commit(data, sign(data))
    return session.put("commit", data)
