"""From a spec to the list of mount operations, in the order in which they are done.

An operation is data with three verbs: describe() says what it will do, open() takes what it needs from the host while
the process still has the caller's ids and sees the host's mounts, execute() does it with descriptors only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from envgit.errors import SandboxError
from envgit.exec.mount import rootfs, system_mounts, volumes
from envgit.exec.mount.place import Place
from envgit.exec.mount.settings import NETWORK_PREFIX, WriteSettings
from envgit.exec.spec import RESERVED_TARGETS, DirectoryRoot, Inside, LiveRoot, OverlayRoot, SandboxSpec
from envgit.light_typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from envgit.exec.mount.sources import Source

WRITABLE_OF_READONLY = (b"/tmp", b"/var/tmp")
"""Memory over these while the root is read-only, besides /run and /dev/shm: programs expect to be able to write there."""


class Operation(Protocol):
    def describe(self) -> str: ...

    def open(self, place: Place) -> None: ...

    def execute(self, place: Place) -> None: ...


def plan_mounts(spec: SandboxSpec, base: bytes, sources: Mapping[int, Source]) -> list[Operation]:
    """Return every mount operation of `spec`; raise SandboxError for targets that are refused.

    `base` is the working directory of the child (see `layers_base`); `sources` are those of bind mounts and volumes by
    index (see sources.py); without them the operations can only be described.
    """
    operations: list[Operation] = []
    if isinstance(spec.root, Inside):
        return operations
    if isinstance(spec.root, OverlayRoot):
        lowers = tuple(os.path.relpath(path, base) for path in spec.root.lowers)
        upper, work = (os.path.relpath(path, base) for path in (spec.root.upper, spec.root.work))
        operations.append(rootfs.MountOverlay(lowers, upper, work, spec.root.volatile))
    elif isinstance(spec.root, DirectoryRoot):
        operations.append(rootfs.BindRoot(os.path.relpath(spec.root.path, base)))
    else:
        operations.append(rootfs.CloneLiveRoot())
    single = spec.idmap.gids[-1].inside + spec.idmap.gids[-1].size <= system_mounts.TTY_GROUP
    operations.append(system_mounts.MountDev(tty_group=not single, shm_bytes=spec.shm_bytes))
    operations.append(system_mounts.MountProc(limit_namespaces=not spec.nested_namespaces and not _joins(spec)))
    operations.append(system_mounts.MountSys(own_network=spec.network != "host"))
    joins_network = any(each.kind == "network" for each in spec.joined)
    settings = tuple(each for each in spec.sysctls if not (joins_network and each[0].startswith(NETWORK_PREFIX)))
    if settings:
        operations.append(WriteSettings(settings))
    if spec.fresh_run:
        operations.append(system_mounts.MountRun())
    operations.extend(system_mounts.Mask(path) for path in spec.masked)
    operations.extend(system_mounts.MakeReadOnly(path) for path in spec.readonly)
    operations.extend(_callers_mounts(spec, base, sources))
    if spec.readonly_root:
        operations.append(system_mounts.MakeRootReadOnly())
    return operations


def _callers_mounts(spec: SandboxSpec, base: bytes, sources: Mapping[int, Source]) -> Iterator[Operation]:
    """Yield what the caller brings along: what lies above is mounted first, whatever the order in which it was given.

    Memory files come after a mount that holds their folder, before the others; one over which the caller mounts is left out.
    """
    placed: list[tuple[bytes, int, Operation]] = []
    seen: set[bytes] = set()
    for number, mount in enumerate(spec.mounts):
        target = check_target(mount.target)
        if target in seen:
            raise SandboxError(f"two mounts have the target {os.fsdecode(target)}", hint="leave one of them out")
        seen.add(target)
        operation: Operation
        if mount.kind == "tmpfs":
            operation = volumes.MountMemory(target, mount.readonly, mount.noexec, mount.options)
        elif mount.kind == "layers":
            from envgit.exec.mount.revision import MountRevision

            layers = tuple(os.path.relpath(path, base) for path in mount.layers)
            operation = MountRevision(layers, mount.subpath, target, mount.noexec, mount.source)
        else:
            operation = volumes.BindVolume(mount._replace(target=target), sources.get(number))
        placed.append((target, target.count(b"/"), operation))
    if spec.readonly_root and spec.fresh_run:
        for target in WRITABLE_OF_READONLY:
            if target not in seen:
                placed.append((target, target.count(b"/"), volumes.MountMemory(target, False)))
    placed.sort(key=_depth)
    files = tuple(file for file in spec.files if file[0] not in seen)
    above = {target for target, _, _ in placed if any(path.startswith(target + b"/") for path, _ in files)}
    yield from (operation for target, _, operation in placed if target in above)
    if files:
        yield volumes.InjectFiles(files)
    yield from (operation for target, _, operation in placed if target not in above)


def _depth(placed: tuple[bytes, int, Operation]) -> int:
    return placed[1]


def layers_base(spec: SandboxSpec) -> bytes:
    """Return the folder that contains all layer folders: the parent enters it, the child starts from it."""
    if isinstance(spec.root, (LiveRoot, Inside)):
        return b"/"
    if isinstance(spec.root, DirectoryRoot):
        return spec.root.path
    folders = [*spec.root.lowers, *spec.root[1:3], *(path for mount in spec.mounts for path in mount.layers)]
    return os.path.commonpath([os.path.dirname(path) for path in folders])


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
