"""A context on disk, trees in memory, and copies between them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from envgit.building.files.context import ContextFolder
from envgit.building.files.copying import Sources, apply_copy, digest_copy
from envgit.building.files.downloading import Downloads
from envgit.building.unit import CopyItem, FileSource, StageBase
from envgit.layers.assemble import TreeAssembler
from envgit.model import DirectoryRef, Entry
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore

NOW_NS = 1_700_000_000_000_000_000
PASSWD = b"root:x:0:0::/root:/bin/sh\nweb:x:33:44::/:/bin/sh\n"
GROUP = b"root:x:0:\nwww:x:55:\n"


class CopyLab:
    """`context`: a folder to write files into. Stage 0 is `stages[0]`, and so on."""

    def __init__(self, folder: Path) -> None:
        self.context = folder / "context"
        self.context.mkdir()
        self.kept = folder / "kept"
        self.store = MemoryStore()
        self.monitor = NullMonitor()
        self.stages: list[DirectoryRef] = []
        self.ignore = b""

    def write(self, path: str, content: str | bytes = "x", mode: int = 0o644) -> Path:
        """Write a file of the context, with its directories (mode 0755)."""
        place = self.context / path
        self.folder(os.path.dirname(path))
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        place.chmod(mode)
        return place

    def folder(self, path: str, mode: int = 0o755) -> Path:
        place = self.context
        for name in filter(None, path.split("/")):
            place = place / name
            if not place.is_dir():
                place.mkdir()
                place.chmod(0o755)
        if path:
            place.chmod(mode)
        return place

    def tree(self, files: Mapping[str, Entry | bytes | str], links: Sequence[tuple[str, str]] = ()) -> DirectoryRef:
        """Store a tree: path to content of a file, `-> TARGET` of a link, or an Entry (with content of its own name)."""
        assembler = TreeAssembler(self.store)
        for path, what in files.items():
            name = os.fsencode(path)
            if isinstance(what, str):
                assembler.add(name, Entry(b"", "l", target=os.fsencode(what.removeprefix("-> "))))
                continue
            entry = what if isinstance(what, Entry) else Entry(b"", "f", 0o644, mtime_ns=5)
            if entry.type != "f":
                assembler.add(name, entry)
                continue
            stored = self.store.put_file([what if isinstance(what, bytes) else name], False)
            assembler.add(name, entry._replace(size=stored.size, sha256=stored.sha256), stored.content)
        for path, target in links:
            assembler.add_link(os.fsencode(path), os.fsencode(target))
        return assembler.finish().root

    def open_(self) -> ContextFolder:
        return ContextFolder.open_(str(self.context), self.ignore, str(self.kept / "inputs"), self.monitor)

    def sources(self, context: ContextFolder) -> Sources:
        def tree_of(source: FileSource) -> DirectoryRef:
            assert isinstance(source, StageBase)
            return self.stages[source.number]

        downloads = Downloads(str(self.kept / "downloads"), {}, self.monitor)
        return Sources(context, tree_of, self.store, downloads, NOW_NS, self.monitor)

    def digest(self, *items: CopyItem) -> bytes:
        with self.open_() as context:
            return digest_copy(self.sources(context), items)

    def copy(self, *items: CopyItem, onto: DirectoryRef | None = None, epoch: int | None = None) -> DirectoryRef:
        """Digest, then copy, as builds do."""
        with self.open_() as context:
            sources = self.sources(context)
            digest_copy(sources, items)
            return apply_copy(sources, items, onto or self.tree({}), self.store, self.store, epoch)

    def listing(self, root: DirectoryRef) -> dict[str, str]:
        """Return `MODE UID:GID CONTENT` by path; MODE/ for directories, `-> TARGET` for links."""
        return {
            os.fsdecode(path): self._described(root, path, entry)
            for path, entry in self.store.paths(root).items()
            if path
        }

    def _described(self, root: DirectoryRef, path: bytes, entry: Entry) -> str:
        owner = f"{entry.uid}:{entry.gid}"
        if entry.type == "l":
            return f"-> {os.fsdecode(entry.target)}" + (f" {owner}" if owner != "0:0" else "")
        if entry.type == "d":
            return f"{entry.mode:o}/ {owner}"
        if entry.type == "f":
            return f"{entry.mode:o} {owner} {os.fsdecode(self.store.content(root, path))}"
        return f"{entry.type} {entry.mode:o} {owner}"

    def names(self, root: DirectoryRef) -> set[str]:
        return set(self.listing(root))


def settle() -> None:
    """Wait until files written before are clearly older than what is written now."""
    time.sleep(0.05)
