"""What changes while a sandbox lives: `sandboxes/ID/status.json`, replaced whole by its monitor."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

from envgit.repo import Repository
from envgit.sandbox.checking import Check, check_fields, is_number, is_text
from envgit.store import storage

Phase = Literal["created", "running", "restarting", "exited", "dead", "damaged"]
"""dead: its monitor was killed, or the machine went down. damaged: its record cannot be read (never written down)."""

NEVER = 0
_MOST_PID = 1 << 22


class Status(NamedTuple):
    """Times in ns since the epoch, NEVER for none; `pid` with `start_time`, and `monitor`, belong to the boot `boot`."""

    phase: Phase = "created"
    pid: int = 0
    start_time: int = 0
    monitor: int = 0
    boot: str = ""
    started_ns: int = NEVER
    finished_ns: int = NEVER
    exit_code: int = 0
    out_of_memory: bool = False
    restarts: int = 0
    error: str = ""
    exit_by_user: bool = False
    """It was stopped or killed by a command, so that no restart policy applies."""
    ports: tuple[tuple[str, int, int, str], ...] = ()
    """(address, port of the host, port inside, protocol) of what is published while it runs."""
    group: tuple[str, ...] = ()
    """How its control group is found again (exec/cgroups); empty: it has none."""


def write_status(repo: Repository, id: str, status: Status) -> None:
    """Replace the status at once. Not durable: what it says of processes does not outlive the machine's boot."""
    data = json.dumps(status._asdict(), indent=1).encode("ascii") + b"\n"
    storage.write_file(repo.path("sandboxes", id, "status.json"), data, step="sandbox-status", durable=False)


def read_status(repo: Repository, id: str) -> Status:
    """Return the status; one that is missing or damaged (a power cut) says that it was only created."""
    try:
        with open(repo.path("sandboxes", id, "status.json"), "rb") as file:
            fields = json.loads(file.read())
        fields["ports"] = tuple(tuple(port) for port in fields["ports"])
        status = Status(**{**fields, "group": tuple(fields["group"])})
        check_fields(status, Status, _CHECKS)
        return status
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Status()


def _are_ports(value: Any) -> bool:
    return all(
        len(port) == 4 and is_text(port[0]) and is_text(port[3]) and all(_is_port(number) for number in port[1:3])
        for port in value
    )


def _is_port(value: Any) -> bool:
    return is_number(value) and value < 1 << 16


_CHECKS: dict[str, Check] = {
    "phase": lambda value: value in ("created", "running", "restarting", "exited", "dead"),
    "pid": lambda value: is_number(value) and value <= _MOST_PID,
    "monitor": lambda value: is_number(value) and value <= _MOST_PID,
    "exit_code": lambda value: is_number(value) and value < 256,
    "ports": _are_ports,
}


def boot_id() -> str:
    """Return what names this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
