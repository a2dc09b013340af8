"""A sandbox as an OCI runtime spec (config.json of a bundle, version 1.2). Imported only to print or hand one over."""

from __future__ import annotations

import os
from collections.abc import Sequence

from envgit.errors import SandboxError
from envgit.exec.identity import Identity
from envgit.exec.spec import LiveRoot, SandboxSpec
from envgit.model import IdMapExtent

_RLIMITS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
            "MSGQUEUE", "NICE", "RTPRIO", "RTTIME")  # fmt: skip


def to_oci(spec: SandboxSpec, identity: Identity, root_path: bytes) -> dict[str, object]:
    """Return the runtime spec, ready for a JSON encoder, of a root that is mounted at `root_path`.

    The overlay and the memory files of `spec` are not part of it: OCI runtimes take a finished root. Bytes that are not
    UTF-8 become surrogates. Raises SandboxError for a LiveRoot, which OCI cannot say.
    """
    if isinstance(spec.root, LiveRoot):
        raise SandboxError("an OCI runtime cannot join a running sandbox's root")
    names = sorted(set(spec.capabilities))
    held = names if identity.uid == 0 else []
    namespaces = ["user", "mount", "pid", "uts", "ipc", "cgroup", *(["network"] if spec.network == "none" else [])]
    environment = dict(spec.env)
    environment.setdefault(b"HOME", identity.home)
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": spec.terminal,
            "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": list(identity.groups)},
            "args": [os.fsdecode(word) for word in spec.argv],
            "env": [os.fsdecode(name + b"=" + value) for name, value in environment.items()],
            "cwd": os.fsdecode(spec.cwd or b"/"),
            "capabilities": {"bounding": names, "effective": held, "permitted": held, "inheritable": [], "ambient": []},
            "rlimits": [
                {"type": f"RLIMIT_{_RLIMITS[n]}", "soft": soft, "hard": hard} for n, soft, hard in spec.rlimits
            ],
            "noNewPrivileges": spec.no_new_privileges,
        },
        "root": {"path": os.fsdecode(root_path), "readonly": spec.readonly_root},
        "hostname": os.fsdecode(spec.hostname),
        "mounts": [*_system_mounts(spec), *_callers_mounts(spec)],
        "linux": {
            "uidMappings": _mappings(spec.idmap.uids),
            "gidMappings": _mappings(spec.idmap.gids),
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": [os.fsdecode(path) for path in spec.masked if b"*" not in path],
            "readonlyPaths": [os.fsdecode(path) for path in spec.readonly],
        },
    }


def _mappings(extents: Sequence[IdMapExtent]) -> list[dict[str, int]]:
    return [{"containerID": extent.inside, "hostID": extent.outside, "size": extent.size} for extent in extents]


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, object]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _system_mounts(spec: SandboxSpec) -> list[dict[str, object]]:
    hidden = ("nosuid", "nodev", "noexec")
    sys = (
        _mount("/sys", "sysfs", "sysfs", *hidden, "ro")
        if spec.network == "none"
        else _mount("/sys", "none", "/sys", *hidden, "rbind", "ro")
    )
    return [
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "shm", *hidden, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", *hidden),
        _mount("/proc", "proc", "proc", *hidden),
        sys,
        _mount("/run", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755"),
    ]


def _callers_mounts(spec: SandboxSpec) -> list[dict[str, object]]:
    mounts = []
    for mount in spec.mounts:
        mode = "ro" if mount.readonly else "rw"
        target, source = os.fsdecode(mount.target), os.fsdecode(mount.source)
        if mount.kind == "tmpfs":
            mounts.append(_mount(target, "tmpfs", "tmpfs", "nosuid", "nodev", mode, "mode=1777"))
        else:
            mounts.append(_mount(target, "bind", source, "nosuid", "nodev", "rbind", mode))
    return mounts
