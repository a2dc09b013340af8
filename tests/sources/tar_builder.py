"""Makes tar archives byte by byte, also ones that no honest program writes."""

from __future__ import annotations

END = bytes(1024)


def field(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    if value < 0:
        return (value % (1 << 8 * width)).to_bytes(width, "big")
    return (value | 0x80 << (8 * width - 8)).to_bytes(width, "big")


def header(
    name: bytes,
    type_: bytes = b"0",
    size: int = 0,
    link: bytes = b"",
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    device: tuple[int, int] = (0, 0),
    magic: bytes = b"ustar\x0000",
    tail: bytes = b"",
) -> bytes:
    block = bytearray(512)
    block[: len(name[:100])] = name[:100]
    block[100:108] = field(mode, 8)
    block[108:116] = field(uid, 8)
    block[116:124] = field(gid, 8)
    block[124:136] = field(size, 12)
    block[136:148] = field(mtime, 12)
    block[156:157] = type_
    block[157 : 157 + len(link[:100])] = link[:100]
    block[257:265] = magic
    block[329:337] = field(device[0], 8)
    block[337:345] = field(device[1], 8)
    if tail:
        block[386 : 386 + len(tail)] = tail
    return seal(block)


def seal(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", **fields: object) -> bytes:
    return header(name, b"0", len(data), **fields) + padded(data)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    total = length + len(str(length))
    total = length + len(str(total))
    return b"%d %b=%b\n" % (total, key, value)


def pax(*records: tuple[bytes, bytes], type_: bytes = b"x") -> bytes:
    data = b"".join(record(key, value) for key, value in records)
    return header(b"PaxHeaders/x", type_, len(data)) + padded(data)


def raw_pax(data: bytes) -> bytes:
    return header(b"PaxHeaders/x", b"x", len(data)) + padded(data)


def long_name(name: bytes, type_: bytes = b"L") -> bytes:
    return header(b"././@LongLink", type_, len(name) + 1, magic=b"ustar  \0") + padded(name + b"\0")
