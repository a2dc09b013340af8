"""Named volumes: `volumes/NAME/` of the repository, with `data` (what programs see), `state` and `ids` (docs/volumes.md).

`data` belongs on disk to the sandbox's root. A name of 64 hex digits is an anonymous volume, made by `-v PATH`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import Conflict, UnknownPath, UnknownVolume, UsageError
from envgit.repo import Repository
from envgit.sandbox.mount_syntax import check_name
from envgit.sandbox.state import iter_states, lock_starts
from envgit.store import storage

FOLDER = "volumes"
_ANONYMOUS_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
_ASIDE = ".gone-"
_UNFINISHED = ".new-"
_NEW, _USED = b"new\n", b"used\n"


class Volume(NamedTuple):
    """`created_ns`: since the epoch. `filled`: content of an environment was copied in, or programs used it."""

    name: str
    path: str
    created_ns: int
    anonymous: bool
    filled: bool
    running: tuple[str, ...]
    """Ids of the sandboxes in which it is mounted now."""
    recorded: tuple[str, ...]
    """Names of the recorded sandboxes that ask for it, running or not."""


def is_anonymous(name: str) -> bool:
    """Say whether the volume was named by envgit, not by the user."""
    return len(name) == _ANONYMOUS_DIGITS and _HEX.issuperset(name)


def volume_data(repo: Repository, name: str) -> str:
    """Return the folder that programs see."""
    return repo.path(FOLDER, name, "data")


def volume_marker(repo: Repository, name: str) -> str:
    """Return the file that says whether the volume still waits for the content of an environment."""
    return repo.path(FOLDER, name, "state")


def create_volume(repo: Repository, name: str) -> bool:
    """Make a volume, empty; False when it exists. Atomic and durable. Raises UsageError for a bad name."""
    check_name(name)
    folder = repo.path(FOLDER, name)
    if os.path.isdir(folder):
        return False
    storage.make_directory(repo.path(FOLDER), step="volumes-folder", parents=True, durable=True)
    made = repo.path(FOLDER, _UNFINISHED + os.urandom(6).hex())
    storage.make_directory(made, step="volume-create")
    storage.make_directory(f"{made}/data", step="volume-create", mode=0o755)
    os.chmod(f"{made}/data", 0o755)
    if repo.disk_ids.shift:
        os.chown(f"{made}/data", repo.disk_ids.to_disk(0), repo.disk_ids.to_disk(0))
    storage.write_file(f"{made}/ids", _ids(repo), step="volume-create")
    storage.write_file(f"{made}/state", _NEW, step="volume-create")
    storage.reach("volume-publish")
    try:
        os.rename(made, folder)  # fails when another command was faster
    except OSError:
        _remove_folders(repo, [os.path.basename(made)])
        if os.path.isdir(folder):
            return False
        raise
    storage.sync_directory(repo.path(FOLDER), step="volumes-folder-sync")
    return True


def ensure_volume(repo: Repository, name: str) -> str:
    """Return the data folder of a volume, which is made when it is missing.

    Raises Conflict when its files belong to other ids than this process's sandboxes have.
    """
    create_volume(repo, name)
    path = repo.path(FOLDER, name, "ids")
    with open(path, "rb") as file:
        found = file.read()
    if found != _ids(repo):
        raise Conflict(
            f"volume {name} belongs to sandboxes with other ids ({found.decode(errors='replace').strip()})",
            hint="use it as the user that made it, or make another: envgit volume create NAME",
        )
    return volume_data(repo, name)


def mark_used(repo: Repository, name: str) -> None:
    """Note that nothing is to be copied into the volume any more."""
    marker = volume_marker(repo, name)
    if needs_content(repo, name):
        storage.write_file(marker, _USED, step="volume-state")


def needs_content(repo: Repository, name: str) -> bool:
    """Say whether the volume waits for the content of the first environment that it is mounted in."""
    with open(volume_marker(repo, name), "rb") as file:
        return file.read() != _USED


def list_volumes(repo: Repository) -> tuple[Volume, ...]:
    """Return every volume, by name, with who uses it."""
    names = _names(repo)
    if not names:
        return ()
    running, recorded = _running(repo, names), _recorded(repo)
    return tuple(
        Volume(
            name,
            volume_data(repo, name),
            os.stat(repo.path(FOLDER, name, "ids")).st_mtime_ns,
            is_anonymous(name),
            not needs_content(repo, name),
            tuple(sorted(running.get(name, ()))),
            tuple(sorted(recorded.get(name, ()))),
        )
        for name in names
    )


def read_volume(repo: Repository, name: str) -> Volume:
    """Return one volume; raises UnknownVolume."""
    for volume in list_volumes(repo):
        if volume.name == name:
            return volume
    raise UnknownVolume(f"there is no volume {name!r}", hint="envgit volume ls")


def remove_volumes(repo: Repository, names: Iterable[str]) -> tuple[Volume, ...]:
    """Remove volumes with everything in them: all or, when one is missing or in use, none.

    Raises UnknownVolume, or Conflict naming the sandboxes. No run starts while it looks; the content goes after that.
    """
    start = lock_starts(repo, exclusive=True)
    try:
        doomed = tuple(read_volume(repo, name) for name in dict.fromkeys(names))
        for volume in doomed:
            _refuse_used(volume)
        aside = [_put_aside(repo, volume.name) for volume in doomed]
    finally:
        os.close(start)
    _remove_folders(repo, aside)
    return doomed


def prune_volumes(repo: Repository, *, named: bool = False, dry_run: bool = False) -> tuple[Volume, ...]:
    """Remove the anonymous volumes that no sandbox uses or asks for; with `named` the named ones too."""
    from envgit.sandbox.registry import find_damaged

    start = lock_starts(repo, exclusive=True)
    try:
        damaged = find_damaged(repo)
        if damaged:
            raise Conflict(
                f"the record of sandbox {damaged[0].id} is damaged: it may ask for volumes",
                hint=f"remove it first: envgit rm -f {damaged[0].id}",
            )
        doomed = tuple(
            volume
            for volume in list_volumes(repo)
            if not volume.running and not volume.recorded and (named or volume.anonymous)
        )
        aside = [] if dry_run else [_put_aside(repo, volume.name) for volume in doomed]
        left = [] if dry_run else [name for name in _entries(repo) if name.startswith((_ASIDE, _UNFINISHED))]
    finally:
        os.close(start)
    _remove_folders(repo, {*aside, *left})
    return doomed


def remove_anonymous(repo: Repository, names: Collection[str]) -> None:
    """Remove those of `names` that are anonymous and used by nobody else: what `--rm` takes along."""
    wanted = {name for name in names if is_anonymous(name)}
    for volume in list_volumes(repo) if wanted else ():
        if volume.name in wanted and not volume.running and not volume.recorded:
            with suppress(Conflict, UnknownPath):
                remove_volumes(repo, [volume.name])


def _refuse_used(volume: Volume) -> None:
    if volume.recorded:
        users = ", ".join(volume.recorded)
        raise Conflict(
            f"volume {volume.name} is in use by {users}", hint=f"remove it first: envgit rm {volume.recorded[0]}"
        )
    if volume.running:
        raise Conflict(
            f"volume {volume.name} is mounted in the running sandbox {', '.join(volume.running)}",
            hint="let it end, or kill it, then type the command again",
        )


def _put_aside(repo: Repository, name: str) -> str:
    aside = _ASIDE + os.urandom(6).hex()
    storage.rename(repo.path(FOLDER, name), repo.path(FOLDER, aside), step="volume-remove")
    return aside


def _remove_folders(repo: Repository, names: Collection[str]) -> None:
    if not names:
        return
    from envgit.layers.removal import remove_tree
    from envgit.stack import run_where_ids_are_plain

    fd = os.open(repo.path(FOLDER), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def remove() -> None:
        for name in names:
            storage.reach("volume-remove-content")
            remove_tree(os.fsencode(name), fd)

    try:
        run_where_ids_are_plain(repo, remove)
    finally:
        os.close(fd)


def _ids(repo: Repository) -> bytes:
    return f"shift {repo.disk_ids.shift}\n".encode("ascii")


def _entries(repo: Repository) -> list[str]:
    try:
        return sorted(os.listdir(repo.path(FOLDER)))
    except FileNotFoundError:
        return []


def _names(repo: Repository) -> list[str]:
    found = []
    for name in _entries(repo):
        with suppress(UsageError):
            if os.path.isdir(volume_data(repo, check_name(name))):
                found.append(name)
    return found


def _recorded(repo: Repository) -> dict[str, set[str]]:
    """Return the names of the recorded sandboxes that ask for each volume."""
    from envgit.sandbox.registry import iter_records

    found: dict[str, set[str]] = {}
    records = list(iter_records(repo))
    asked = {
        record.name: {mount.source for mount in record.request.mounts if mount.kind == "volume"} for record in records
    }
    for record in records:
        borrowed = (asked.get(word.partition(":")[0], set()) for word in record.request.volumes_from)
        for name in asked[record.name].union(*borrowed):
            found.setdefault(name, set()).add(record.name)
    return found


def _running(repo: Repository, names: Collection[str]) -> dict[str, set[str]]:
    """Return the running sandboxes in which each volume is mounted, as their mount tables say (proc(5), mountinfo)."""
    found: dict[str, set[str]] = {}
    for state, alive in iter_states(repo):
        if alive:
            for name in _mounted(repo, state.pid, names):
                found.setdefault(name, set()).add(state.id)
    return found


def _mounted(repo: Repository, pid: int, names: Collection[str]) -> Iterator[str]:
    """Yield the volumes among `names` of which a process sees a mount."""
    ends = {os.fsencode(f"/{os.path.basename(repo.git_dir)}/{FOLDER}/{name}/data"): name for name in names}
    with suppress(OSError), open(f"/proc/{pid}/mountinfo", "rb") as file:
        for line in file:
            shown = line.split(b" ", 4)[3] + b"/"
            for end, name in ends.items():
                if end + b"/" in shown:
                    yield name
