"""Check what is on disk byte by byte: pack and index checksums (gitformat-pack(5)), loose objects."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from envgit.errors import EnvgitError
from envgit.store.object_store import ObjectStore

_READ_BYTES = 1 << 20


def iter_damage(objects: ObjectStore) -> Iterator[tuple[str, str]]:
    """Yield (file, what is wrong) for every pack, index and loose object that is not what its checksum says."""
    for pack in objects.refresh():
        for path in (pack.index.path, pack.path):
            problem = _check_trailer(path)
            if problem is not None:
                yield path, problem
    for oid, path in _iter_loose(objects.objects_dir):
        try:
            objects.read(oid)
        except EnvgitError as error:
            yield path, error.message


def _iter_loose(objects_dir: str) -> Iterator[tuple[bytes, str]]:
    for folder in sorted(os.listdir(objects_dir)):
        if len(folder) != 2:
            continue
        for name in sorted(os.listdir(f"{objects_dir}/{folder}")):
            try:
                yield bytes.fromhex(folder + name), f"{objects_dir}/{folder}/{name}"
            except ValueError:
                continue


def _check_trailer(path: str) -> str | None:
    """Compare a file's last 20 bytes with the SHA-1 of the rest."""
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        with open(path, "rb") as file:
            left = os.fstat(file.fileno()).st_size - 20
            if left < 0:
                return "it is truncated"
            while left:
                piece = file.read(min(left, _READ_BYTES))
                if not piece:
                    return "it is truncated"
                digest.update(piece)
                left -= len(piece)
            return None if file.read() == digest.digest() else "its checksum does not match its content"
    except FileNotFoundError:
        return None  # merged into another pack since it was listed; a lost object is found when something needs it
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
