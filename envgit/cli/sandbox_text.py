"""How sandboxes look in tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from envgit.sandbox.listing import shown_ports
from envgit.sandbox.log_line import format_time
from envgit.sandbox.registry import Found

from .dates import relative_date
from .escape import neutralise, quote_path
from .screen import Screen

_COMMAND_CHARACTERS = 20
_NS = 1_000_000_000
HEADINGS = ("SANDBOX ID", "NAME", "REVISION", "COMMAND", "CREATED", "STATUS", "PORTS")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return lines with columns as wide as they must be, three blanks apart."""
    lines = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def row(found: Found, out: Screen, now_ns: int, *, whole: bool) -> tuple[str, ...]:
    """Return one line of `ps`."""
    record = found.record
    revision = record.request.revision
    return (
        found.id,
        neutralise(found.name),
        neutralise(_one_line(revision) if revision is not None else f"({record.worktree})"),
        out.safe(shown_command(record.command, whole=whole)),
        relative_date(record.created_ns // _NS, now_ns / _NS) if not found.damage else "",
        neutralise(_one_line(status_text(found, now_ns))),
        shown_ports(found),
    )


def shown_command(command: tuple[str, ...], *, whole: bool) -> str:
    """Return a command in quotes, on one line, harmless on any terminal; cut short unless `whole`."""
    text = " ".join(command)
    if not whole and len(text) > _COMMAND_CHARACTERS:
        text = text[: _COMMAND_CHARACTERS - 1] + "…"
    return quote_path(os.fsencode(text), quote_high=False, force=True)


def status_text(found: Found, now_ns: int) -> str:
    """Return `Up 5 minutes`, `Exited (0) 3 hours ago` and so on."""
    status = found.status
    if found.damage:
        return f"Damaged ({found.damage})"
    ago = relative_date(status.finished_ns // _NS, now_ns / _NS)
    if found.phase == "running":
        return "Up " + relative_date(status.started_ns // _NS, now_ns / _NS).removesuffix(" ago")
    if found.phase == "restarting":
        return f"Restarting ({status.exit_code}) {ago}"
    if found.phase == "exited":
        return f"Exited ({status.exit_code}) {ago}" + (", out of memory" if status.out_of_memory else "")
    if found.phase == "dead":
        return f"Dead ({status.error or 'its monitor is gone'})"
    return "Created"


def json_fields(found: Found) -> dict[str, Any]:
    """Return one sandbox for `ps --json`."""
    record, status = found.record, found.status
    return {
        "id": found.id,
        "name": found.name,
        "revision": record.request.revision,
        "commit": record.oid,
        "worktree": record.worktree or None,
        "command": list(record.command),
        "created": format_time(record.created_ns),
        "status": found.phase,
        "damage": found.damage or None,
        "started": format_time(status.started_ns) if status.started_ns else None,
        "finished": format_time(status.finished_ns) if status.finished_ns else None,
        "exit_code": status.exit_code,
        "ports": shown_ports(found),
        "labels": dict(record.request.labels),
    }


def _one_line(text: str) -> str:
    return text.replace("\n", "^J").replace("\t", "^I")
