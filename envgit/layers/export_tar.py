"""Export of a tree as a tar archive: the same tree gives the same bytes, on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Literal, TypeAlias, cast

from envgit.errors import UsageError
from envgit.layers.sparse import find_data, iter_data
from envgit.layers.tar_header import BLOCK, HARD_LINK, TYPES, format_member
from envgit.model import Child, DirectoryRef, Entry, TreeReader
from envgit.monitor import Monitor

Compression: TypeAlias = Literal["none", "gzip", "zstd", "xz"]

_RECORD = 20 * BLOCK
_MAX_SEGMENTS = 1_000_000
"""What our own import accepts of one file; 4 GB of alternating blocks."""


def write_tar(
    root: DirectoryRef, reader: TreeReader, out: BinaryIO, *, compression: Compression, monitor: Monitor
) -> int:
    """Write the whole tree to `out` as a POSIX (PAX) archive and return the number of entries, the root among them.

    Names begin with `./`; entries come in byte order of their paths, a directory before its content. Times have
    nanoseconds; extended attributes are SCHILY.xattr, ACLs SCHILY.acl records; the first name of a hard-link set has
    the content. Files with holes are sparse members of GNU's format 1.0, read twice: the map stands before the data.
    `out` is not closed. Raises CorruptObject, and OSError of `out`.
    """
    sets = {path: paths for paths in reader.read_links(root) for path in paths}
    first_names: dict[tuple[bytes, ...], bytes] = {}
    count = 0
    monitor.start("writing the archive", None, "files")
    with _compressed(out, compression) as stream:
        size = 0
        for path, entry, child in _walk(root, reader):
            # The first of the archive: a link cannot be made before what it names. ("a/x" comes before "a.x" here.)
            first = first_names.setdefault(sets[path], path) if path in sets else path
            if first != path:
                header = format_member(b"./" + path, entry._replace(type="f", size=0), HARD_LINK, b"./" + first)
                stream.write(header)
                size += len(header)
            else:
                target = entry.target if entry.type == "l" else b""
                if child is not None and entry.sparse:
                    written = _write_sparse(stream, path, child, reader)
                    if written:
                        size += written
                        count += 1
                        monitor.advance()
                        continue
                header = format_member(_name(path, entry), entry, TYPES[entry.type], target)
                stream.write(header)
                size += len(header)
                if child is not None and entry.type == "f":
                    for piece in reader.iter_content(child):
                        stream.write(piece)
                    padding = -entry.size % BLOCK
                    stream.write(bytes(padding))
                    size += entry.size + padding
            count += 1
            monitor.advance()
        end = 2 * BLOCK
        stream.write(bytes(end + -(size + end) % _RECORD))
    monitor.finish()
    return count


def _write_sparse(stream: BinaryIO, path: bytes, child: Child, reader: TreeReader) -> int:
    """Write a file without its holes and return how much that was; 0, and nothing, if it must be written in full.

    Every 4096-byte-aligned block of zeros is a hole (docs/format.md section 4), so equal content has one map.
    """
    numbers, size = find_data(reader.iter_content(child))
    stored = sum(numbers[1::2])
    if stored == size or len(numbers) // 2 >= _MAX_SEGMENTS:
        return 0
    if not numbers or numbers[-2] + numbers[-1] < size:
        numbers.extend((size, 0))  # how readers learn that a hole ends the file
    lines = b"".join(b"%d\n" % number for number in (len(numbers) // 2, *numbers))
    lines += bytes(-len(lines) % BLOCK)
    header = format_member(b"./" + path, child.entry, b"0", b"", sparse=len(lines) + stored)
    stream.write(header)
    stream.write(lines)
    for _, view in iter_data(reader.iter_content(child)):
        stream.write(view)
    padding = -stored % BLOCK
    stream.write(bytes(padding))
    return len(header) + len(lines) + stored + padding


def compression_of(name: str) -> Compression:
    """Return the compression that a file name asks for."""
    for suffixes, compression in (
        ((".gz", ".tgz"), "gzip"),
        ((".zst", ".tzst", ".zstd"), "zstd"),
        ((".xz", ".txz"), "xz"),
    ):
        if name.endswith(suffixes):
            return cast("Compression", compression)
    if name.endswith((".bz2", ".lz4", ".lzma", ".zip", ".Z")):
        raise UsageError(
            f"cannot write {name}: tar archives are written plain, gzip, zstd or xz", hint="name it FILE.tar.zst"
        )
    return "none"


def _walk(root: DirectoryRef, reader: TreeReader) -> Iterator[tuple[bytes, Entry, Child | None]]:
    """Yield every path with its full entry, depth first in byte order; memory follows the depth."""
    top = reader.read_directory(root)
    yield b"", top.own, None
    stack = [(b"", iter(top.children.values()))]
    while stack:
        prefix, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            continue
        path = prefix + child.entry.name
        if child.entry.type != "d":
            yield path, child.entry, child
            continue
        directory = reader.read_directory(cast("DirectoryRef", child.content))
        yield path, directory.own, None
        stack.append((path + b"/", iter(directory.children.values())))


def _name(path: bytes, entry: Entry) -> bytes:
    return b"./" + path + (b"/" if entry.type == "d" and path else b"")


def _compressed(out: BinaryIO, compression: Compression) -> AbstractContextManager[BinaryIO]:
    """Return a stream that compresses into `out` and leaves `out` open; nothing in it depends on the clock."""
    stream: object
    if compression == "gzip":
        import gzip

        stream = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0)
    elif compression == "xz":
        import lzma

        stream = lzma.LZMAFile(out, "wb", preset=6)  # noqa: SIM115
    elif compression == "zstd":
        import zstandard

        stream = zstandard.ZstdCompressor(level=9, write_checksum=True).stream_writer(out, closefd=False)
    else:
        stream = _Plain(out)
    return cast("AbstractContextManager[BinaryIO]", stream)


class _Plain:
    """`out` itself, left open at the end."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def __enter__(self) -> BinaryIO:
        return self._out

    def __exit__(self, *_: object) -> None:
        self._out.flush()
