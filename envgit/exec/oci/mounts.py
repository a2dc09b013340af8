"""`mounts` of config.json as mounts of a sandbox: system mounts are always our own, the rest is checked one by one."""

from __future__ import annotations

import os

from envgit.errors import SandboxError
from envgit.exec.oci.fields import Fields
from envgit.exec.spec import SHM_BYTES, Mount
from envgit.light_typing import NamedTuple

OWN_MOUNTS = ("/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
_SYSTEM_TYPES = frozenset(("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "tmpfs"))
_MEANINGLESS = frozenset(
    (
        "bind", "rbind", "rw", "nosuid", "nodev", "private", "rprivate", "suid", "dev", "exec", "relatime", "norelatime",
        "noatime", "atime", "strictatime", "nostrictatime", "nodiratime", "diratime", "defaults", "async", "sync", "nofail",
        "tmpcopyup", "copy", "nocopy", "Z", "z",
    )
)  # fmt: skip
"""Options that ask for what is so anyway, or do not matter here."""
_TMPFS_KEYS = ("size", "mode", "nr_inodes", "uid", "gid")
_SIZES = ("size", "nr_inodes")
_RESTRICTING = ("ro", "rro", "noexec")
_UNITS = "kKmMgG"
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30}


class Mounts(NamedTuple):
    mounts: tuple[Mount, ...]
    shm_bytes: int


def read_mounts(top: Fields, bundle: bytes, warnings: list[str]) -> Mounts:
    """Return the caller's mounts and the size of /dev/shm. Raises SandboxError naming the mount that is refused."""
    mounts = []
    shm_bytes = SHM_BYTES
    for each in top.objects("mounts"):
        target = os.path.normpath(each.text("destination"))
        kind = each.text("type", "")
        options = each.texts("options")
        bind = kind == "bind" or "bind" in options or "rbind" in options
        if any(each.has(name) for name in ("uidMappings", "gidMappings")):
            raise SandboxError(f"config.json: {each.name}: id-mapped mounts are not supported")
        if target in OWN_MOUNTS and not bind and kind in _SYSTEM_TYPES:
            if target == "/dev/shm":
                shm_bytes = _read_size(each, options) or shm_bytes
            continue
        if bind and target in OWN_MOUNTS and target == each.text("source"):
            continue  # the host's own /sys, as engines ask for it with a network that is not the sandbox's: see MountSys
        if bind:
            mounts.append(_bind(each, target, options, bundle, warnings))
        elif kind == "tmpfs":
            mounts.append(_memory(each, target, options))
        else:
            raise SandboxError(f"config.json: {each.name}: {kind or 'no type'} on {target} is not supported")
    return Mounts(tuple(mounts), shm_bytes)


def _bind(each: Fields, target: str, options: tuple[str, ...], bundle: bytes, warnings: list[str]) -> Mount:
    source = os.path.join(bundle, os.fsencode(each.text("source")))
    for option in options:
        if option in ("slave", "rslave"):
            warnings.append(f"{each.name}: {option}: mounts made later outside are not seen inside")
        elif option not in _MEANINGLESS and option not in _RESTRICTING:
            raise SandboxError(f"config.json: {each.name}: option {option!r} is not supported")
    readonly = "ro" in options or "rro" in options
    return Mount("bind", os.fsencode(target), os.path.normpath(source), readonly, "noexec" in options)


def _memory(each: Fields, target: str, options: tuple[str, ...]) -> Mount:
    found = []
    for option in options:
        name, equals, value = option.partition("=")
        if equals and name in _TMPFS_KEYS:
            if not _is_number(value.rstrip(_UNITS if name in _SIZES else ""), 8 if name == "mode" else 10):
                raise SandboxError(f"config.json: {each.name}: {option!r} is not a number")
            found.append((os.fsencode(name), os.fsencode(value)))
        elif option not in _MEANINGLESS and option not in _RESTRICTING:
            raise SandboxError(f"config.json: {each.name}: option {option!r} is not supported")
    return Mount("tmpfs", os.fsencode(target), b"", "ro" in options, "noexec" in options, tuple(found))


def _read_size(each: Fields, options: tuple[str, ...]) -> int | None:
    size = None
    for option in options:
        if option.startswith("size="):
            number = option[5:].rstrip(_UNITS)
            unit = option[5 + len(number) :]
            if not _is_number(number, 10) or len(unit) > 1:
                raise SandboxError(f"config.json: {each.name}: {option!r} is not a size")
            size = int(number) << _SHIFTS[unit.lower()]
    return size


def _is_number(text: str, base: int) -> bool:
    return 0 < len(text) < 16 and set(text) <= set("0123456789"[:base])
