"""A TreeReader over a dictionary, and changes made by hand."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.model import Change, Child, Directory, DirectoryRef, Entry, Links


class MemoryReader:
    """Contents are the bytes themselves."""

    def read_directory(self, ref: DirectoryRef) -> Directory:
        raise NotImplementedError

    def read_links(self, root: DirectoryRef) -> Links:
        return ()

    def iter_content(self, child: Child) -> Iterator[bytes]:
        assert isinstance(child.content, bytes)
        yield child.content


READER = MemoryReader()


def file(content: bytes, mode: int = 0o644, **fields: object) -> Child:
    entry = Entry(b"name", "f", mode, size=len(content))._replace(**fields)  # type: ignore[arg-type]
    return Child(entry, content)


def symlink(target: bytes) -> Child:
    return Child(Entry(b"name", "l", target=target), None)


def directory(mode: int = 0o755) -> Child:
    return Child(Entry(b"name", "d", mode), None)


def modified(path: bytes, old: bytes, new: bytes) -> Change:
    return Change(path, "M", file(old), file(new))
