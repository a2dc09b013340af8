"""System call numbers out of the kernel's headers, as `make headers_install` or a distribution's package leaves them."""

from __future__ import annotations

import re
from pathlib import Path

_DEFINITION = re.compile(r"#\s*define\s+__NR(?P<wide>3264)?_(?P<name>\w+)\s+(?P<value>\w+)")
_NOT_CALLS = {"syscalls", "arch_specific_syscall"}
_CONDITIONS = {
    "__BITS_PER_LONG == 32 || defined(__SYSCALL_COMPAT)": False,
    "defined(__ARCH_WANT_TIME32_SYSCALLS) || __BITS_PER_LONG != 32": True,
    "defined(__SYSCALL_COMPAT) || __BITS_PER_LONG == 32": False,
    "__BITS_PER_LONG == 64 && !defined(__SYSCALL_COMPAT)": True,
    "defined(__ARCH_WANT_NEW_STAT) || defined(__ARCH_WANT_STAT64)": True,
    "__ARCH_WANT_RENAMEAT": True,
    "__ARCH_WANT_SET_GET_RLIMIT": True,
    "__ARCH_WANT_SYS_CLONE3": True,
    "__ARCH_WANT_MEMFD_SECRET": True,
    "__ARCH_WANT_SYNC_FILE_RANGE2": False,
    "__SYSCALL_COMPAT": False,
    "__NR3264_stat": True,
}
"""What the generic header asks, answered for aarch64 (its asm/unistd.h defines these)."""


def parse_numbers(text: str) -> dict[str, int]:
    """Return the calls that an `asm/unistd_64.h` defines."""
    return {
        match["name"]: int(match["value"])
        for match in map(_DEFINITION.match, text.splitlines())
        if match and match["value"].isdigit() and match["name"] not in _NOT_CALLS
    }


def parse_generic(text: str) -> dict[str, int]:
    """Return the calls that `asm-generic/unistd.h` gives to aarch64.

    Raises ValueError for a condition that this module has no answer to: a newer header must be read by a human first.
    """
    numbers: dict[str, int] = {}
    wide: dict[str, int] = {}
    taken = [True]
    for line in text.splitlines():
        directive = line.split("/*")[0].strip()
        if directive.startswith(("#ifndef", "#ifdef", "#if ")):
            word, _, condition = directive.partition(" ")
            taken.append(True if word == "#ifndef" else _answer(condition.strip()))
        elif directive.startswith("#else"):
            taken[-1] = not taken[-1]
        elif directive.startswith("#endif"):
            taken.pop()
        elif all(taken) and (match := _DEFINITION.match(line)) and match["name"] not in _NOT_CALLS:
            value = match["value"]
            if match["wide"]:
                wide[f"__NR3264_{match['name']}"] = int(value)
            elif value.isdigit():
                numbers[match["name"]] = int(value)
            elif value in wide:
                numbers[match["name"]] = wide[value]
    return numbers


def _answer(condition: str) -> bool:
    try:
        return _CONDITIONS[condition]
    except KeyError:
        raise ValueError(f"a condition that is not known: {condition}") from None


def read_headers(folder: Path) -> dict[str, dict[str, int]]:
    """Return what the headers below an include folder say, by architecture; only of those whose header is there.

    "i386" comes along for its names: profiles made for several architectures mention calls that only others have.
    """
    found: dict[str, dict[str, int]] = {}
    for name, pattern in (("x86_64", "unistd_64.h"), ("i386", "unistd_32.h")):
        for place in (folder / "x86_64-linux-gnu/asm", folder / "asm"):
            header = place / pattern
            if name not in found and header.exists() and "__NR_mmap" in header.read_text():
                found[name] = parse_numbers(header.read_text())
    if (generic := folder / "asm-generic/unistd.h").exists():
        found["aarch64"] = parse_generic(generic.read_text())
    return found
