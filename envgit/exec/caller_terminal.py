"""The terminal this process was called from: made raw, restored, measured."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import tty
from typing import Any

Settings = list[Any]


def make_raw() -> Settings | None:
    """Pass every key of descriptor 0 on as it is; return what restore() needs, None when it is no terminal."""
    if not os.isatty(0):
        return None
    saved: Settings = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    return saved


def restore(saved: Settings) -> None:
    termios.tcsetattr(0, termios.TCSADRAIN, saved)


def window_size() -> tuple[int, int] | None:
    """Return rows and columns of the first of descriptors 0, 1, 2 that is a terminal; None when none is."""
    for fd in (0, 1, 2):
        if os.isatty(fd):
            rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
            return rows, columns
    return None


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Give a terminal a size; its foreground processes get SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
