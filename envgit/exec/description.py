"""What a start will do, in words and in order, without doing it: `envgit run --dry-run` prints it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from envgit.exec.launch import check_spec
from envgit.exec.mount.plan import layers_base, plan_mounts
from envgit.exec.spec import Inside, LiveRoot, SandboxSpec
from envgit.model import IdMapExtent

_KINDS = ("user", "mount", "pid", "uts", "ipc", "cgroup")
_NETWORKS = {
    "none": "its loopback alone",
    "host": "the host's",
    "tap": "an interface of its own; a helper that carries its traffic starts with the first packet",
    "veth": "an interface of its own, which the monitor moves in",
}
_BPF_INSTRUCTION_BYTES = 8


def describe_start(spec: SandboxSpec, *, limits: Sequence[str] = ()) -> list[str]:
    """Return one line for each step of starting `spec`. `limits`: lines on its control group. Raises what a start would for a
    target that is refused; sources are not opened."""
    check_spec(spec, (0, 1, 2))
    return [
        *_namespaces(spec),
        *_ids(spec),
        *(f"limit: {line}" for line in limits),
        *(f"mount: {operation.describe()}" for operation in plan_mounts(spec, layers_base(spec), {})),
        *_posture(spec),
        "execute: " + " ".join(_quoted(word) for word in spec.argv),
    ]


def _namespaces(spec: SandboxSpec) -> list[str]:
    if isinstance(spec.root, Inside):
        return [f"join: every namespace of process {spec.root.pid}"]
    joined = {each.kind: os.fsdecode(each.path) for each in spec.joined}
    lines = [f"join: the {kind} namespace {path}" for kind, path in joined.items()]
    kinds = list(_KINDS)
    if isinstance(spec.root, LiveRoot):
        lines.append(f"join: the user and mount namespaces of process {spec.root.pid}, then a copy of the latter")
        kinds.remove("user")
    if spec.network != "host":
        kinds.append("network")
    lines.append("namespaces: " + " ".join(kind for kind in kinds if kind not in joined))
    if "network" not in joined:
        lines.append(f"network: {_NETWORKS[spec.network]}")
    return lines


def _ids(spec: SandboxSpec) -> list[str]:
    if isinstance(spec.root, (LiveRoot, Inside)):
        return []
    return [f"ids: users {_extents(spec.idmap.uids)}", f"ids: groups {_extents(spec.idmap.gids)}"]


def _extents(extents: Sequence[IdMapExtent]) -> str:
    return ", ".join(
        f"{_range(each.inside, each.size)} are {_range(each.outside, each.size)} outside" for each in extents
    )


def _range(start: int, size: int) -> str:
    return str(start) if size == 1 else f"{start}-{start + size - 1}"


def _posture(spec: SandboxSpec) -> list[str]:
    user = f"{spec.identity.uid}:{spec.identity.gid}" if spec.identity is not None else os.fsdecode(spec.user) or "root"
    lines = []
    if not isinstance(spec.root, Inside):
        if not any(each.kind == "uts" for each in spec.joined):
            lines.append(f"hostname: {_quoted(spec.hostname)}")
        lines.append("root: pivot_root, detach what was there before, check the mounts that are left")
    lines.append("session: a new one" + (", with a new terminal" if spec.terminal else "") + ", and a new keyring")
    lines += [
        f"resource limit: {number} soft {_limit(soft)} hard {_limit(hard)}" for number, soft, hard in spec.rlimits
    ]
    if spec.oom_score_adj is not None:
        lines.append(f"oom score: {spec.oom_score_adj}")
    lines.append(f"directory: {_quoted(spec.cwd)}")
    names = " ".join(name.removeprefix("CAP_") for name in sorted(set(spec.capabilities))) or "none"
    lines.append(f"capabilities: {names}; inheritable and ambient none")
    lines.append(f"user: {user}")
    lines.append("no new privileges: " + ("on" if spec.no_new_privileges else "off"))
    size = len(spec.seccomp) // _BPF_INSTRUCTION_BYTES
    lines.append(f"system call filter: {size} instructions" if size else "system call filter: none")
    lines += [f"environment: {_quoted(name + b'=' + value)}" for name, value in spec.env]
    return lines


def _limit(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


def _quoted(text: bytes) -> str:
    """Return text that a shell takes back and no terminal is harmed by."""
    shown = os.fsdecode(text)
    if shown and all(letter.isascii() and (letter.isalnum() or letter in "_-./=:,+@%") for letter in shown):
        return shown
    if shown.isprintable():
        return "'" + shown.replace("'", "'\\''") + "'"
    return "$'" + "".join(_escaped(byte) for byte in text) + "'"


def _escaped(byte: int) -> str:
    if byte in b"'\\":
        return "\\" + chr(byte)
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"
