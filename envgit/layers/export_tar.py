"""Export of a tree as a tar archive: the same tree gives the same bytes, on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Literal, TypeAlias, cast

from envgit.errors import UsageError
from envgit.layers.sources.acl_text import format_acl
from envgit.layers.sparse import find_data, iter_data
from envgit.model import Child, DirectoryRef, Entry, TreeReader
from envgit.monitor import Monitor

Compression: TypeAlias = Literal["none", "gzip", "zstd", "xz"]

_BLOCK = 512
_RECORD = 20 * _BLOCK
_MAX_SEGMENTS = 1_000_000
"""What our own import accepts of one file; 4 GB of alternating blocks."""
_SECOND = 1_000_000_000
_TYPES = {"f": b"0", "d": b"5", "l": b"2", "p": b"6", "c": b"3", "b": b"4"}
_ACLS = {
    b"system.posix_acl_access": b"SCHILY.acl.access",
    b"system.posix_acl_default": b"SCHILY.acl.default",
}


def write_tar(
    root: DirectoryRef, reader: TreeReader, out: BinaryIO, *, compression: Compression, monitor: Monitor
) -> int:
    """Write the whole tree to `out` as a POSIX (PAX) archive and return the number of entries, the root among them.

    Names begin with `./`; entries come in byte order of their paths, a directory before its content. Times have
    nanoseconds; extended attributes are SCHILY.xattr, ACLs SCHILY.acl records; the first name of a hard-link set has
    the content. Files with holes are sparse members of GNU's format 1.0, read twice: the map stands before the data.
    `out` is not closed. Raises CorruptObject, and OSError of `out`.
    """
    first_names = {path: paths[0] for paths in reader.read_links(root) for path in paths}
    count = 0
    monitor.start("writing the archive", None, "files")
    with _compressed(out, compression) as stream:
        size = 0
        for path, entry, child in _walk(root, reader):
            first = first_names.get(path, path)
            if first != path:
                header = _headers(path, entry._replace(type="f", size=0), b"1", b"./" + first)
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
                header = _headers(path, entry, _TYPES[entry.type], target)
                stream.write(header)
                size += len(header)
                if child is not None and entry.type == "f":
                    for piece in reader.iter_content(child):
                        stream.write(piece)
                    padding = -entry.size % _BLOCK
                    stream.write(bytes(padding))
                    size += entry.size + padding
            count += 1
            monitor.advance()
        end = 2 * _BLOCK
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
    lines += bytes(-len(lines) % _BLOCK)
    header = _headers(path, child.entry, b"0", b"", len(lines) + stored)
    stream.write(header)
    stream.write(lines)
    for _, view in iter_data(reader.iter_content(child)):
        stream.write(view)
    padding = -stored % _BLOCK
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


def _headers(path: bytes, entry: Entry, type_: bytes, link: bytes, sparse: int = 0) -> bytes:
    """Return the header blocks of one member: an extended header only if ustar cannot say it.

    `sparse`: bytes that a sparse member has in the archive, map included; 0 for every other one.
    """
    name = b"./" + path + (b"/" if entry.type == "d" and path else b"")
    records: list[tuple[bytes, bytes]] = []
    seconds, fraction = divmod(entry.mtime_ns, _SECOND)
    size = sparse or (entry.size if type_ == b"0" else 0)
    if fraction or not 0 <= seconds < 8**11:
        records.append((b"mtime", _decimal(entry.mtime_ns)))
    binary = False
    if sparse:
        records += [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name)]
        records.append((b"GNU.sparse.realsize", b"%d" % entry.size))
        binary = not _is_utf8(name)
        # What a reader that does not know sparse members will make of this one.
        name = b"./GNUSparseFile.0/" + name[-80:].rpartition(b"/")[2]
    for key, text in ((b"path", name), (b"linkpath", link)):
        # A short name that is not UTF-8 stands raw in the header, where every reader takes it as it is.
        if len(text) > 100 or (not text.isascii() and _is_utf8(text)):
            records.append((key, text))
            binary = binary or not _is_utf8(text)
    for key, number, limit in ((b"size", size, 8**11), (b"uid", entry.uid, 8**7), (b"gid", entry.gid, 8**7)):
        if number >= limit:
            records.append((key, b"%d" % number))
    if type_ != b"1":
        for attribute, value in entry.xattrs:
            acl = format_acl(value) if attribute in _ACLS else None
            if acl is not None:
                records.append((_ACLS[attribute], acl))
            else:
                records.append((b"SCHILY.xattr." + attribute, value))
    major, minor = entry.device or (0, 0)
    header = _ustar(name, entry.mode if type_ != b"2" else 0o777, entry.uid, entry.gid, size,
                    max(0, min(seconds, 8**11 - 1)), type_, link, major, minor)  # fmt: skip
    if not records:
        return header
    content = b"".join(_record(key, value) for key, value in sorted(records))
    if binary:
        content = _record(b"hdrcharset", b"BINARY") + content
    extended = _ustar(b"./PaxHeaders/" + name[-80:].strip(b"/").rpartition(b"/")[2], 0o644, 0, 0, len(content), 0,
                      b"x", b"", 0, 0)  # fmt: skip
    return extended + content + bytes(-len(content) % _BLOCK) + header


def _ustar(
    name: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, type_: bytes, link: bytes, major: int, minor: int
) -> bytes:
    block = bytearray(_BLOCK)

    def octal(offset: int, width: int, value: int) -> None:
        value = value if value < 8 ** (width - 1) else 0
        block[offset : offset + width] = b"%0*o\0" % (width - 1, value)

    block[: min(len(name), 100)] = name[:100]
    octal(100, 8, mode)
    octal(108, 8, uid)
    octal(116, 8, gid)
    octal(124, 12, size)
    octal(136, 12, mtime)
    block[156:157] = type_
    block[157 : 157 + min(len(link), 100)] = link[:100]
    block[257:265] = b"ustar\x0000"
    octal(329, 8, major)
    octal(337, 8, minor)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(key: bytes, value: bytes) -> bytes:
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    length = body + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _decimal(ns: int) -> bytes:
    seconds, fraction = divmod(abs(ns), _SECOND)
    text = f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".")
    return (("-" if ns < 0 else "") + text).encode()


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
