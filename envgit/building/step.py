"""Carry out a Run: a sandbox over the parent's revision, with what the recipe mounts in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import NamedTuple

from envgit.building.build_index import FOLDER
from envgit.building.options import BuildOptions, NetworkPolicy
from envgit.building.unit import CacheMount, Run, SecretMount, TmpfsMount, TreeMount, Unit
from envgit.errors import UsageError
from envgit.repo import Repository
from envgit.sandbox.request import MountRequest, NetworkMode, RunRequest
from envgit.sandbox.running import run_once
from envgit.store import storage

INPUTS_TARGET = "/run/envgit/inputs"
_SECRETS_MOST_BYTES = 512 << 10


class Trees(NamedTuple):
    """How a step gets at files that are no part of its environment: each returns a revision that is mounted."""

    inputs: Callable[[], str]
    mounted: Callable[[TreeMount], str]


def run_step(
    repo: Repository,
    unit: Unit,
    run: Run,
    parent: bytes,
    id: str,
    options: BuildOptions,
    epoch: int | None,
    trees: Trees,
) -> int:
    """Run the program of a unit over the commit `parent` and return its exit status; `sandboxes/ID/upper` has its changes.

    Raises UsageError for a secret that was not given, SandboxError when the program cannot be started.
    """
    secrets = _secrets(unit, run, options.secrets)
    files = [(injected.path, injected.content) for injected in run.files]
    files += [(mount.target, value) for mount, value in secrets if not mount.environment]
    environment = dict(run.env)
    environment.update(
        (m.environment, value.decode("utf-8", "surrogateescape")) for m, value in secrets if m.environment
    )
    if epoch is not None:
        environment.setdefault("SOURCE_DATE_EPOCH", str(epoch))
    with ExitStack() as held:
        mounts = [_mount(repo, mount, trees, held) for mount in run.mounts if not isinstance(mount, SecretMount)]
        if run.inputs:
            mounts.append(MountRequest("rev", f"{trees.inputs()}:/", INPUTS_TARGET, readonly=True))
            environment.setdefault("ENVGIT_INPUTS", INPUTS_TARGET)
        request = RunRequest(
            revision=parent.hex(),
            entrypoint=run.argv[0],
            command=run.argv[1:],
            env=tuple(environment.items()),
            workdir=run.workdir or None,
            user=run.user or None,
            mounts=tuple(mounts),
            files=tuple(files),
            network=choose_network(run.network, options.network),
            clean_environment=True,
        )
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        held.callback(os.close, null)
        return run_once(repo, request, id, stdio=(null, 2, 2), keep=True)


def choose_network(of_unit: NetworkPolicy, policy: NetworkPolicy) -> NetworkMode | None:
    """Return the network of a step: what it asks for, but none where that is the build's policy. None: private, if there is one."""
    if policy == "none":
        return "none"
    return of_unit or policy or None


def _secrets(unit: Unit, run: Run, given: Mapping[str, bytes]) -> list[tuple[SecretMount, bytes]]:
    found = []
    for mount in run.mounts:
        if not isinstance(mount, SecretMount):
            continue
        if mount.id in given:
            found.append((mount, given[mount.id]))
        elif mount.required:
            raise UsageError(
                f"{unit.origin}: the step needs the secret {mount.id!r}", hint=f"--secret id={mount.id},src=FILE"
            )
    if sum(len(value) for _, value in found) > _SECRETS_MOST_BYTES:
        raise UsageError(f"{unit.origin}: the secrets have more than {_SECRETS_MOST_BYTES >> 10} KiB together")
    return found


def _mount(repo: Repository, mount: CacheMount | TmpfsMount | TreeMount, trees: Trees, held: ExitStack) -> MountRequest:
    if isinstance(mount, TmpfsMount):
        return MountRequest("tmpfs", "", mount.target, options=(("size", mount.size),) if mount.size else ())
    if isinstance(mount, TreeMount):
        return MountRequest("rev", f"{trees.mounted(mount)}:/", mount.target, readonly=True)
    name = "build-" + sha256(mount.name.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    if mount.sharing != "shared":
        held.enter_context(_alone(repo, name))
    return MountRequest("volume", name, mount.target, mount.readonly, (("nocopy", ""),))


@contextmanager
def _alone(repo: Repository, name: str) -> Iterator[None]:
    """Wait until no other build has the cache."""
    folder = repo.path(FOLDER, "locks")
    storage.make_directory(folder, step="build-folder", parents=True)
    fd = os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
