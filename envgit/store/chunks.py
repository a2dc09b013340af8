"""Content-defined chunks of big files (docs/format.md section 5). The parameters are part of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from envgit.model import ZEROS

CHUNK_MIN_BYTES = 16 * 1024
CHUNK_AVERAGE_BYTES = 64 * 1024
CHUNK_MAX_BYTES = 256 * 1024
GROUP_MAX_CHUNKS = 1024
_WINDOW_BYTES = 4 * 1024 * 1024


ZERO_CHUNK = bytes(CHUNK_MAX_BYTES)
"""What a hole is cut into: in zeros nothing but the maximum ends a chunk. `iter_chunks` yields this very object."""


def iter_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut content given in pieces of any size; yields 1 to CHUNK_MAX_BYTES bytes each, in order.

    Cuts depend on the content alone: a window's last chunk may have been cut by the window's end, so it is carried
    into the next one. (pyfastcdc's own stream mode gives the same cuts at a tenth of the speed.) Zeros are cut
    without the cutter.
    """
    from pyfastcdc import FastCDC

    cutter = FastCDC(
        avg_size=CHUNK_AVERAGE_BYTES, min_size=CHUNK_MIN_BYTES, max_size=CHUNK_MAX_BYTES, normalized_chunking=2, seed=0
    )
    window = bytearray()
    in_hole = False
    """The window begins with a chunk and holds nothing but zeros."""
    for piece in pieces:
        if in_hole and ZEROS.startswith(piece):
            size = len(window) + len(piece)
            while size >= CHUNK_MAX_BYTES:
                yield ZERO_CHUNK
                size -= CHUNK_MAX_BYTES
            window = bytearray(size)
            continue
        in_hole = False
        window += piece
        if len(window) < _WINDOW_BYTES:
            continue
        *whole, last = [chunk.length for chunk in cutter.cut_buf(bytes(window))]
        start = 0
        for length in whole:
            yield bytes(window[start : start + length])
            start += length
        del window[:start]
        assert last == len(window)
        in_hole = ZEROS.startswith(window)
    for chunk in cutter.cut_buf(bytes(window)):
        yield bytes(chunk.data)


def iter_groups(chunk_oids: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Gather chunk ids (20 bytes each) into groups: one ends after an id whose last byte is 0, or when full."""
    group: list[bytes] = []
    for oid in chunk_oids:
        group.append(oid)
        if oid[-1] == 0 or len(group) == GROUP_MAX_CHUNKS:
            yield group
            group = []
    if group:
        yield group


def put_chunk_tree(
    pieces: Iterable[bytes],
    put_blob: Callable[[bytes], bytes],
    put_tree: Callable[[list[tuple[int, bytes, bytes]]], bytes],
) -> bytes:
    """Store content as a chunk tree and return its tree id. Memory: one chunk and one group of ids."""
    hole: list[bytes] = []

    def put_chunk(chunk: bytes) -> bytes:
        if chunk is not ZERO_CHUNK:
            return put_blob(chunk)
        if not hole:
            hole.append(put_blob(chunk))
        return hole[0]

    groups = [
        put_tree([(0o100644, b"%04x" % index, oid) for index, oid in enumerate(group)])
        for group in iter_groups(put_chunk(chunk) for chunk in iter_chunks(pieces))
    ]
    return put_tree([(0o040000, b"%06x" % index, oid) for index, oid in enumerate(groups)])
