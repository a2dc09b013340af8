"""The sandbox's terminal on the caller's: bytes and window sizes are copied while the program runs.

Imported only for runs with a terminal. The caller's terminal is raw meanwhile and always restored.
"""

from __future__ import annotations

import fcntl
import os
import termios
import tty
from typing import Any

from envgit.exec.reactor import READABLE, WRITABLE, Reactor, write_all

PIECE_BYTES = 65536
MOST_UNSENT_BYTES = 1 << 20
"""Keys and pastes that the program has not taken yet; beyond, the caller's terminal is not read: its own buffer fills."""


class Console:
    """Copies between the master of a sandbox's terminal and descriptors 0 and 1; takes `master` over."""

    def __init__(self, master: int, reactor: Reactor) -> None:
        self._master = master
        self._reactor = reactor
        self._unsent = b""
        self._reads_input = True
        self._saved = _make_raw()
        os.set_blocking(master, False)
        self.copy_size()
        reactor.watch(master, READABLE, self._master_ready)
        try:
            reactor.watch(0, READABLE, self._input_ready)
        except PermissionError:  # a regular file: always ready, read it as the program takes it
            self._unsent = _read_everything()
            self._end_input()

    def copy_size(self) -> None:
        """Give the sandbox's terminal the size of the caller's."""
        for fd in (0, 1, 2):
            if os.isatty(fd):
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
                return

    def close(self) -> None:
        """Copy what the program wrote before it ended; restore the caller's terminal."""
        while self._master >= 0 and (data := _read_waiting(self._master)):
            write_all(1, data)
        self._reactor.unwatch(0)
        if self._master >= 0:
            self._close_master()
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
            self._saved = None

    def _master_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._send()
        if events & ~WRITABLE and self._master >= 0:
            data = _read_waiting(self._master)
            if data:
                write_all(1, data)
            elif data is not None:
                self._close_master()

    def _input_ready(self, events: int) -> None:
        try:
            data = os.read(0, PIECE_BYTES)
        except OSError:
            data = b""
        self._unsent += data
        if not data:
            self._end_input()
        elif len(self._unsent) > MOST_UNSENT_BYTES:
            self._reactor.unwatch(0)
            self._reads_input = False
        self._send()

    def _end_input(self) -> None:
        self._reactor.unwatch(0)
        if not os.isatty(0):
            self._unsent += b"\x04"
        self._send()

    def _send(self) -> None:
        """Write what the terminal takes; never wait: the program may be waiting for its output to be read."""
        if self._master < 0:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._master, self._unsent[:PIECE_BYTES]) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""
        self._reactor.watch(self._master, READABLE | (WRITABLE if self._unsent else 0), self._master_ready)
        if not self._reads_input and len(self._unsent) < MOST_UNSENT_BYTES:
            self._reads_input = True
            self._reactor.watch(0, READABLE, self._input_ready)

    def _close_master(self) -> None:
        self._reactor.unwatch(self._master)
        os.close(self._master)
        self._master = -1


def _make_raw() -> list[Any] | None:
    if not os.isatty(0):
        return None
    saved: list[Any] = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    return saved


def _read_waiting(master: int) -> bytes | None:
    """Return what is there: b"" at the end (a master gives EIO when nobody has the slave open), None for nothing now."""
    try:
        return os.read(master, PIECE_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _read_everything() -> bytes:
    pieces = []
    while piece := os.read(0, PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)
