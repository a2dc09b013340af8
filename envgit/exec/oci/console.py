"""A container's terminal handed to whoever asked for it: its master goes through a socket (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from envgit.errors import SandboxError
from envgit.exec.oci.fields import Fields
from envgit.exec.terminal import TIOCGPTN

_MOST_CELLS = 2**16 - 1


def send_terminal(master: int, path: str) -> None:
    """Send the master to the socket at `path`, with the terminal's name inside as the message, as runc does."""
    import socket

    number = int.from_bytes(fcntl.ioctl(master, TIOCGPTN, bytes(4)), "little")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(os.fsencode(path))
            socket.send_fds(connection, [b"/dev/pts/%d" % number], [master])
    except OSError as error:
        raise SandboxError(f"console socket {path}: {error.strerror or error}") from error


def set_terminal_size(master: int, process: Fields) -> None:
    """Give the terminal the size that `process.consoleSize` asks for, if it does."""
    size = process.object("consoleSize")
    if size.value:
        rows, columns = size.number("height", 0, most=_MOST_CELLS), size.number("width", 0, most=_MOST_CELLS)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
