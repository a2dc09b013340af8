"""Make a terminal on the sandbox's own devpts: called by the child. The caller's terminal never gets in, so nothing inside
can push input into it (TIOCSTI)."""

from __future__ import annotations

import fcntl
import os
import stat

from envgit.errors import SandboxError

TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
TIOCSCTTY = 0x540E
PTMX_DEVICE = os.makedev(5, 2)


def open_terminal(devpts_fd: int) -> int:
    """Make a pair, take its slave as controlling terminal and descriptors 0 to 2, and return its master.

    The caller has just started a session. Raises SandboxError when `devpts_fd` is not the root of a devpts.
    """
    master = os.open(b"ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=devpts_fd)
    status = os.fstat(master)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != PTMX_DEVICE:
        raise SandboxError("/dev/pts of the sandbox is not a devpts")
    fcntl.ioctl(master, TIOCSPTLCK, bytes(4))
    number = int.from_bytes(fcntl.ioctl(master, TIOCGPTN, bytes(4)), "little")
    slave = os.open(b"%d" % number, os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=devpts_fd)
    fcntl.ioctl(slave, TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    if slave > 2:
        os.close(slave)
    return master
