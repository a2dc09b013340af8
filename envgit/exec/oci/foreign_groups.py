"""Control groups of other runtimes: named after their monitor, so that those of a killed one are known, and removed."""

from __future__ import annotations

import os
from contextlib import suppress

from envgit.exec.process import start_time

_PREFIX = "envgit-run-"
_CGROUPS = "/sys/fs/cgroup"


def group_path(pid: int) -> str:
    """Return the name for what the monitor `pid` starts: it says which process that is, now and later."""
    return f"{_PREFIX}{pid}-{start_time(pid)}"


def remove_left_groups(done: str = "") -> None:
    """Remove empty groups, in every hierarchy, whose monitor is gone; and those called `done`."""
    for folder in (_CGROUPS, *_folders(_CGROUPS)):
        with suppress(OSError):
            for name in os.listdir(folder):
                if name.startswith(_PREFIX) and (name == done or not _is_alive(name)):
                    with suppress(OSError):  # not empty, or not ours
                        os.rmdir(f"{folder}/{name}")


def _folders(path: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _is_alive(name: str) -> bool:
    pid, _, when = name.removeprefix(_PREFIX).partition("-")
    return pid.isdigit() and when.isdigit() and start_time(int(pid)) == int(when)
