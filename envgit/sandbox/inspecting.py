"""Everything that is known of a sandbox, as plain values with documented keys (docs/sandboxes.md)."""

from __future__ import annotations

import os
from typing import Any

from envgit.repo import Repository
from envgit.sandbox.listing import ports_of
from envgit.sandbox.log_line import format_time
from envgit.sandbox.record import request_fields
from envgit.sandbox.registry import find_sandbox, sandbox_folder


def inspect_sandbox(repo: Repository, word: str) -> dict[str, Any]:
    """Return a sandbox's record and state. Times are RFC 3339, None for never. Raises UnknownSandbox."""
    found = find_sandbox(repo, word)
    record, status = found.record, found.status
    request = record.request
    return {
        "id": found.id,
        "name": found.name,
        "created": format_time(record.created_ns),
        "revision": request.revision,
        "commit": record.oid,
        "worktree": record.worktree or None,
        "command": list(record.command),
        "state": {
            "status": found.phase,
            "running": found.runs,
            "pid": status.pid if found.runs else 0,
            "monitor_pid": max(found.monitor, 0),
            "started": _time(status.started_ns),
            "finished": _time(status.finished_ns),
            "exit_code": status.exit_code,
            "out_of_memory": status.out_of_memory,
            "restarts": status.restarts,
            "stopped_by_user": status.exit_by_user,
            "error": status.error or None,
        },
        "ports": [
            {"address": port.address, "host_port": port.host_port, "port": port.port, "protocol": port.protocol}
            for port in ports_of(found)
        ],
        "labels": dict(request.labels),
        "restart": request.restart,
        "remove": request.remove,
        "log": os.path.join(sandbox_folder(repo, found.id), "log"),
        "request": request_fields(request),
    }


def _time(time_ns: int) -> str | None:
    return format_time(time_ns) if time_ns else None
