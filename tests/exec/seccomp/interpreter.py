"""A classic BPF machine as the kernel has it for filters, with the kernel's checks of a program; no code of the package."""

from __future__ import annotations

import struct
from typing import NamedTuple

WORD = 0xFFFFFFFF
X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028


class Call(NamedTuple):
    number: int
    args: tuple[int, ...] = ()
    audit: int = X86_64


def check(program: bytes) -> None:
    """Assert what seccomp_check_filter and bpf_check_classic of the kernel demand."""
    assert program and len(program) % 8 == 0 and len(program) // 8 <= 4096
    instructions = list(struct.iter_unpack("<HBBI", program))
    for place, (code, yes, no, k) in enumerate(instructions):
        left = len(instructions) - place - 1
        if code == 0x20:
            assert k % 4 == 0 and k < 64
        elif code == 0x05:
            assert k < left
        elif code in (0x15, 0x25, 0x35):
            assert yes < left and no < left
        else:
            assert code in (0x06, 0x54), hex(code)
    assert instructions[-1][0] == 0x06


def run(program: bytes, call: Call) -> int:
    """Return what the program answers to one call."""
    return run_counted(program, call)[0]


def run_counted(program: bytes, call: Call) -> tuple[int, int]:
    """Return the answer, and how many instructions it took."""
    args = (*call.args, *(0,) * (6 - len(call.args)))
    data = struct.pack("<IIQ6Q", call.number & WORD, call.audit, 0, *(value & ((1 << 64) - 1) for value in args))
    place = accumulator = steps = 0
    while True:
        steps += 1
        code, yes, no, k = struct.unpack_from("<HBBI", program, 8 * place)
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            place += k
        elif code == 0x06:
            return int(k), steps
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}[code]
            place += yes if holds else no
