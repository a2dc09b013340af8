"""Apply git's deltas (gitformat-pack(5), "Deltified representation"). Input is hostile: every length is checked."""

from __future__ import annotations


def _size(delta: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = delta[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """Return the object that `delta` makes of `base`; raises ValueError when they do not fit."""
    try:
        base_size, position = _size(delta, 0)
        result_size, position = _size(delta, position)
        if base_size != len(base):
            raise ValueError("a delta does not belong to its base")
        parts: list[bytes] = []
        total, end = 0, len(delta)
        while position < end:
            command = delta[position]
            position += 1
            if command & 0x80:
                start = length = 0
                for bit in range(4):
                    if command & (1 << bit):
                        start |= delta[position] << (8 * bit)
                        position += 1
                for bit in range(3):
                    if command & (16 << bit):
                        length |= delta[position] << (8 * bit)
                        position += 1
                length = length or 0x10000
                part = base[start : start + length]
            else:
                length = command
                part = delta[position : position + length]
                position += length
            if not length or len(part) != length:
                raise ValueError("a delta reaches beyond its base or its end")
            total += length
            if total > result_size:
                raise ValueError("a delta makes more than it claims")
            parts.append(part)
    except IndexError:
        raise ValueError("a delta ends early") from None
    if total != result_size:
        raise ValueError("a delta makes less than it claims")
    return b"".join(parts)
