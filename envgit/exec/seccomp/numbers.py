"""The numbers of system calls on each architecture that envgit runs on, from the checked-in table `syscalls.txt`."""

from __future__ import annotations

import os
from typing import NamedTuple

from envgit.errors import HostUnsupported

ARCHITECTURES = ("x86_64", "aarch64")
"""As os.uname() calls them; the order of the table's columns."""

TABLE = os.path.join(os.path.dirname(__file__), "syscalls.txt")


class Architecture(NamedTuple):
    """What a filter must know of an architecture. `numbers` holds the calls that it has."""

    name: str
    audit: int
    """AUDIT_ARCH_*, which the kernel gives with every call."""
    foreign: int
    """The first number that is another ABI's (x32 sets a bit of the number and keeps the architecture)."""
    scmp: str
    """libseccomp's and OCI's name."""
    go: str
    """The name in the "arches" of docker's profiles."""
    numbers: dict[str, int]


def host_architecture() -> str:
    """Return the architecture of this machine; HostUnsupported when no filter can be made for it."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise HostUnsupported(
            f"there is no system call table for {machine}",
            hint="run without the filter: --security-opt seccomp=unconfined",
        )
    return machine


def read_table() -> dict[str, tuple[int | None, ...]]:
    """Return the number of every known call on each of ARCHITECTURES; None where an architecture does not have it.

    Names of which every number is None belong to other architectures: profiles made for all of them mention them.
    """
    table: dict[str, tuple[int | None, ...]] = {}
    with open(TABLE, encoding="ascii") as stream:
        for line in stream:
            if not line.startswith("#"):
                name, *columns = line.split()
                table[name] = tuple(None if column == "-" else int(column) for column in columns)
    return table


def load_architecture(name: str) -> Architecture:
    """Return one of ARCHITECTURES with its numbers."""
    column = ARCHITECTURES.index(name)
    numbers = {call: row[column] for call, row in read_table().items()}
    known = {call: number for call, number in numbers.items() if number is not None}
    if name == "x86_64":
        return Architecture(name, 0xC000003E, 0x40000000, "SCMP_ARCH_X86_64", "amd64", known)
    return Architecture(name, 0xC00000B7, 1 << 32, "SCMP_ARCH_AARCH64", "arm64", known)
