"""The members of a tar archive, one after the other, with every extension applied.

An own reader instead of `tarfile`: that one rounds times to floats, reads headers of any size into memory, takes a
cut-off archive for a complete one, and accepts sparse maps that overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from envgit.errors import HostileInput, SourceError
from envgit.layers.sources.decompress import ArchiveBytes
from envgit.layers.sources.tar_header import (
    BLOCK,
    ZERO_BLOCK,
    BadHeader,
    Header,
    check_id,
    display,
    padding,
    parse_header,
)
from envgit.layers.sources.tar_limits import TarLimits
from envgit.layers.sources.tar_pax import clamp_time, iter_records, parse_integer, parse_time
from envgit.layers.sources.tar_sparse import SparseMap, old_gnu_map, pax_map

_PLAIN = (b"0", b"7", b"S")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_GLOBAL_KEYS = (b"path", b"linkpath", b"size", b"mtime", b"uid", b"gid")


@dataclass(slots=True)
class TarMember:
    """One member. Its `pieces` can be taken once, before the next member is asked for."""

    name: bytes
    type: bytes
    """As in the header: 0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 directory, 6 FIFO; else unknown."""
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    """Of the file's content, holes included."""
    linkname: bytes
    device: tuple[int, int]
    headers: dict[bytes, bytes]
    """The member's own PAX records."""
    sparse: SparseMap | None
    time_was_clamped: bool
    _data: ArchiveBytes
    _end: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, holes as zeros. Raises SourceError when the archive ends within."""
        source = self.sparse.pieces(self._data) if self.sparse is not None else self._data.pieces(self.size)
        given = 0
        for piece in source:
            given += len(piece)
            yield piece
        if given < self.size:
            raise truncated(self.name)


@dataclass(slots=True)
class _Pending:
    """Extended headers that were read and belong to the next member."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    sparse_numbers: list[bytes] = field(default_factory=list)
    longname: bytes | None = None
    longlink: bytes | None = None
    count: int = 0


def iter_members(data: ArchiveBytes, limits: TarLimits, *, end_mark: bool = True) -> Iterator[TarMember]:
    """Yield the members up to the end-of-archive mark, which must be there unless `end_mark` is False.

    Raises SourceError for a damaged or truncated archive, HostileInput for one that passes a limit.
    """
    global_headers: dict[bytes, bytes] = {}
    pending = _Pending()
    previous = b""
    count = 0
    while True:
        header = _next_header(data, previous, count == 0 and pending.count == 0, end_mark)
        if header is None:
            if pending.count:
                raise truncated(previous)
            return
        if header.type in (b"x", b"g", b"X", b"L", b"K"):
            _read_extended(header, data, limits, pending, global_headers)
            continue
        member = _member(header, data, limits, pending, global_headers)
        pending = _Pending()
        previous = member.name
        count += 1
        if count > limits.entries:
            raise HostileInput(
                f"the archive has more than {limits.entries} entries", hint="import a smaller archive, or dir:PATH"
            )
        yield member
        rest = member._end - data.offset
        if data.skip(rest) < rest:
            raise truncated(member.name)


def truncated(name: bytes) -> SourceError:
    """Return the error for an archive that ends within or right after the member `name`."""
    where = f"after {display(name)}" if name else "at its start"
    return SourceError(f"the archive is truncated {where}", hint="fetch or make it again, then import again")


def _next_header(data: ArchiveBytes, previous: bytes, first: bool, end_mark: bool) -> Header | None:
    block = data.read(BLOCK)
    if block == ZERO_BLOCK or not (block or end_mark):
        return None
    if not block and previous:
        raise SourceError(
            f"the archive is truncated: it has no end mark after {display(previous)}",
            hint="if it is complete: (cat FILE; head -c 1024 /dev/zero) | envgit import tar:-",
        )
    if len(block) < BLOCK:
        if first:
            raise SourceError("this is no tar archive", hint="use a tar archive, plain or gzip, zstd, xz; or dir:PATH")
        raise truncated(previous)
    try:
        return parse_header(block)
    except BadHeader as error:
        if first:
            raise SourceError(
                "this is no tar archive", hint="use a tar archive, plain or gzip, zstd, xz; or dir:PATH"
            ) from None
        raise SourceError(
            f"the archive is damaged after {display(previous)}: {error}", hint="fetch or make it again"
        ) from None


def _read_extended(
    header: Header, data: ArchiveBytes, limits: TarLimits, pending: _Pending, global_headers: dict[bytes, bytes]
) -> None:
    pending.count += 1
    limit = limits.extended_header_bytes if header.type in (b"x", b"g", b"X") else limits.path_bytes
    if header.size > limit or pending.count > limits.extended_headers_per_member:
        raise HostileInput(
            f"the extended header {display(header.name)} has {header.size} bytes (allowed: {limit}) or is one too many",
            hint="make the archive again, or import the directory with dir:PATH",
        )
    content = data.read(header.size + padding(header.size))
    if len(content) < header.size + padding(header.size):
        raise truncated(header.name)
    content = content[: header.size]
    if header.type == b"L":
        pending.longname = content.rstrip(b"\0")
        return
    if header.type == b"K":
        pending.longlink = content.rstrip(b"\0")
        return
    try:
        for key, value in iter_records(content):
            if header.type == b"g":
                if key in _GLOBAL_KEYS:
                    global_headers[key] = value
            elif key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                pending.sparse_numbers.append(value)
            else:
                pending.headers[key] = value
    except ValueError as error:
        raise SourceError(
            f"the extended header {display(header.name)} is damaged: {error}", hint="fetch or make it again"
        ) from None


def _member(
    header: Header, data: ArchiveBytes, limits: TarLimits, pending: _Pending, global_headers: dict[bytes, bytes]
) -> TarMember:
    headers = {**global_headers, **pending.headers} if global_headers else pending.headers
    name = pending.longname if pending.longname is not None else header.name
    linkname = pending.longlink if pending.longlink is not None else header.linkname
    stored, mtime_ns = header.size, header.mtime * 1_000_000_000
    uid, gid = header.uid, header.gid
    if headers:
        name = headers.get(b"GNU.sparse.name", headers.get(b"path", name))
        linkname = headers.get(b"linkpath", linkname)
        if b"size" in headers:
            stored = _size(headers[b"size"], name)
        if b"mtime" in headers:
            mtime_ns = parse_time(headers[b"mtime"], name)
        if b"uid" in headers:
            uid = parse_integer(headers[b"uid"], "uid", name)
        if b"gid" in headers:
            gid = parse_integer(headers[b"gid"], "gid", name)
    type_ = header.type
    if type_ in _PLAIN and name.endswith(b"/"):
        type_ = b"5"
    if type_ in _WITHOUT_DATA:
        # As GNU tar reads it: links have no data whatever their size field says; directories never do.
        stored = 0
    end = data.offset + stored + padding(stored)
    sparse: SparseMap | None = None
    if header.type == b"S":
        sparse = old_gnu_map(name, header.block, data, limits)
        end = data.offset + stored + padding(stored)
    elif type_ == b"0" and (pending.sparse_numbers or any(key.startswith(b"GNU.sparse.") for key in headers)):
        found = pax_map(name, headers, pending.sparse_numbers, stored, data, limits)
        if found is not None:
            sparse, used = found
            stored -= used
    if sparse is not None and sparse.stored != stored:
        raise HostileInput(
            f"the sparse map of {display(name)} claims {sparse.stored} bytes but {stored} are there",
            hint="make the archive again without --sparse, or import the directory with dir:PATH",
        )
    if len(name) > limits.path_bytes or len(linkname) > limits.path_bytes:
        raise HostileInput(
            f"the name {display(name)} is longer than {limits.path_bytes} bytes",
            hint="make the archive again without it (tar --exclude)",
        )
    return TarMember(
        name=name,
        type=b"0" if type_ in _PLAIN else type_,
        mode=header.mode,
        uid=check_id(uid, "uid", name),
        gid=check_id(gid, "gid", name),
        mtime_ns=clamp_time(mtime_ns),
        size=sparse.size if sparse is not None else stored,
        linkname=linkname,
        device=(header.major, header.minor),
        headers=pending.headers,
        sparse=sparse,
        time_was_clamped=clamp_time(mtime_ns) != mtime_ns,
        _data=data,
        _end=end,
    )


def _size(value: bytes, name: bytes) -> int:
    size = parse_integer(value, "size", name)
    if not 0 <= size < 1 << 63:
        raise HostileInput(f"the size {size} of {display(name)} is impossible", hint="make the archive again")
    return size
