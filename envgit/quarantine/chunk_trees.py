"""Are the chunks of a big file what docs/format.md section 5 says."""

from __future__ import annotations

import os

from envgit.model import Child
from envgit.quarantine.arrived import ArrivedObjects
from envgit.quarantine.errors import RefusedObjects
from envgit.store.chunks import CHUNK_MAX_BYTES, GROUP_MAX_CHUNKS
from envgit.store.objects import decode_tree
from envgit.trees import MODE_FILE, MODE_TREE, GitContent, GitTreeReader

_READ_WHOLE_BYTES = 256 << 20
"""Of a version of a file that we have already, only new chunks are looked at above this size. The SHA-256 of
the whole is checked when it is materialised."""
_HASH_MAX_BYTES = 4 << 30
"""A few chunks can be repeated to a file of any size: reading more than this of one file, or much more of all files than
arrived, is left to materialising as well."""
_FREE_BYTES = 8 << 30


class ChunkTreeCheck:
    """Remembers of groups their sizes, and whether all their chunks were read. Raises RefusedObjects."""

    def __init__(self, objects: ArrivedObjects, reader: GitTreeReader) -> None:
        self._objects = objects
        self._reader = reader
        self._groups: dict[bytes, tuple[int, bool]] = {}
        self._left = _FREE_BYTES

    def check(self, child: Child, before: bytes | None) -> None:
        """Check names, modes, presence and the sum of sizes; the content too where that is cheap. `before`: the chunk
        tree of a sound version of the file."""
        content, entry = child.content, child.entry
        assert isinstance(content, GitContent)
        name = os.fsdecode(entry.name)
        total, is_read = 0, True
        for number, (mode, label, oid) in enumerate(self._tree(content.oid, name)):
            if mode != MODE_TREE or label != b"%06x" % number:
                raise RefusedObjects(f"group {number} of the chunks of {name!r} has another name or mode")
            size, all_read = self._group(oid, name)
            total += size
            is_read = is_read and all_read
        if total != entry.size:
            raise RefusedObjects(f"the chunks of {name!r} have {total} bytes, its metadata says {entry.size}")
        if (before is not None and total > _READ_WHOLE_BYTES) or total > min(_HASH_MAX_BYTES, self._left):
            return
        if not is_read:  # in packs that this user has elsewhere: see own_pack.py
            return
        self._left -= total
        self._reader.check_content(child)

    def _tree(self, oid: bytes, name: str) -> list[tuple[int, bytes, bytes]]:
        type, data = self._objects.read(oid)
        if type != "tree":
            raise RefusedObjects(f"the chunks of {name!r} are a {type}")
        return decode_tree(data)

    def _group(self, oid: bytes, name: str) -> tuple[int, bool]:
        done = self._groups.get(oid)
        if done is not None:
            return done
        size, is_read = 0, True
        entries = self._tree(oid, name)
        if not 0 < len(entries) <= GROUP_MAX_CHUNKS:
            raise RefusedObjects(f"a group of the chunks of {name!r} has {len(entries)} of them")
        for index, (mode, label, chunk) in enumerate(entries):
            if mode != MODE_FILE or label != b"%04x" % index:
                raise RefusedObjects(f"chunk {index} of {name!r} has another name or mode")
            known = self._objects.look_at(chunk)
            if known.type != "blob" or not 0 < known.size <= CHUNK_MAX_BYTES:
                raise RefusedObjects(f"chunk {index} of {name!r} is a {known.type} of {known.size} bytes")
            size += known.size
            is_read = is_read and known.sha256 != b""
        self._groups[oid] = (size, is_read)
        return size, is_read
