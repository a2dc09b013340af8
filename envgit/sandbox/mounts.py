"""From what was asked to what is mounted: named volumes, paths of other revisions, mounts of other sandboxes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from envgit.errors import SandboxError, UsageError
from envgit.exec.spec import Mount
from envgit.repo import Repository
from envgit.sandbox.mount_syntax import parse_mount, parse_tmpfs, parse_volume
from envgit.sandbox.named_volumes import ensure_volume, mark_used, needs_content, volume_marker
from envgit.sandbox.request import MountRequest, RunRequest

__all__ = ["all_mounts", "parse_mount", "parse_tmpfs", "parse_volume", "prepare_mounts", "resolve_mounts"]
# The words of the command line are read by mount_syntax; they are part of this module's face.

_SELINUX = "/sys/fs/selinux/enforce"


def all_mounts(
    repo: Repository, requests: Sequence[MountRequest], volumes_from: Sequence[str]
) -> tuple[MountRequest, ...]:
    """Return the own mounts and those of the sandboxes named by `volumes_from` (NAME[:ro|:rw]), theirs after the own.

    A target of the own hides theirs; of several sandboxes the last has its way. Memory is not shared, so not taken.
    Raises UsageError for two own mounts with one target, UnknownSandbox.
    """
    own: dict[str, MountRequest] = {}
    for mount in requests:
        if mount.target in own:
            raise UsageError(f"two mounts have the target {mount.target}", hint="leave one of them out")
        own[mount.target] = mount
    borrowed: dict[str, MountRequest] = {}
    for word in volumes_from:
        name, _, mode = word.partition(":")
        if mode not in ("", "ro", "rw") or not name:
            raise UsageError(f"--volumes-from {word!r} is not understood", hint="--volumes-from NAME or NAME:ro")
        for mount in _mounts_of(repo, name, ()):
            borrowed[mount.target] = mount._replace(readonly=mount.readonly or mode == "ro")
    return (*requests, *(mount for target, mount in borrowed.items() if target not in own))


def _mounts_of(repo: Repository, name: str, above: tuple[str, ...]) -> tuple[MountRequest, ...]:
    from envgit.sandbox.registry import find_sandbox

    if name in above:
        return ()
    request: RunRequest = find_sandbox(repo, name).record.request
    found: dict[str, MountRequest] = {}
    for word in request.volumes_from:
        inner, _, mode = word.partition(":")
        for mount in _mounts_of(repo, inner, (*above, name)):
            found[mount.target] = mount._replace(readonly=mount.readonly or mode == "ro")
    found.update((mount.target, mount) for mount in request.mounts if mount.kind != "tmpfs")
    return tuple(found.values())


def prepare_mounts(repo: Repository, requests: Sequence[MountRequest], volumes_from: Sequence[str] = ()) -> None:
    """Do what takes the repository's lock, before a run takes its own: materialise the revisions that are mounted."""
    from envgit.stack import ensure_plan

    for mount in all_mounts(repo, requests, volumes_from):
        if mount.kind == "rev":
            ensure_plan(repo, _resolve_revision(repo, mount))


def resolve_mounts(
    repo: Repository, requests: Sequence[MountRequest], volumes_from: Sequence[str] = ()
) -> tuple[Mount, ...]:
    """Return the mounts of a sandbox; named volumes that are missing are made.

    Called while gc is kept away (`lock_starts`), after prepare_mounts(): the layers that a "layers" mount names stay only as
    long as the sandbox's state names them, too. Raises UsageError, SandboxError, Conflict.
    """
    return tuple(_resolve(repo, mount) for mount in all_mounts(repo, requests, volumes_from))


def _resolve(repo: Repository, mount: MountRequest) -> Mount:
    options = dict(mount.options)
    target, noexec = os.fsencode(mount.target), "noexec" in options
    if mount.kind == "tmpfs":
        kernel = tuple((name.encode(), value.encode()) for name, value in mount.options if name != "noexec")
        return Mount("tmpfs", target, readonly=mount.readonly, noexec=noexec, options=kernel)
    if mount.kind == "rev":
        return _resolve_layers(repo, mount, noexec)
    if ("z" in options or "Z" in options) and os.path.exists(_SELINUX):
        repo.monitor.warn(f"z and Z of {mount.source} are ignored: labels of SELinux are not changed")
    if mount.kind == "bind":
        insist = "insist" in options
        within = os.fsencode(options.get("within", ""))
        return Mount("bind", target, os.fsencode(mount.source), mount.readonly, noexec, insist=insist, within=within)
    data = ensure_volume(repo, mount.source)
    subpath = os.fsencode(options.get("subpath", ""))
    marker = b""
    if "nocopy" in options or subpath:
        mark_used(repo, mount.source)
    elif needs_content(repo, mount.source):
        marker = os.fsencode(volume_marker(repo, mount.source))
    return Mount("volume", target, os.fsencode(data), mount.readonly, noexec, subpath=subpath, marker=marker)


def _resolve_layers(repo: Repository, mount: MountRequest, noexec: bool) -> Mount:
    from envgit.stack import find_plan

    oid = _resolve_revision(repo, mount)
    plan = find_plan(repo, oid)
    if plan is None:
        raise SandboxError(f"the layers of {mount.source} are gone: gc was faster", hint="run it again")
    return Mount(
        "layers",
        os.fsencode(mount.target),
        os.fsencode(mount.source),
        readonly=True,
        noexec=noexec,
        layers=tuple(repo.cache.layer_path(name) for name in plan.layers),
        subpath=os.fsencode(mount.source.rpartition(":")[2]),
    )


def _resolve_revision(repo: Repository, mount: MountRequest) -> bytes:
    return repo.resolve_bytes(mount.source.rpartition(":")[0])
