"""What is written down about a sandbox when it is made, and stays: `sandboxes/ID/record.json`."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from envgit.errors import CorruptObject
from envgit.sandbox.checking import Check, check_fields, is_hexadecimal
from envgit.sandbox.request import LimitsRequest, MountRequest, RunRequest

RECORD_VERSION = 1


_RECORD: dict[str, Check] = {
    "request": lambda value: isinstance(value, RunRequest),
    "oid": lambda value: is_hexadecimal(value, 40),
}
_REQUEST: dict[str, Check] = {
    "mounts": lambda value: isinstance(value, tuple),
    "limits": lambda value: isinstance(value, LimitsRequest),
    "network": lambda value: value in (None, "private", "none", "host"),
    "files": lambda value: value == (),
}
_MOUNT: dict[str, Check] = {"kind": lambda value: value in ("bind", "tmpfs", "volume", "rev")}


class Record(NamedTuple):
    """`request.revision` is as it was typed; `oid` (40 hex digits) is the commit that runs, again and again, or for a worktree
    the one that its changes began from when the sandbox was made."""

    id: str
    name: str
    request: RunRequest
    oid: str
    worktree: str
    """The name of the worktree that it works in; "" with a revision."""
    created_ns: int
    command: tuple[str, ...]
    """What is shown: the command with the entry point and arguments of the environment where none were given."""
    caller: tuple[tuple[str, str], ...] = ()
    """The caller's variables that reach inside (TERM, LANG, ...)."""

    @property
    def runs(self) -> RunRequest:
        """The request as it is carried out: of the recorded commit, whatever its name means by now."""
        return self.request._replace(revision=self.oid if self.request.revision is not None else None)


def format_record(record: Record) -> bytes:
    """Return the JSON text of a record; parse_record() gives back an equal one. Bytes outside UTF-8 survive as surrogates."""
    fields = {**record._asdict(), "request": _request_fields(record.request)}
    return json.dumps({"version": RECORD_VERSION, **fields}, indent=1).encode("ascii") + b"\n"


def parse_record(data: bytes, where: str) -> Record:
    """Raises CorruptObject, naming `where`, for anything that is no record of a version that this one knows."""
    try:
        fields = json.loads(data)
        if fields.pop("version") != RECORD_VERSION:
            raise ValueError
        fields["request"] = _parse_request(fields["request"])
        record = Record(**{name: _frozen(value) for name, value in fields.items()})
        check_fields(record, Record, _RECORD)
        check_fields(record.request, RunRequest, _REQUEST)
        check_fields(record.request.limits, LimitsRequest)
        for mount in record.request.mounts:
            check_fields(mount, MountRequest, _MOUNT)
        return record
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CorruptObject(f"{where} is no record of a sandbox", hint="envgit rm -f removes it, by its id") from None


def request_fields(request: RunRequest) -> dict[str, Any]:
    """Return a request as plain values for JSON."""
    return _request_fields(request)


def _request_fields(request: RunRequest) -> dict[str, Any]:
    fields = request._asdict()
    fields["mounts"] = [mount._asdict() for mount in request.mounts]
    fields["limits"] = request.limits._asdict()
    fields["files"] = ()
    return fields


def _parse_request(fields: dict[str, Any]) -> RunRequest:
    values = {name: _frozen(value) for name, value in fields.items() if name not in ("mounts", "limits")}
    mounts = tuple(
        MountRequest(**{name: _frozen(value) for name, value in mount.items()}) for mount in fields.get("mounts", ())
    )
    limits = LimitsRequest(**{name: _frozen(value) for name, value in fields.get("limits", {}).items()})
    return RunRequest(**values, mounts=mounts, limits=limits)


def _frozen(value: Any) -> Any:
    if isinstance(value, RunRequest):
        return value
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
