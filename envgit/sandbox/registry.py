"""Recorded sandboxes: made, found by name or id, and taken for dead when their monitor is.

Names are unique because they are looked at and given under one lock (`sandboxes.lock`). There is no index of names
to be wrong: a name is taken while a record bears it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from envgit.errors import Conflict, CorruptObject, EnvgitError, StorageError, UnknownSandbox
from envgit.exec.process import start_time
from envgit.repo import Repository
from envgit.sandbox.liveness import hold_sandbox, monitor_pid
from envgit.sandbox.record import Record, format_record, parse_record
from envgit.sandbox.request import RunRequest
from envgit.sandbox.status import Phase, Status, boot_id, read_status, write_status
from envgit.store import storage

REF_PREFIX = "refs/envgit/sandboxes/"
ID_DIGITS = 12
_HEX = frozenset("0123456789abcdef")
_ABANDONED_NS = 60_000_000_000
_KILLED_STATUS = 128 + signal.SIGKILL


class Found(NamedTuple):
    """A recorded sandbox. `monitor`: the pid of the process that supervises it, 0 for none.

    `damage`: why the record cannot be read, else "". Then `record` is made up, with the id as the name.
    """

    record: Record
    status: Status
    monitor: int
    damage: str = ""

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def phase(self) -> Phase:
        """What it does now: files of a killed monitor, or of a machine that went down, claim too much."""
        if self.damage:
            return "damaged"
        lost = not self.monitor and self.status.phase in ("running", "restarting")
        return "dead" if lost else self.status.phase

    @property
    def runs(self) -> bool:
        """Its program runs, so that it can be entered."""
        return self.phase == "running"


def sandbox_folder(repo: Repository, id: str) -> str:
    return repo.path("sandboxes", id)


@contextmanager
def names_locked(repo: Repository) -> Iterator[None]:
    """Keep every other command from giving names meanwhile."""
    path = repo.path("sandboxes.lock")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        storage.fail("open", path, error)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_record(repo: Repository, record: Record) -> None:
    """Write a record durably: the folder is a sandbox's from now on, and its name is taken. Call it with names locked."""
    path = repo.path("sandboxes", record.id, "record.json")
    storage.write_file(path, format_record(record), step="sandbox-record")


def check_name_free(repo: Repository, name: str, taken: dict[str, str]) -> None:
    """Raise Conflict when a sandbox of `taken` (id by name) has the name."""
    if name in taken:
        hint = f"envgit rm {name} removes it, envgit rename {name} NEW gives it another name"
        raise Conflict(f"the name {name} is taken by the sandbox {taken[name]}", hint=hint)


def names_taken(repo: Repository) -> dict[str, str]:
    """Return the id of each sandbox by its name."""
    return {record.name: record.id for record in iter_records(repo)}


def iter_records(repo: Repository) -> Iterator[Record]:
    """Yield the readable records, oldest first."""
    found = []
    for id in recorded_ids(repo):
        with suppress(CorruptObject, FileNotFoundError):
            found.append(read_record(repo, id))
    yield from sorted(found, key=lambda record: (record.created_ns, record.id))


def recorded_ids(repo: Repository) -> list[str]:
    """Return the ids of all folders that hold a record, readable or not."""
    try:
        names = os.listdir(repo.path("sandboxes"))
    except FileNotFoundError:
        return []
    return sorted(id for id in names if is_id(id) and os.path.lexists(repo.path("sandboxes", id, "record.json")))


def is_id(text: str) -> bool:
    return len(text) == ID_DIGITS and _HEX.issuperset(text)


def read_record(repo: Repository, id: str) -> Record:
    """Raises CorruptObject, or FileNotFoundError when it was removed meanwhile."""
    path = repo.path("sandboxes", id, "record.json")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, path) from error
    except OSError as error:
        hint = f"envgit rm -f {id} removes it"
        raise CorruptObject(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    record = parse_record(data, path)
    if record.id != id:
        raise CorruptObject(f"{path} is the record of another sandbox", hint=f"envgit rm -f {id}")
    return record


def list_sandboxes(repo: Repository) -> list[Found]:
    """Return every recorded sandbox, oldest first and damaged ones last; what a killed monitor left is finished first."""
    sound: list[Found] = []
    damaged: list[Found] = []
    for record in iter_records(repo):
        try:
            found = look_at(repo, record)
        except StorageError as error:  # its lock cannot be looked at
            damaged.append(Found(record, Status(), 0, error.message))
            continue
        if found is not None:
            sound.append(found)
    return sound + damaged + find_damaged(repo)


def find_damaged(repo: Repository) -> list[Found]:
    """Return the sandboxes whose records cannot be read."""
    damaged = []
    for id in recorded_ids(repo):
        try:
            read_record(repo, id)
        except FileNotFoundError:
            continue
        except CorruptObject as error:
            try:
                monitor = monitor_pid(repo, id)
            except StorageError:
                monitor = 0
            made_up = Record(id, id, RunRequest(), "", "", 0, ())
            damaged.append(Found(made_up, read_status(repo, id), monitor, error.message))
    return damaged


def find_damaged_one(repo: Repository, word: str) -> Found | None:
    """Return the sandbox with a damaged record whose id is `word`, or alone begins so."""
    matching = [found for found in find_damaged(repo) if word and found.id.startswith(word)]
    return matching[0] if len(matching) == 1 else None


def find_sandbox(repo: Repository, word: str) -> Found:
    """Return the sandbox with this name, or this id, or the only one whose id begins so. Raises UnknownSandbox."""
    records = list(iter_records(repo))
    named = [record for record in records if word == record.name] or [record for record in records if word == record.id]
    matching = named or [record for record in records if word and record.id.startswith(word)]
    if len(matching) > 1:
        candidates = ", ".join(f"{record.id} ({record.name})" for record in matching)
        raise UnknownSandbox(f"{len(matching)} sandboxes have ids that begin with {word}", hint=f"one of: {candidates}")
    if not matching and (damaged := find_damaged_one(repo, word)) is not None:
        raise CorruptObject(f"{damaged.id} is damaged: {damaged.damage}", hint=f"envgit rm -f {damaged.id} removes it")
    found = look_at(repo, matching[0]) if matching else None
    if found is None:
        raise UnknownSandbox(f"there is no sandbox {word!r}", hint=_near(word, records))
    return found


def look_at(repo: Repository, record: Record) -> Found | None:
    """Return what a recorded sandbox does now; None when it is gone, or was to be removed at its end and its monitor is."""
    monitor = monitor_pid(repo, record.id)  # first: a status written after this look is of a monitor that lived at it
    found = Found(record, read_status(repo, record.id), monitor)
    if not monitor and found.status.phase in ("running", "restarting"):
        found = _finish_dead(repo, found)
    if not found.monitor and record.request.remove and _is_over(found):
        from envgit.sandbox.removing import remove_unused

        with suppress(EnvgitError):
            remove_unused(repo, record.id)
        return None
    return found


def _is_over(found: Found) -> bool:
    return found.phase in ("exited", "dead") or time.time_ns() - found.record.created_ns > _ABANDONED_NS


def _finish_dead(repo: Repository, found: Found) -> Found:
    """Do what the killed monitor, and its killed guard, cannot do any more: end the program, say so in the status."""
    try:
        held = hold_sandbox(repo, found.id)
    except StorageError:  # a read-only file system: it can be looked at
        return found
    if held is None:  # another command does it, or starts it again
        return found._replace(status=read_status(repo, found.id), monitor=monitor_pid(repo, found.id))
    try:
        status = read_status(repo, found.id)
        if status.phase in ("running", "restarting"):
            kill_leftover(status)
            remove_group(found.id, status)
            lost = "its monitor was killed" if status.boot == boot_id() else "the machine went down"
            status = status._replace(
                phase="dead", pid=0, start_time=0, exit_code=_KILLED_STATUS, finished_ns=time.time_ns(), error=lost
            )
            with suppress(StorageError):
                write_status(repo, found.id, status)
        return found._replace(status=status)
    finally:
        os.close(held)


def kill_leftover(status: Status) -> None:
    """Kill the first process of a sandbox without a monitor, when it lives: the same pid, start time and boot."""
    if not status.pid or status.boot != boot_id():
        return
    try:
        fd = os.pidfd_open(status.pid)
    except OSError:
        return
    try:
        if start_time(status.pid) == status.start_time:
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)


def remove_group(id: str, status: Status) -> None:
    """Kill what is left in the control group of a sandbox without a monitor, and remove the group.

    Only one that is named after the sandbox: a damaged status may name any other.
    """
    ours = tuple(line for line in status.group if f"envgit-{id}" in line.rpartition("/")[2] and ".." not in line)
    if ours and status.boot == boot_id():
        from envgit.exec.cgroups.group import find_group

        with suppress(EnvgitError, OSError):
            if (group := find_group(ours)) is not None:
                group.kill()
                group.remove()


def _near(word: str, records: list[Record]) -> str:
    from envgit.suggestion import nearest_few  # only what is wrong needs it

    names = nearest_few(word, (record.name for record in records))
    return "did you mean: " + ", ".join(names) if names else "envgit ps -a lists them"
