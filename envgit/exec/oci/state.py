"""The state directory: one folder for each container, with its record, its configuration and the gate it waits at.

ROOT/ID/config.json  the configuration as `create` read it: later changes of the bundle have no effect
ROOT/ID/state.json   the record; a folder without one belongs to a `create` under way (it holds a lock) or killed
ROOT/ID/exec.fifo    exists until `start` lets the program go
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import suppress

from envgit.errors import SandboxError
from envgit.exec.oci.fields import Fields, parse_object
from envgit.exec.process import start_time
from envgit.exec.program import GO
from envgit.light_typing import NamedTuple

OCI_VERSION = "1.2.0"
MOST_NAME_BYTES = 200
_LEAVE = b"q"
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")


class Record(NamedTuple):
    """What is written down of a container; `start_time` (ticks since boot) tells its process from a later one."""

    id: str
    pid: int
    start_time: int
    bundle: str
    created: str
    group: tuple[str, ...] = ()
    """Of its control group, see exec/cgroups."""


class Folder:
    """The folder of one container below the state directory."""

    __slots__ = ("id", "path")

    def __init__(self, root: str, id: str) -> None:
        """Raises SandboxError for an id that is no plain file name."""
        if not id or not _ID_CHARACTERS.issuperset(id) or id in (".", "..") or len(id) > MOST_NAME_BYTES:
            raise SandboxError(f"{id!r} is not a container id", hint="use letters, digits and _ + - .")
        self.id = id
        self.path = os.path.join(root, id)

    @property
    def gate(self) -> str:
        return f"{self.path}/exec.fifo"

    def claim(self) -> int:
        """Make the folder and return a descriptor that holds its lock. Raises SandboxError when the id is taken.

        What a killed `create` left is removed.
        """
        check_root(os.path.dirname(self.path))
        with suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        lock = self.lock(wait=False)
        if self.is_recorded():
            os.close(lock)
            raise SandboxError(f"container with id {self.id} exists already", hint=f"envgit-oci delete {self.id}")
        if os.listdir(self.path):
            self.discard()
            os.close(lock)
            return self.claim()
        return lock

    def is_recorded(self) -> bool:
        """Return whether the container exists: it does from the moment its record is written."""
        return os.path.exists(f"{self.path}/state.json")

    def lock(self, *, wait: bool = True) -> int:
        """Return a descriptor that holds the lock of an existing folder; SandboxError when there is none, or it is busy."""
        while True:
            try:
                fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise self.missing() from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                    return fd
            except BlockingIOError as error:
                os.close(fd)
                raise SandboxError(f"container with id {self.id} exists already: it is being made") from error
            except FileNotFoundError:
                pass
            os.close(fd)  # it was deleted, and perhaps made again, meanwhile
            if not wait:
                with suppress(FileExistsError):
                    os.mkdir(self.path, 0o700)

    def read(self) -> Record:
        """Return the record; SandboxError when there is no such container."""
        try:
            with open(f"{self.path}/state.json", "rb") as file:
                fields = Fields(parse_object(file.read(), "state.json"), "")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self.missing() from error
        return Record(
            fields.text("id"),
            fields.number("pid"),
            fields.number("start_time"),
            fields.text("bundle"),
            fields.text("created"),
            fields.texts("group"),
        )

    def write(self, record: Record) -> None:
        """Write the record: from now on the container exists."""
        self._replace("state.json", json.dumps(record._asdict()).encode())

    def read_config(self) -> object:
        with open(f"{self.path}/config.json", "rb") as file:
            return parse_object(file.read(), "config.json")

    def write_config(self, text: bytes) -> None:
        self._replace("config.json", text)

    def make_gate(self) -> int:
        """Make the gate and return a descriptor of it that a reader never finds closed at the other end."""
        with suppress(FileNotFoundError):
            os.unlink(self.gate)
        os.mkfifo(self.gate, 0o600)
        return os.open(self.gate, os.O_RDWR | os.O_CLOEXEC)

    def open_gate(self) -> None:
        """Let the program go that waits there."""
        self._answer_gate(GO)
        os.unlink(self.gate)

    def discard(self) -> None:
        """Remove what a killed `create` left: the folder, and whoever waits at its gate, of whom nothing was recorded."""
        with suppress(OSError):  # there is no gate, or nobody at it
            self._answer_gate(_LEAVE)
        self.remove()

    def _answer_gate(self, byte: bytes) -> None:
        fd = os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, byte)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove the folder: the record before the configuration, so that what is recorded always has one; the rest of a
        killed removal is what a killed `create` leaves."""
        for name in ("exec.fifo", "state.json", "config.json"):
            for each in (f"{name}.new", name):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.path}/{each}")
        with suppress(FileNotFoundError):
            os.rmdir(self.path)

    def missing(self) -> SandboxError:
        return SandboxError(f"container {self.id} does not exist", hint="envgit-oci list shows those that do")

    def _replace(self, name: str, text: bytes) -> None:
        path = f"{self.path}/{name}"
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(text)
        os.rename(f"{path}.new", path)


def check_root(path: str) -> None:
    """Make the state directory, or check that it is the caller's: whoever owns it could say what is killed and joined."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SandboxError(
            f"the state directory {path} belongs to somebody else or can be written by others", hint="--root DIR"
        )


def find_status(folder: Folder, record: Record) -> str:
    """Return `created`, `running` or `stopped`, as the process is now."""
    if not is_alive(record):
        return "stopped"
    return "created" if os.path.exists(folder.gate) else "running"


def is_alive(record: Record) -> bool:
    """Return whether the container's first process lives; one that only waits to be reaped does not."""
    if start_time(record.pid) != record.start_time:
        return False
    try:
        with open(f"/proc/{record.pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def format_state(record: Record, status: str, annotations: dict[str, str]) -> dict[str, object]:
    """Return the state as the specification's runtime.md has it; `pid` is left out when stopped."""
    state: dict[str, object] = {"ociVersion": OCI_VERSION, "id": record.id, "status": status}
    if status != "stopped":
        state["pid"] = record.pid
    state["bundle"] = record.bundle
    if annotations:
        state["annotations"] = annotations
    return state


def list_ids(root: str) -> list[str]:
    """Return the ids of all containers of a state directory."""
    try:
        return sorted(name for name in os.listdir(root) if os.path.exists(f"{root}/{name}/state.json"))
    except (FileNotFoundError, NotADirectoryError):
        return []
