"""A sandbox as an OCI runtime spec (config.json of a bundle, version 1.2). Imported only to print or hand one over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envgit.errors import SandboxError
from envgit.exec.cgroups.limits import Limits
from envgit.exec.identity import Identity
from envgit.exec.mount.plan import WRITABLE_OF_READONLY
from envgit.exec.oci.resources import write_resources
from envgit.exec.oci.state import OCI_VERSION
from envgit.exec.spec import DirectoryRoot, Mount, OverlayRoot, SandboxSpec
from envgit.light_typing import NamedTuple
from envgit.model import IdMapExtent

_RLIMITS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
            "MSGQUEUE", "NICE", "RTPRIO", "RTTIME")  # fmt: skip
_UNLIMITED = 2**64 - 1
_HIDDEN = ("nosuid", "nodev", "noexec")


class Extras(NamedTuple):
    """What an OCI runtime spec has and a SandboxSpec has elsewhere, or not at all."""

    limits: Limits = Limits()
    seccomp: Mapping[str, Any] | None = None
    """The system call filter as OCI spells it; SandboxSpec.seccomp is compiled already."""
    annotations: Mapping[str, str] = {}
    files_folder: bytes = b"files"
    """Where the memory files lie, named 0, 1, ... as SandboxSpec.files has them; relative to the bundle."""
    sources: Mapping[int, bytes] = {}
    """Other paths for the sources of mounts, by index: what the caller has id-mapped itself."""
    cgroups_path: str = ""
    version: str = OCI_VERSION


def to_oci(spec: SandboxSpec, identity: Identity, root_path: bytes, extras: Extras | None = None) -> dict[str, Any]:
    """Return the runtime spec, ready for a JSON encoder, of a root that is mounted at `root_path`; deterministic.

    The overlay itself is not part of it: OCI runtimes take a finished root. Bytes that are not UTF-8 become surrogates. Raises
    SandboxError for what OCI cannot say: a joined root, a private network, a mount of a revision.
    """
    extras = extras or Extras()
    if not isinstance(spec.root, (OverlayRoot, DirectoryRoot)):
        raise SandboxError("an OCI runtime cannot join a running sandbox's root", hint="run a revision: envgit run REV")
    if spec.network not in ("none", "host"):
        raise SandboxError("an OCI runtime cannot make a private network", hint="--network none, or --network host")
    linux: dict[str, Any] = {
        "uidMappings": _mappings(spec.idmap.uids),
        "gidMappings": _mappings(spec.idmap.gids),
        "namespaces": _namespaces(spec),
        "resources": {"devices": [{"allow": False, "access": "rwm"}], **write_resources(extras.limits)},
        "maskedPaths": [os.fsdecode(path) for pattern in spec.masked for path in _expand(pattern)],
        "readonlyPaths": [os.fsdecode(path) for path in spec.readonly],
        "rootfsPropagation": "private",
    }
    if extras.cgroups_path:
        linux["cgroupsPath"] = extras.cgroups_path
    if spec.sysctls:
        linux["sysctl"] = {os.fsdecode(name): os.fsdecode(value) for name, value in spec.sysctls}
    if extras.seccomp is not None:
        linux["seccomp"] = dict(extras.seccomp)
    config: dict[str, Any] = {
        "ociVersion": extras.version,
        "process": _process(spec, identity),
        "root": {"path": os.fsdecode(root_path), "readonly": spec.readonly_root},
        "hostname": os.fsdecode(spec.hostname),
        "mounts": [*_system_mounts(spec), *sorted(_callers_mounts(spec, extras), key=_depth)],
        "linux": linux,
    }
    if any(each.kind == "uts" for each in spec.joined):
        del config["hostname"]
    if extras.annotations:
        config["annotations"] = dict(sorted(extras.annotations.items()))
    return config


def missing_in_oci(spec: SandboxSpec, extras: Extras) -> list[str]:
    """Return what the built-in runner does and an OCI runtime cannot be told."""
    found = []
    if not spec.nested_namespaces and extras.seccomp is None:
        found.append("programs inside can make user namespaces of their own: there is no system call filter")
    if spec.network == "host":
        found.append("control groups of the host are visible in /sys")
    if spec.shm_bytes and any(mount.target.startswith(b"/dev/shm") for mount in spec.mounts):
        found.append("mounts in /dev/shm lie over the sandbox's own")
    return found


def _process(spec: SandboxSpec, identity: Identity) -> dict[str, Any]:
    names = sorted(set(spec.capabilities))
    held = names if identity.uid == 0 else []
    environment = dict(spec.env)
    environment.setdefault(b"HOME", identity.home)
    process: dict[str, Any] = {
        "terminal": spec.terminal,
        "user": {
            "uid": identity.uid,
            "gid": identity.gid,
            "umask": spec.umask,
            "additionalGids": _additional_groups(spec, identity),
        },
        "args": [os.fsdecode(word) for word in spec.argv],
        "env": [os.fsdecode(name + b"=" + value) for name, value in environment.items()],
        "cwd": os.fsdecode(spec.cwd or b"/"),
        "capabilities": {"bounding": names, "effective": held, "permitted": held, "inheritable": [], "ambient": []},
        "rlimits": [
            {"type": f"RLIMIT_{_RLIMITS[n]}", "soft": _rlimit(soft), "hard": _rlimit(hard)}
            for n, soft, hard in spec.rlimits
        ],
        "noNewPrivileges": spec.no_new_privileges,
    }
    if spec.oom_score_adj is not None:
        process["oomScoreAdj"] = spec.oom_score_adj
    return process


def _additional_groups(spec: SandboxSpec, identity: Identity) -> list[int]:
    """Return the supplementary groups; without the group itself where runc, started by an ordinary user, refuses every one."""
    if spec.idmap.kind in ("subordinate", "single"):
        return [group for group in identity.groups if group != identity.gid]
    return list(identity.groups)


def _rlimit(value: int) -> int:
    return _UNLIMITED if value < 0 else value


def _namespaces(spec: SandboxSpec) -> list[dict[str, str]]:
    kinds = ["user", "mount", "pid", "uts", "ipc", "cgroup", *([] if spec.network == "host" else ["network"])]
    paths = {each.kind: os.fsdecode(each.path) for each in spec.joined}
    return [{"type": kind, **({"path": paths[kind]} if kind in paths else {})} for kind in kinds]


def _mappings(extents: Sequence[IdMapExtent]) -> list[dict[str, int]]:
    return [{"containerID": extent.inside, "hostID": extent.outside, "size": extent.size} for extent in extents]


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _system_mounts(spec: SandboxSpec) -> list[dict[str, Any]]:
    sys = (
        _mount("/sys", "none", "/sys", *_HIDDEN, "rbind", "ro")
        if spec.network == "host"
        else _mount("/sys", "sysfs", "sysfs", *_HIDDEN, "ro")
    )
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    if spec.idmap.gids[-1].inside + spec.idmap.gids[-1].size > 5:
        terminals.append("gid=5")
    mounts = [
        _mount("/proc", "proc", "proc", *_HIDDEN),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", *terminals),
        _mount("/dev/shm", "tmpfs", "shm", *_HIDDEN, "mode=1777", f"size={spec.shm_bytes}"),
        _mount("/dev/mqueue", "mqueue", "mqueue", *_HIDDEN),
        sys,
    ]
    if spec.fresh_run:
        mounts.append(_mount("/run", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755"))
        mounts.append(_mount("/run/lock", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777"))
    return mounts


def _callers_mounts(spec: SandboxSpec, extras: Extras) -> Iterator[dict[str, Any]]:
    """Yield what mount/plan.py mounts for the caller; whoever sorts by depth has its order."""
    seen = {mount.target for mount in spec.mounts}
    folder = os.fsdecode(extras.files_folder)
    for number, (path, _) in enumerate(spec.files):
        if path not in seen:
            yield _mount(os.fsdecode(path), "bind", f"{folder}/{number}", "nosuid", "nodev", "bind", "rw")
    for number, mount in enumerate(spec.mounts):
        yield _callers_mount(spec, number, mount, extras)
    if spec.readonly_root and spec.fresh_run:
        for target in WRITABLE_OF_READONLY:
            if target not in seen:
                yield _mount(os.fsdecode(target), "tmpfs", "tmpfs", "nosuid", "nodev", "rw", "mode=1777")


def _depth(mount: dict[str, Any]) -> int:
    depth: int = mount["destination"].count("/")
    return depth


def _callers_mount(spec: SandboxSpec, number: int, mount: Mount, extras: Extras) -> dict[str, Any]:
    target = os.fsdecode(mount.target)
    options = ["nosuid", "nodev", *(["noexec"] if mount.noexec else []), "ro" if mount.readonly else "rw"]
    if mount.kind == "tmpfs":
        given = [os.fsdecode(key + b"=" + value) for key, value in mount.options]
        mode = [] if any(key == b"mode" for key, _ in mount.options) else ["mode=1777"]
        return _mount(target, "tmpfs", "tmpfs", *options, *mode, *given)
    plain_volume = mount.kind == "volume" and not mount.subpath and not mount.marker
    if mount.kind != "bind" and not plain_volume:
        what = "a path of a revision" if mount.kind == "layers" else "a part of a volume, or a new volume,"
        raise SandboxError(f"an OCI runtime cannot mount {what} on {target}", hint="leave --runtime out")
    source = os.fsdecode(extras.sources.get(number, mount.source))
    shifted = spec.idmap.kind == "range" and not spec.volume_ids_as_on_disk
    if mount.kind == "bind" and shifted and number not in extras.sources:
        options.append("idmap")
    return _mount(target, "bind", source, "rbind", "rprivate", *options)


def _expand(pattern: bytes) -> list[bytes]:
    """Return the paths of this machine's /proc and /sys that a pattern stands for: OCI has no patterns."""
    if b"*" not in pattern:
        return [pattern]
    before, _, after = pattern.partition(b"*")
    folder, _, prefix = before.rpartition(b"/")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    paths = [folder + b"/" + name + after for name in names if name.startswith(prefix)]
    return [path for path in paths if os.path.lexists(path)]
