"""Who has a port: /proc/net names the socket, /proc/PID/fd the process. Loaded only for an error message."""

from __future__ import annotations

import os
import sys
from _socket import AF_INET, AF_INET6, inet_pton

_LISTENING = b"0A"


def find_holder(protocol: str, address: str, port: int) -> str | None:
    """Return "NAME (process PID)" of a process that has the host's port, or None.

    An ordinary user sees the processes of that user only. A socket on a wildcard address holds every address.
    """
    inodes = _socket_inodes(protocol, address, port)
    if not inodes:
        return None
    names = {f"socket:[{inode}]" for inode in inodes}
    for entry in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        folder = f"/proc/{entry}/fd"
        try:
            if any(_link(f"{folder}/{fd}") in names for fd in os.listdir(folder)):
                return f"{_program(entry)} (process {entry})"
        except OSError:  # ended meanwhile, or another user's
            continue
    return None


def _socket_inodes(protocol: str, address: str, port: int) -> set[int]:
    """Return the sockets in /proc/net/{tcp,udp}{,6} that keep `address`:`port` from being bound."""
    wanted = _packed(address)
    found = set()
    for suffix in ("", "6"):
        try:
            with open(f"/proc/net/{protocol}{suffix}", "rb", buffering=0) as file:
                lines = file.readall().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            place, _, number = fields[1].partition(b":")
            if int(number, 16) != port or (protocol == "tcp" and fields[3] != _LISTENING):
                continue
            theirs = _unswapped(place)
            if not any(wanted) or not any(theirs) or theirs in (wanted, bytes(10) + b"\xff\xff" + wanted):
                found.add(int(fields[9]))
    return found


def _packed(address: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


def _unswapped(text: bytes) -> bytes:
    """Return the address in network order: /proc prints each 32-bit word in the machine's order."""
    words = (text[start : start + 8] for start in range(0, len(text), 8))
    return b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _program(pid: str) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        name = file.read().rstrip("\n")
    return "".join(letter if letter.isprintable() else "?" for letter in name)
