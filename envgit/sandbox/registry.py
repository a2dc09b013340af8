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
from envgit.sandbox.status import Phase, Status, boot_id, read_status, write_status
from envgit.store import storage

REF_PREFIX = "refs/envgit/sandboxes/"
ID_DIGITS = 12
_HEX = frozenset("0123456789abcdef")
_ABANDONED_NS = 60_000_000_000
_KILLED_STATUS = 128 + signal.SIGKILL


class Found(NamedTuple):
    """A recorded sandbox. `monitor`: the pid of the process that supervises it, 0 for none."""

    record: Record
    status: Status
    monitor: int

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def phase(self) -> Phase:
        """What it does now: files of a killed monitor, or of a machine that went down, claim too much."""
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
    return sorted(id for id in names if is_id(id) and os.path.exists(repo.path("sandboxes", id, "record.json")))


def is_id(text: str) -> bool:
    return len(text) == ID_DIGITS and _HEX.issuperset(text)


def read_record(repo: Repository, id: str) -> Record:
    """Raises CorruptObject, or FileNotFoundError when it was removed meanwhile."""
    path = repo.path("sandboxes", id, "record.json")
    with open(path, "rb") as file:
        record = parse_record(file.read(), path)
    if record.id != id:
        raise CorruptObject(f"{path} is the record of another sandbox", hint=f"envgit rm -f {id}")
    return record


def list_sandboxes(repo: Repository) -> list[Found]:
    """Return every recorded sandbox, oldest first; what a killed monitor left is finished first."""
    return [found for record in iter_records(repo) if (found := look_at(repo, record)) is not None]


def find_sandbox(repo: Repository, word: str) -> Found:
    """Return the sandbox with this name, or this id, or the only one whose id begins so. Raises UnknownSandbox."""
    records = list(iter_records(repo))
    named = [record for record in records if word == record.name] or [record for record in records if word == record.id]
    matching = named or [record for record in records if word and record.id.startswith(word)]
    if len(matching) > 1:
        candidates = ", ".join(f"{record.id} ({record.name})" for record in matching)
        raise UnknownSandbox(f"{len(matching)} sandboxes have ids that begin with {word}", hint=f"one of: {candidates}")
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
    held = hold_sandbox(repo, found.id)
    if held is None:  # another command does it, or starts it again
        return found._replace(status=read_status(repo, found.id), monitor=monitor_pid(repo, found.id))
    try:
        status = read_status(repo, found.id)
        if status.phase in ("running", "restarting"):
            kill_leftover(status)
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


def _near(word: str, records: list[Record]) -> str:
    import difflib

    names = difflib.get_close_matches(word, [record.name for record in records], n=3, cutoff=0.6)
    return "did you mean: " + ", ".join(names) if names else "envgit ps -a lists them"
