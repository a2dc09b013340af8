"""What `ps` and `port` show of recorded sandboxes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from envgit.errors import Conflict, UsageError
from envgit.exec.ports.publish import Bound, format_bounds
from envgit.repo import Repository
from envgit.sandbox.registry import Found, find_sandbox, list_sandboxes

_STATUSES = ("created", "running", "restarting", "exited", "dead", "damaged")
_KEYS = "name=, id=, status=, label=, revision= or exited="


class Filter(NamedTuple):
    """One `--filter key=value`; filters of one key are alternatives, except labels, which all must be there."""

    key: str
    value: str

    def admits(self, found: Found) -> bool:
        request = found.record.request
        if self.key == "name":
            return self.value in found.name
        if self.key == "id":
            return found.id.startswith(self.value)
        if self.key == "status":
            return found.phase == self.value
        if self.key == "revision":
            return self.value in (request.revision, found.record.oid)
        if self.key == "exited":
            return found.phase == "exited" and str(found.status.exit_code) == self.value
        name, equals, value = self.value.partition("=")
        labels = dict(request.labels)
        return name in labels and (not equals or labels[name] == value)


def parse_filters(texts: Iterable[str]) -> tuple[Filter, ...]:
    """Parse `--filter` options. Raises UsageError."""
    filters = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in ("name", "id", "status", "label", "revision", "exited"):
            raise UsageError(f"{text!r} is no filter", hint=f"--filter {_KEYS}")
        if key == "status" and value not in _STATUSES:
            raise UsageError(f"{value!r} is no status", hint=f"one of: {', '.join(_STATUSES)}")
        filters.append(Filter(key, value))
    return tuple(filters)


def read_sandboxes(
    repo: Repository, *, everything: bool = False, filters: tuple[Filter, ...] = ()
) -> tuple[Found, ...]:
    """Return the sandboxes that run (or all of them, also with a filter on status), newest first."""
    everything = everything or any(each.key in ("status", "exited") for each in filters)
    keys = {each.key for each in filters}
    return tuple(
        found
        for found in reversed(list_sandboxes(repo))
        if (everything or found.monitor) and all(_admits(found, key, filters) for key in keys)
    )


def ports_of(found: Found) -> tuple[Bound, ...]:
    """Return what a running sandbox publishes."""
    return tuple(Bound(*port) for port in found.status.ports) if found.runs else ()


def shown_ports(found: Found) -> str:
    return format_bounds(ports_of(found))


def find_ports(repo: Repository, word: str, wanted: str | None = None) -> tuple[Bound, ...]:
    """Return what a sandbox publishes, of PORT[/PROTOCOL] alone when given. Raises UnknownSandbox, Conflict for nothing."""
    found = find_sandbox(repo, word)
    bounds = ports_of(found)
    if wanted is None:
        return bounds
    number, _, protocol = wanted.partition("/")
    if not (number.isascii() and number.isdigit()):
        raise UsageError(f"{wanted!r} is no port", hint="for example 80 or 53/udp")
    matching = tuple(each for each in bounds if (each.port, each.protocol) == (int(number), protocol or "tcp"))
    if not matching:
        raise Conflict(f"{found.name} does not publish {number}/{protocol or 'tcp'}", hint=f"envgit port {found.name}")
    return matching


def _admits(found: Found, key: str, filters: tuple[Filter, ...]) -> bool:
    each = [one.admits(found) for one in filters if one.key == key]
    return all(each) if key == "label" else any(each)
