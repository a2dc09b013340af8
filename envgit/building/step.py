"""Carry out a Run: a sandbox over the parent's revision, with what the recipe mounts in it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import NamedTuple

from envgit.building.build_index import FOLDER
from envgit.building.caller_network import authorities, index_variables, proxy_variables
from envgit.building.options import BuildOptions, NetworkPolicy
from envgit.building.unit import CacheMount, Run, SecretMount, TmpfsMount, TreeMount, Unit
from envgit.errors import StorageError, UsageError
from envgit.repo import Repository
from envgit.sandbox.named_volumes import create_volume, remove_volumes, volume_data
from envgit.sandbox.request import MountRequest, NetworkMode, RunRequest
from envgit.sandbox.running import run_once
from envgit.store import storage

INPUTS_TARGET = "/run/envgit/inputs"
_SECRETS_MOST_BYTES = 512 << 10
_LIST_MOST_BYTES = 16 << 20


class Ended(NamedTuple):
    """`packages`: the list that a package unit left (building/package_sets/package_list.py)."""

    status: int
    packages: bytes


class Trees(NamedTuple):
    """How a step gets at files that are no part of its environment: each returns a REV:/PATH that is mounted."""

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
) -> Ended:
    """Run the program of a unit over the commit `parent`; `sandboxes/ID/upper` has its changes.

    Raises UsageError for a secret that was not given, SandboxError when the program cannot be started.
    """
    secrets = _secrets(unit, run, options.secrets)
    environment, files = _environment(repo, run, secrets, epoch)
    with ExitStack() as held:
        mounts = [_mount(repo, mount, trees, held) for mount in run.mounts if not isinstance(mount, SecretMount)]
        if run.inputs:
            mounts.append(MountRequest("rev", trees.inputs(), INPUTS_TARGET, readonly=True))
            environment.setdefault("ENVGIT_INPUTS", INPUTS_TARGET)
        left = ""
        if run.packages:
            left = held.enter_context(_output_volume(repo, id))
            folder = os.path.dirname(run.packages)
            for path in [path for path in files if os.path.dirname(path) == folder]:
                # Nothing can be mounted over what is not there.
                place = f"{volume_data(repo, left)}/{os.path.basename(path)}"
                storage.write_file(place, files.pop(path), step="build-input", mode=0o644)
            mounts.insert(0, MountRequest("volume", left, folder))
        request = RunRequest(
            revision=parent.hex(),
            entrypoint=run.argv[0],
            command=run.argv[1:],
            env=tuple(environment.items()),
            workdir=run.workdir or None,
            user=run.user or None,
            mounts=tuple(mounts),
            files=tuple(files.items()),
            network=choose_network(run.network, options.network),
            clean_environment=True,
            settled=True,
        )
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        held.callback(os.close, null)
        status = run_once(repo, request, id, stdio=(null, 2, 2), keep=True)
        if status or not run.packages:
            return Ended(status, b"")
        return Ended(status, _read_list(os.path.join(volume_data(repo, left), os.path.basename(run.packages))))


def _environment(
    repo: Repository, run: Run, secrets: list[tuple[SecretMount, bytes]], epoch: int | None
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return variables and memory files of a step."""
    environment = {**proxy_variables(repo.environ), **dict(run.env)}
    files = {injected.path: injected.content for injected in run.files}
    for mount, value in secrets:
        if mount.environment:
            environment[mount.environment] = value.decode("utf-8", "surrogateescape")
        else:
            files[mount.target] = value
    if epoch is not None:
        environment.setdefault("SOURCE_DATE_EPOCH", str(epoch))
    if run.packages:
        target = os.path.join(os.path.dirname(run.packages), "ca-certificates.crt")
        variables, bundle = authorities(repo.environ, target)
        environment = {**index_variables(repo.environ), **variables, **environment}
        if bundle is not None:
            files[target] = bundle
    return environment, files


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
        return MountRequest("rev", trees.mounted(mount), mount.target, readonly=True)
    name = "build-" + sha256(mount.name.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    if mount.sharing != "shared":
        held.enter_context(_alone(repo, name, mount.name))
    return MountRequest("volume", name, mount.target, mount.readonly, (("nocopy", ""),))


@contextmanager
def _alone(repo: Repository, name: str, shown: str) -> Iterator[None]:
    """Wait until no other build has the cache."""
    folder = repo.path(FOLDER, "locks")
    storage.make_directory(folder, step="build-folder", parents=True)
    fd = os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            repo.monitor.note(f"waiting for the cache {shown}: another build has it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def _output_volume(repo: Repository, id: str) -> Iterator[str]:
    """Make a volume for what a step tells the build: /run, where nothing is recorded, is gone with the sandbox."""
    name = f"build-{id}"
    create_volume(repo, name)
    try:
        yield name
    finally:
        remove_volumes(repo, [name])


def _read_list(path: str) -> bytes:
    """Return what a step left; it may be anything."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            data = file.read(_LIST_MOST_BYTES + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError as error:
        raise StorageError(f"the step left no list of packages: {error.strerror}") from error
    if len(data) > _LIST_MOST_BYTES:
        raise StorageError(f"the list of packages that the step left has more than {_LIST_MOST_BYTES >> 20} MiB")
    return data
