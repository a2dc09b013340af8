"""The packed-refs file (gitrepository-layout(5)): refs that have no file of their own."""

from __future__ import annotations

import os

from envgit.errors import CorruptObject
from envgit.store import storage
from envgit.store.oid import OID_BYTES


class PackedRefs:
    """Reads packed-refs, again whenever the file changed."""

    def __init__(self, git_dir: str) -> None:
        self.path = git_dir + "/packed-refs"
        self._stamp: tuple[int, int, int] | None = None
        self._refs: dict[str, bytes] = {}

    def read(self) -> dict[str, bytes]:
        """Return {full name: oid}; do not change it. Raises CorruptObject for a damaged line."""
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
                if stamp == self._stamp:
                    return self._refs
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            self._stamp, self._refs = None, {}
            return self._refs
        if lines[-1]:
            raise CorruptObject(f"{self.path} ends within a line: {lines[-1][:80]!r}")
        refs: dict[str, bytes] = {}
        for line in lines:
            if not line or line[:1] in b"#^":
                continue
            try:
                oid = bytes.fromhex(line[:40].decode("ascii"))
                if len(oid) != OID_BYTES or line[40:41] != b" " or b"\0" in line:
                    raise ValueError
            except ValueError:
                raise CorruptObject(f"{self.path} has a damaged line: {line[:80]!r}") from None
            refs[os.fsdecode(line[41:])] = oid
        self._stamp, self._refs = stamp, refs
        return refs

    def write_without(self, name: str) -> None:
        """Rewrite the file without one ref, durably. The caller holds packed-refs.lock."""
        with open(self.path, "rb") as file:
            lines = file.read().split(b"\n")
        kept: list[bytes] = []
        dropping = False
        for line in lines:
            if line[:1] == b"^" and dropping:
                continue
            dropping = line[41:] == os.fsencode(name) and line[:1] != b"#"
            if not dropping:
                kept.append(line)
        storage.write_file(self.path, b"\n".join(kept), step="packed-refs", mode=0o644)

    def write_with(self, name: str, oid: bytes) -> None:
        """Rewrite the file with this value of a ref, durably. The caller holds packed-refs.lock.

        The header promises no peeled tags any more, as the new ref's is not known; git then looks at the tag itself.
        """
        try:
            with open(self.path, "rb") as file:
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            lines = []
        groups: list[tuple[bytes, list[bytes]]] = []
        for line in lines:
            if line[:1] == b"^" and groups:
                groups[-1][1].append(line)
            elif line[:1] != b"#":
                groups.append((line[41:], [line]))
        groups = [group for group in groups if group[0] != os.fsencode(name)]
        groups.append((os.fsencode(name), [oid.hex().encode() + b" " + os.fsencode(name)]))
        groups.sort(key=lambda group: group[0])
        kept = [b"# pack-refs with: sorted ", *(line for _, group in groups for line in group), b""]
        storage.write_file(self.path, b"\n".join(kept), step="packed-refs", mode=0o644)
