"""Descriptors that the child makes inside the sandbox and hands to the monitor (unix(7), SCM_RIGHTS).

`_socket` instead of `socket`: the public module costs 4 ms of import on the path of every run.
"""

from __future__ import annotations

import os
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socketpair,
)

TERMINAL = b"terminal"
_FD_BYTES = 4


class Handoff:
    """A pair of sockets across the clone: the child sends, the monitor receives. Each message is a name and a descriptor."""

    __slots__ = ("_receiver", "_sender")

    def __init__(self) -> None:
        self._receiver, self._sender = socketpair(AF_UNIX, SOCK_SEQPACKET, 0)

    @property
    def child_end(self) -> int:
        """The descriptor that the child must keep."""
        return self._sender.fileno()

    def send(self, name: bytes, fd: int) -> None:
        """In the child: hand `fd` over under a name; the caller still closes its own."""
        self._sender.sendmsg([name], [(SOL_SOCKET, SCM_RIGHTS, fd.to_bytes(_FD_BYTES, "little"))])

    def receive(self) -> dict[bytes, int]:
        """In the monitor: return what was handed over so far, close-on-exec; never waits."""
        found: dict[bytes, int] = {}
        while True:
            try:
                name, ancillary, _, _ = self._receiver.recvmsg(
                    64, CMSG_SPACE(_FD_BYTES), MSG_CMSG_CLOEXEC | MSG_DONTWAIT
                )
            except BlockingIOError:
                return found
            if not name:
                return found
            for level, kind, data in ancillary:
                if (level, kind) == (SOL_SOCKET, SCM_RIGHTS) and len(data) >= _FD_BYTES:
                    fd = int.from_bytes(data[:_FD_BYTES], "little")
                    if name in found:
                        os.close(found[name])
                    found[name] = fd

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()
