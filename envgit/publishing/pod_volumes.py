"""Volumes of a pod: what an image declares, and what `[sandbox]` asks for. Nothing of this machine goes to a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from envgit.declaration.values import Sandbox
from envgit.environment_config import declared_keys
from envgit.exec.cgroups.limits import parse_size
from envgit.model import EnvironmentConfig
from envgit.sandbox.mount_syntax import parse_tmpfs

Object = dict[str, object]
_CLAIM: Final = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
"""RFC 1123, as the name of a PersistentVolumeClaim must be."""


class PodVolumes(NamedTuple):
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]


def plan_volumes(config: EnvironmentConfig, asked: Sandbox, leave_out: Callable[[str], None]) -> PodVolumes:
    """Return the volumes and where they are mounted; of two with one target the one that was asked for counts."""
    sources: dict[str, Object] = {}
    readonly: set[str] = set()
    for target in declared_keys(config, "Volumes"):
        if target.startswith("/") and ":" not in target:
            sources[target.rstrip("/") or "/"] = {"emptyDir": {}}
        else:
            leave_out(f"the volume {target[:80]!r}, which is no path")
    for text in asked.tmpfs:
        request = parse_tmpfs(text)
        sources[request.target] = _memory(dict(request.options).get("size"))
        if request.readonly:
            readonly.add(request.target)
    if asked.shm_size:
        sources["/dev/shm"] = _memory(asked.shm_size)
    for text in asked.volume:
        source, target, *words = text.split(":")
        if not _CLAIM.fullmatch(source):
            leave_out(f"--volume {text}: a folder of this machine, or no name in Kubernetes")
            continue
        sources[target] = {"persistentVolumeClaim": {"claimName": source}}
        if words == ["ro"]:
            readonly.add(target)
    for text in asked.mount:
        leave_out(f"--mount {text}")
    volumes: list[Object] = []
    mounts: list[Object] = []
    for number, (target, fields) in enumerate(sources.items(), 1):
        volumes.append({"name": f"volume-{number}", **fields})
        mounts.append({"name": f"volume-{number}", "mountPath": target})
        if target in readonly:
            mounts[-1]["readOnly"] = True
    return PodVolumes(tuple(volumes), tuple(mounts))


def _memory(size: str | None) -> Object:
    fields: Object = {"medium": "Memory"}
    if size and not size.endswith("%"):
        fields["sizeLimit"] = quantity(parse_size(size, "size"))
    return {"emptyDir": fields}


def quantity(size: int) -> str:
    """Return bytes as Kubernetes writes them: 1Gi, 512Mi."""
    for unit, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
        if size and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)
