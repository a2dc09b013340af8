"""Sparse members: the four ways GNU tar has written them, as one list of segments."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

from envgit.errors import HostileInput
from envgit.layers.sources.decompress import ArchiveBytes
from envgit.layers.sources.tar_header import BLOCK, BadHeader, display, size_number
from envgit.layers.sources.tar_limits import TarLimits
from envgit.model import ZEROS


class SparseMap:
    """Where the stored data of a sparse file belongs: (offset, length) pairs, in order, apart from each other.

    Raises HostileInput (naming the member) when the map contradicts itself.
    """

    def __init__(self, name: bytes, numbers: array[int], size: int) -> None:
        self.numbers = numbers
        self.size = size
        self.stored = 0
        end = 0
        if len(numbers) % 2:
            raise _bad(name, "has an offset without a length")
        for i in range(0, len(numbers), 2):
            offset, length = numbers[i], numbers[i + 1]
            if offset < end:
                raise _bad(name, "overlaps itself")
            end = offset + length
            self.stored += length
        if end > size:
            raise _bad(name, "reaches beyond the file's size")

    @property
    def holes(self) -> int:
        return self.size - self.stored

    def pieces(self, data: ArchiveBytes) -> Iterator[bytes]:
        """Yield the whole file: zeros for holes, stored data from `data` (fewer when the archive ends)."""
        position = 0
        numbers = self.numbers
        for i in range(0, len(numbers), 2):
            yield from _zeros(numbers[i] - position)
            yield from data.pieces(numbers[i + 1])
            position = numbers[i] + numbers[i + 1]
        yield from _zeros(self.size - position)


def old_gnu_map(name: bytes, block: bytes, data: ArchiveBytes, limits: TarLimits) -> SparseMap:
    """Return the map of a type 'S' member from its header `block` and the extension blocks that follow."""
    numbers: array[int] = array("q")
    try:
        size = size_number(block[483:495])
        _append_old(numbers, block[386:482])
        extended = block[482]
        while extended:
            more = data.read(BLOCK)
            if len(more) < BLOCK:
                raise _bad(name, "is cut off")
            _append_old(numbers, more[:504])
            extended = more[504]
            _check_count(name, len(numbers) // 2, limits)
    except BadHeader as error:
        raise _bad(name, f"is malformed ({error})") from None
    return SparseMap(name, numbers, size)


def pax_map(
    name: bytes,
    headers: Mapping[bytes, bytes],
    offsets: list[bytes],
    stored: int,
    data: ArchiveBytes,
    limits: TarLimits,
) -> tuple[SparseMap, int] | None:
    """Return the map that PAX `headers` describe and how many of the `stored` bytes are the map itself (1.0 only),
    or None if the member is not sparse. `offsets` are the values of GNU.sparse.offset and .numbytes in order (0.0)."""
    if headers.get(b"GNU.sparse.major") == b"1" and headers.get(b"GNU.sparse.minor") == b"0":
        size = _number(name, headers.get(b"GNU.sparse.realsize", b""))
        return _embedded_map(name, size, stored, data, limits)
    if b"GNU.sparse.map" in headers:
        texts = headers[b"GNU.sparse.map"].split(b",") if headers[b"GNU.sparse.map"] else []
    elif b"GNU.sparse.numblocks" in headers or offsets:
        texts = offsets
    else:
        if any(key.startswith(b"GNU.sparse.major") for key in headers):
            raise _bad(name, "has an unknown version")
        return None
    _check_count(name, len(texts) // 2, limits)
    numbers = array("q", (_number(name, text) for text in texts))
    size = _number(name, headers.get(b"GNU.sparse.size", headers.get(b"GNU.sparse.realsize", b"")))
    return SparseMap(name, numbers, size), 0


def _embedded_map(name: bytes, size: int, stored: int, data: ArchiveBytes, limits: TarLimits) -> tuple[SparseMap, int]:
    """Read a version 1.0 map: decimal lines at the start of the member's data, padded to whole blocks."""
    numbers: array[int] = array("q")
    count = -1
    rest = b""
    used = 0
    while count < 0 or len(numbers) < 2 * count:
        if used + BLOCK > stored + (-stored % BLOCK) or used > limits.extended_header_bytes * 4:
            raise _bad(name, "is longer than the member")
        block = data.read(BLOCK)
        if len(block) < BLOCK:
            raise _bad(name, "is cut off")
        used += BLOCK
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if count < 0:
                count = _number(name, line)
                _check_count(name, count, limits)
            elif len(numbers) < 2 * count:
                numbers.append(_number(name, line))
        if len(rest) > 20 and (count < 0 or len(numbers) < 2 * count):
            raise _bad(name, "is malformed")
    return SparseMap(name, numbers, size), used


def _append_old(numbers: array[int], field: bytes) -> None:
    for i in range(0, len(field), 24):
        entry = field[i : i + 24]
        if not entry[0]:
            return
        numbers.append(size_number(entry[:12]))
        numbers.append(size_number(entry[12:]))


def _number(name: bytes, text: bytes) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) >= 1 << 62:
        raise _bad(name, f"has a bad number {display(text)!r}")
    return int(text)


def _check_count(name: bytes, count: int, limits: TarLimits) -> None:
    if count > limits.sparse_segments:
        raise _bad(name, f"has {count} segments, more than {limits.sparse_segments}")


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        take = min(size, len(ZEROS))
        yield ZEROS if take == len(ZEROS) else ZEROS[:take]
        size -= take


def _bad(name: bytes, why: str) -> HostileInput:
    return HostileInput(
        f"the sparse map of {display(name)} {why}",
        hint="make the archive again without --sparse, or import the directory with dir:PATH",
    )
