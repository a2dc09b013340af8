"""The sandbox's terminal on the caller's: bytes and window sizes are copied while the program runs.

Imported only for runs with a terminal. The caller's terminal is raw meanwhile and always restored.
"""

from __future__ import annotations

import os

from envgit.exec.caller_terminal import make_raw, restore, set_window_size, window_size
from envgit.exec.outlet import Outlet
from envgit.exec.reactor import READABLE, WRITABLE, Reactor

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
        self._file_input = False
        self._outlet = Outlet(1, reactor, self._watch_master)
        self._saved = make_raw()
        try:
            self._begin()
        except BaseException:
            self._restore()
            raise

    def _begin(self) -> None:
        os.set_blocking(self._master, False)
        self.copy_size()
        self._watch_master()
        try:
            self._reactor.watch(0, READABLE, self._input_ready)
        except PermissionError:  # a regular file: always ready; the next piece when the program has taken the last
            self._file_input = True
            self._reactor.after(0.0, self._read_input)

    def copy_size(self) -> None:
        """Give the sandbox's terminal the size of the caller's."""
        size = window_size()
        if size is not None and self._master >= 0:
            set_window_size(self._master, *size)

    def asked_to_end(self) -> None:
        """A signal asked the caller to end: output that nobody reads does not keep it when the program has ended."""
        self._outlet.hurry()

    def close(self) -> None:
        """Copy what the program wrote before it ended, in the reactor; restore the caller's terminal."""
        try:
            self._reactor.unwatch(0)
            if self._master >= 0:
                self._reactor.unwatch(self._master)
                left = MOST_UNSENT_BYTES  # what it left behind may hold the terminal open, and write on
                while left > 0 and (data := _read_waiting(self._master)):
                    self._outlet.put(data)
                    left -= len(data)
                self._close_master()
            self._outlet.finish()
            self._reactor.run(until=lambda: not self._outlet.unsent_bytes)
        finally:
            self._restore()

    def _restore(self) -> None:
        self._outlet.close()
        if self._saved is not None:
            restore(self._saved)
            self._saved = None

    def _watch_master(self) -> None:
        if self._master < 0:
            return
        events = (0 if self._outlet.unsent_bytes else READABLE) | (WRITABLE if self._unsent else 0)
        if events:
            self._reactor.watch(self._master, events, self._master_ready)
        else:  # watching for nothing reports a hang-up again and again
            self._reactor.unwatch(self._master)

    def _master_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._send()
        if events & ~WRITABLE and self._master >= 0:
            if self._outlet.unsent_bytes:  # it hung up: nobody takes input; its last output is read when there is room
                self._unsent = b""
            elif data := _read_waiting(self._master):
                self._outlet.put(data)
            elif data is not None:
                self._close_master()
            self._watch_master()

    def _input_ready(self, events: int) -> None:
        self._read_input()

    def _read_input(self) -> None:
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
        self._file_input = False
        if not os.isatty(0):
            self._unsent += b"\x04"

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
        self._watch_master()
        if self._file_input and not self._unsent:
            self._reactor.after(0.0, self._read_input)
        elif not self._reads_input and len(self._unsent) < MOST_UNSENT_BYTES:
            self._reads_input = True
            self._reactor.watch(0, READABLE, self._input_ready)

    def _close_master(self) -> None:
        self._reactor.unwatch(self._master)
        os.close(self._master)
        self._master = -1


def _read_waiting(master: int) -> bytes | None:
    """Return what is there: b"" at the end (a master gives EIO when nobody has the slave open), None for nothing now."""
    try:
        return os.read(master, PIECE_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
