"""Run in an interpreter of its own: `probe.py FILTER|- CALLS`. Install a filter, make calls, write what each answered.

CALLS is a Python literal of (number, arguments); a number of None stands for getpid through the gate of i386. The answer is an
error's number, 0 for success. With a list of words instead, the program of that name is executed.
"""

from __future__ import annotations

import ast
import ctypes
import mmap
import os
import sys


def gate_of_i386() -> int:
    """Return what `int 0x80` gives to getpid: 0 for this process's pid, else the error."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    got = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return 0 if got == os.getpid() else -got


def call(number: int, arguments: tuple[int, ...]) -> int:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    result = syscall(ctypes.c_long(number), *(ctypes.c_ulong(argument & ((1 << 64) - 1)) for argument in arguments))
    return ctypes.get_errno() if result == -1 else 0


def main() -> None:
    from envgit.exec import linux
    from envgit.exec.seccomp.filter import install

    what = ast.literal_eval(sys.argv[2])
    if sys.argv[1] != "-":
        with open(sys.argv[1], "rb") as stream:
            program = stream.read()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        install(program)
    if isinstance(what[0], str):
        os.execvp(what[0], what)
    answers = [gate_of_i386() if number is None else call(number, arguments) for number, arguments in what]
    os.write(1, repr(answers).encode())


main()
