"""From a spec to the list of mount operations, in the order in which they are done.

An operation is data with three verbs: describe() says what it will do, open() takes what it needs from the host while
the process still has the caller's ids and sees the host's mounts, execute() does it with descriptors only.
"""

from __future__ import annotations

import os
from typing import Protocol

from envgit.errors import SandboxError
from envgit.exec import rootfs, system_mounts, volumes
from envgit.exec.place import Place
from envgit.exec.spec import RESERVED_TARGETS, LiveRoot, OverlayRoot, SandboxSpec


class Operation(Protocol):
    def describe(self) -> str: ...

    def open(self, place: Place) -> None: ...

    def execute(self, place: Place) -> None: ...


def plan_mounts(spec: SandboxSpec, base: bytes, source_fds: dict[int, int]) -> list[Operation]:
    """Return every mount operation of `spec`; raise SandboxError for targets and sources that are refused.

    `base` is the working directory of the child (see `layers_base`); `source_fds` are detached mounts of bind sources
    by index, that the parent was able to make (root); others are opened by path.
    """
    operations: list[Operation] = []
    if isinstance(spec.root, OverlayRoot):
        lowers = tuple(os.path.relpath(path, base) for path in spec.root.lowers)
        upper, work = (os.path.relpath(path, base) for path in (spec.root.upper, spec.root.work))
        operations.append(rootfs.MountOverlay(lowers, upper, work, spec.root.volatile))
    else:
        operations.append(rootfs.CloneLiveRoot())
    single = spec.idmap.gids[-1].inside + spec.idmap.gids[-1].size <= system_mounts.TTY_GROUP
    operations.append(system_mounts.MountDev(tty_group=not single))
    operations.append(system_mounts.MountProc(limit_namespaces=not spec.nested_namespaces and not _joins(spec)))
    operations.append(system_mounts.MountSys(own_network=spec.network == "none"))
    operations.append(system_mounts.MountRun())
    operations.extend(system_mounts.Mask(path) for path in spec.masked)
    operations.extend(system_mounts.MakeReadOnly(path) for path in spec.readonly)
    if spec.files:
        operations.append(volumes.InjectFiles(spec.files))
    for number, mount in enumerate(spec.mounts):
        target = check_target(mount.target)
        if mount.kind == "tmpfs":
            operations.append(volumes.MountMemory(target, mount.readonly))
        else:
            fd = source_fds.get(number, -1)
            operations.append(volumes.BindVolume(mount.source, target, mount.readonly, fd))
    if spec.readonly_root:
        operations.append(system_mounts.MakeRootReadOnly())
    return operations


def layers_base(spec: SandboxSpec) -> bytes:
    """Return the folder that contains all layer folders: the parent enters it, the child starts from it."""
    if isinstance(spec.root, LiveRoot):
        return b"/"
    return os.path.commonpath([*map(os.path.dirname, spec.root.lowers), *map(os.path.dirname, spec.root[1:3])])


def check_target(target: bytes) -> bytes:
    """Return the normalised target of a caller's mount; SandboxError for one that is refused."""
    text = os.fsdecode(target)
    if not target.startswith(b"/") or b"\0" in target:
        raise SandboxError(f"mount target {text!r} is not an absolute path")
    normal = b"/" + os.path.normpath(target).lstrip(b"/")
    reserved = any(normal == path or normal.startswith(path + b"/") for path in RESERVED_TARGETS)
    if normal == b"/" or (reserved and normal != b"/dev/shm" and not normal.startswith(b"/dev/shm/")):
        raise SandboxError(f"nothing can be mounted on {text}", hint="choose a target outside /, /proc, /sys and /dev")
    return normal


def _joins(spec: SandboxSpec) -> bool:
    return isinstance(spec.root, LiveRoot)
