"""Which control groups this process is in, and where they are mounted; nothing is assumed about paths."""

from __future__ import annotations

import os
from typing import NamedTuple

from envgit.exec.cgroups import tree

PROC = "/proc"
SYSTEMD_MARK = "/run/systemd/system"
"""Exists while systemd is the machine's init (sd_booted(3))."""

V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "freezer", "blkio")
"""What a version 1 group is made of, where mounted; limits need the first ones, the rest kills and counts."""


class Place(NamedTuple):
    """A group as a folder, and the mount point it lies below or is."""

    path: str
    mount_point: str


class Hierarchies(NamedTuple):
    """This process's own groups. `unified`: version 2, None when not mounted; `v1`: by controller."""

    unified: Place | None
    v1: dict[str, Place]


def read_hierarchies() -> Hierarchies:
    """Read /proc/self/mountinfo and /proc/self/cgroup. A hierarchy that this process cannot reach is left out."""
    try:
        mounts, own = tree.read(f"{PROC}/self/mountinfo"), tree.read(f"{PROC}/self/cgroup")
    except OSError:
        return Hierarchies(None, {})
    return parse_hierarchies(mounts, own)


def parse_hierarchies(mountinfo: str, own_groups: str) -> Hierarchies:
    """Combine the two files (proc(5), cgroups(7))."""
    own: dict[str, str] = {}
    for line in own_groups.splitlines():
        number, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else [""]:
            if name or number == "0":
                own[name] = path
    unified = None
    v1: dict[str, Place] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = _unescape(fields[3]), _unescape(fields[4])
        if kind[0] == "cgroup2":
            unified = unified or _place(root, point, own.get(""))
            continue
        for name in kind[-1].split(","):
            if name in V1_CONTROLLERS and name not in v1 and (place := _place(root, point, own.get(name))):
                v1[name] = place
    return Hierarchies(unified, v1)


def own_unified_path(pid: int) -> str | None:
    """Return the version 2 group of a process as /proc names it: relative to this process's group namespace."""
    try:
        lines = tree.read(f"{PROC}/{pid}/cgroup").splitlines()
    except OSError:
        return None
    return next((line[3:] for line in lines if line.startswith("0::")), None)


def booted_with_systemd() -> bool:
    return os.path.isdir(SYSTEMD_MARK)


def _place(root: str, point: str, own: str | None) -> Place | None:
    """Return where the group `own` is seen through a mount of the hierarchy's folder `root`; None when it is not."""
    if own is None or "/../" in f"{own}/":
        return None
    if own != root and not own.startswith(root.rstrip("/") + "/"):
        return None
    below = own[len(root.rstrip("/")) :].strip("/")
    return Place(f"{point.rstrip('/')}/{below}" if below else point, point)


def _unescape(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
