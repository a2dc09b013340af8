"""A program of 130 bytes that exits with 0: a whole environment's worth of software for tests that only need a run."""

from __future__ import annotations

import platform
import struct

_CODE = {
    "x86_64": (62, bytes.fromhex("b83c00000031ff0f05")),  # mov eax, 60; xor edi, edi; syscall
    "aarch64": (183, bytes.fromhex("a80b8052000080d2010000d4")),  # mov w8, #93; mov x0, #0; svc #0
}
_BASE = 0x400000


def true_program() -> bytes:
    """Return a static ELF executable for this machine that does nothing."""
    machine, code = _CODE[platform.machine()]
    start = 64 + 56
    size = start + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code
