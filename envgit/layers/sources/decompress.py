"""Archive bytes out of a plain or compressed stream, read once, forward, in bounded memory.

Compression is recognised by its first bytes, never by a file name. What comes out is counted against what went
in, so that a few kilobytes cannot become terabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, cast

from envgit.errors import EnvgitError, HostileInput, SourceError
from envgit.layers.sources.tar_limits import TarLimits

_READ_BYTES = 1024 * 1024
_OUTPUT_BYTES = 1024 * 1024
_ZSTD_INPUT_BYTES = 1024
_MAGIC_BYTES = 6

_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\x00"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"

_UNSUPPORTED = (
    (b"BZh", "bzip2", "bzip2 -dc FILE | envgit import tar:-"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc FILE | envgit import tar:-"),
    (b"\x5d\x00\x00", "lzma", "xz -dc FILE | envgit import tar:-"),
    (b"\x1f\x9d", "compress (.Z)", "gzip -dc FILE | envgit import tar:-"),
    (b"LZIP", "lzip", "lzip -dc FILE | envgit import tar:-"),
    (b"PK\x03\x04", "zip", "unpack it into a directory, then use dir:PATH"),
    (b"7z\xbc\xaf\x27\x1c", "7z", "unpack it into a directory, then use dir:PATH"),
    (b"hsqs", "squashfs", "unsquashfs -d DIR FILE, then use dir:DIR"),
    (b"070701", "cpio", "unpack it into a directory with cpio -id, then use dir:PATH"),
    (b"!<arch>\n", "ar (a .deb?)", "dpkg-deb --fsys-tarfile FILE | envgit import tar:-"),
)


class ByteStream(Protocol):
    """What an archive is read from: an open file, a verified download."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, b"" at the end; None if a non-blocking file has none yet."""


class _Decompressor(Protocol):
    """The interface of lzma.LZMADecompressor and isal's IgzipDecompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ArchiveBytes:
    """A forward-only reader over chunks. `offset` is the position in the uncompressed archive."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._start = 0
        self.offset = 0

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, or fewer at the end of the archive."""
        start = self._start
        end = start + size
        if end <= len(self._chunk):
            self._start = end
            self.offset += size
            return self._chunk[start:end]
        parts = list(self.pieces(size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes in pieces; fewer at the end of the archive."""
        while size > 0:
            available = len(self._chunk) - self._start
            if not available:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._chunk, self._start = chunk, 0
                continue
            take = min(size, available)
            piece = self._chunk[self._start : self._start + take]
            self._start += take
            self.offset += take
            size -= take
            yield piece

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; return how many there were."""
        return sum(len(piece) for piece in self.pieces(size))


def open_archive(
    stream: ByteStream, limits: TarLimits, advance: Callable[[int], None], each: Callable[[bytes], None] | None = None
) -> ArchiveBytes:
    """Return the uncompressed bytes of `stream`; `advance` is told how many bytes were read from it, `each` is given every
    uncompressed piece (to hash it).

    Raises SourceError for an empty stream, an unsupported compression, and (while reading) damaged or
    truncated data; HostileInput for a bomb.
    """
    meter = _Meter(stream, advance)
    first = meter.read_first()
    if not first:
        raise SourceError("the archive is empty", hint="check the command that makes it, then import again")
    return ArchiveBytes(_limited(_chunks(first, meter, limits), meter, limits, each))


class _Meter:
    """Reads `stream` and counts."""

    def __init__(self, stream: ByteStream, advance: Callable[[int], None]) -> None:
        self._stream = stream
        self._advance = advance
        self.consumed = 0

    def read_first(self) -> bytes:
        """Return enough bytes to recognise the format; fewer only at the end."""
        first = b""
        while len(first) < 512:
            more = self.read()
            if not more:
                break
            first += more
        return first

    def read(self, size: int = _READ_BYTES) -> bytes:
        """Return up to `size` bytes, b"" at the end. An unbuffered pipe gives a few kilobytes at a time: ask again."""
        parts: list[bytes] = []
        got = 0
        while got < size // 2 or not got:
            try:
                data = self._stream.read(size - got)
            except OSError as error:
                raise SourceError(
                    f"cannot read the archive: {error.strerror}", hint="check the file or device"
                ) from error
            if data is None:
                raise SourceError("standard input does not wait for data", hint="write the archive to a file: tar:FILE")
            if not data:
                break
            parts.append(data)
            got += len(data)
        if got:
            self.consumed += got
            self._advance(got)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _chunks(first: bytes, meter: _Meter, limits: TarLimits) -> Iterator[bytes]:
    if first.startswith(_GZIP):
        return _members(first, meter, "gzip", _gzip_decompressor, lambda data: data.startswith(_GZIP))
    if first.startswith(_XZ):
        return _members(first, meter, "xz", lambda: _xz_decompressor(limits), lambda data: data.startswith(_XZ))
    if _is_zstd(first):
        return _members(first, meter, "zstd", lambda: _ZstdFrame(limits), _is_zstd)
    for magic, name, way in _UNSUPPORTED:
        if first.startswith(magic):
            raise SourceError(f"this is {name} data; tar archives may be plain, gzip, zstd or xz", hint=way)
    return _plain(first, meter)


def _plain(first: bytes, meter: _Meter) -> Iterator[bytes]:
    yield first
    while data := meter.read():
        yield data


def _limited(
    chunks: Iterator[bytes], meter: _Meter, limits: TarLimits, each: Callable[[bytes], None] | None
) -> Iterator[bytes]:
    produced = 0
    for chunk in chunks:
        produced += len(chunk)
        if produced > limits.ratio_free_bytes and produced > meter.consumed * limits.ratio:
            raise HostileInput(
                f"the archive grew to {produced} bytes from {meter.consumed}: more than {limits.ratio} times",
                hint="if you trust it, unpack it yourself and import the directory with dir:PATH",
            )
        if each is not None:
            each(chunk)
        yield chunk


def _gzip_decompressor() -> _Decompressor:
    from isal import igzip_lib

    decompressor: _Decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    return decompressor


def _xz_decompressor(limits: TarLimits) -> _Decompressor:
    import lzma

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=limits.window_bytes)


def _members(
    data: bytes, meter: _Meter, name: str, make: Callable[[], _Decompressor], is_member: Callable[[bytes], bool]
) -> Iterator[bytes]:
    """Yield what one or more concatenated gzip members, xz streams or zstd frames hold; zero padding is skipped."""
    import lzma

    import zstandard
    from isal import igzip_lib

    isal_error = cast("type[Exception]", igzip_lib.IsalError)
    errors: tuple[type[Exception], ...] = (isal_error, lzma.LZMAError, zstandard.ZstdError, EOFError)
    while data:
        decompressor = make()
        while not decompressor.eof:
            if decompressor.needs_input and not data:
                data = meter.read()
                if not data:
                    raise _truncated(name)
            try:
                chunk = decompressor.decompress(data, _OUTPUT_BYTES)
            except errors as error:
                raise _damaged(name, error) from error
            data = b""
            if chunk:
                yield chunk
        data = _next_member(decompressor.unused_data, meter)
        while data and len(data) < _MAGIC_BYTES and (more := meter.read()):
            data += more
        if data and not is_member(data):
            raise SourceError(
                f"something that is not {name} follows the {name} data",
                hint=f"cut it off with: {name} -dc FILE | envgit import tar:-",
            )


def _next_member(data: bytes, meter: _Meter) -> bytes:
    """Return `data` and what follows from its first byte that is not zero padding."""
    while True:
        data = data.lstrip(b"\0")
        if data:
            return data
        data = meter.read()
        if not data:
            return b""


class _ZstdFrame:
    """One zstd frame with the interface of `_Decompressor`.

    zstandard's own stream reader takes a cut-off frame for a complete one and stumbles over zero padding; its
    decompression object bounds no output, so it is fed little: 1 KiB can become 32 MiB at most.
    """

    def __init__(self, limits: TarLimits) -> None:
        import zstandard

        self._frame = zstandard.ZstdDecompressor(max_window_size=limits.window_bytes).decompressobj()
        self._data = b""
        self._start = 0

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def needs_input(self) -> bool:
        return self._start >= len(self._data)

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data + self._data[self._start :]

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if data:
            self._data, self._start = self._data[self._start :] + data, 0
        parts = []
        size = 0
        while not self._frame.eof and self._start < len(self._data) and not 0 <= max_length <= size:
            part = self._frame.decompress(self._data[self._start : self._start + _ZSTD_INPUT_BYTES])
            self._start += _ZSTD_INPUT_BYTES
            parts.append(part)
            size += len(part)
        return b"".join(parts)


def _is_zstd(data: bytes) -> bool:
    return data.startswith(_ZSTD) or (data[1:4] == _ZSTD_SKIPPABLE and 0x50 <= data[0] <= 0x5F)


def _truncated(name: str) -> SourceError:
    return SourceError(f"the archive is truncated: its {name} data ends too early", hint="fetch or make it again")


def _damaged(name: str, error: Exception) -> EnvgitError:
    if "memory" in str(error).lower() or "window" in str(error).lower():
        return HostileInput(
            f"the {name} data needs too much memory to unpack",
            hint="zstd -dc --long=31 FILE | envgit import tar:-"
            if name == "zstd"
            else f"{name} -dc FILE | envgit import tar:-",
        )
    return SourceError(
        f"the archive's {name} data is damaged: {error}",
        hint=f"check it with: {name} -t FILE, then fetch or make it again",
    )
