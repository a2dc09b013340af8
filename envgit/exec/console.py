"""A terminal of the sandbox's own, copied to and from the caller's. Imported only for runs with a terminal.

The pair is made inside, on the sandbox's devpts, and its master sent out: no descriptor of the caller's terminal ever
gets in, so nothing inside can push input into it (TIOCSTI).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Callable

from envgit.errors import SandboxError
from envgit.exec import linux

TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
PIECE_BYTES = 65536


class Console:
    """One terminal: `open_inside` is called by the child, everything else by the monitor."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self.child_end = self._there.fileno()
        self._saved: list[object] | None = None

    def open_inside(self, devpts_fd: int) -> None:
        """Make a pair on devpts, send its master to the monitor, take the slave as terminal and descriptors 0 to 2."""
        master = os.open(b"ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=devpts_fd)
        fcntl.ioctl(master, TIOCSPTLCK, bytes(4))
        number = int.from_bytes(fcntl.ioctl(master, TIOCGPTN, bytes(4)), "little")
        slave = os.open(b"%d" % number, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=devpts_fd)
        socket.send_fds(self._there, [b"x"], [master])
        os.close(master)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)

    def relay(self, pid: int, watched: set[signal.Signals], deliver: Callable[[int, int], int | None]) -> int:
        """Copy bytes and window sizes until the program ends; return its status. The caller's terminal is raw
        meanwhile and always restored."""
        _, fds, _, _ = socket.recv_fds(self._here, 1, 1)
        if not fds:
            raise SandboxError("the sandbox did not make a terminal")
        master = fds[0]
        signals = linux.signalfd({int(number) for number in watched})
        try:
            self._make_raw()
            self._copy_size(master)
            return self._copy(master, signals, pid, deliver)
        finally:
            self._restore()
            os.close(signals)
            os.close(master)

    def close(self) -> None:
        self._here.close()
        self._there.close()

    def _copy(self, master: int, signals: int, pid: int, deliver: Callable[[int, int], int | None]) -> int:
        poll = select.poll()
        poll.register(master, select.POLLIN)
        poll.register(0, select.POLLIN)
        poll.register(signals, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == signals:
                    status = self._take_signals(signals, master, pid, deliver)
                    if status is not None:
                        _drain(master)
                        return status
                elif fd == master:
                    if not _move(master, 1):
                        poll.unregister(master)
                elif not _move(0, master):
                    poll.unregister(0)
                    if not os.isatty(0):
                        os.write(master, b"\x04")

    def _take_signals(
        self, signals: int, master: int, pid: int, deliver: Callable[[int, int], int | None]
    ) -> int | None:
        try:
            number = int.from_bytes(os.read(signals, 128)[:4], "little")
        except BlockingIOError:
            return None
        if number == signal.SIGWINCH:
            self._copy_size(master)
            return None
        if number != signal.SIGCHLD:
            return deliver(pid, number)
        ended, raw = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return None
        code = os.waitstatus_to_exitcode(raw)
        return 128 - code if code < 0 else code

    def _make_raw(self) -> None:
        if os.isatty(0):
            self._saved = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSADRAIN)

    def _restore(self) -> None:
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None

    @staticmethod
    def _copy_size(master: int) -> None:
        for fd in (0, 1, 2):
            if os.isatty(fd):
                fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
                return


def _move(source: int, target: int) -> bool:
    """Copy what is there; False at the end (a master gives EIO when nobody has the slave open)."""
    try:
        data = os.read(source, PIECE_BYTES)
    except OSError:
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return bool(data)


def _drain(master: int) -> None:
    """Copy what the program wrote before it ended."""
    os.set_blocking(master, False)
    while _move(master, 1):
        pass
