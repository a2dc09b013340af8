"""What running an environment asks for: the JSON of its label `envgit.sandbox`, which may come from anybody.

Keys are the options of `envgit run`. Whatever is not understood wholly is not understood at all: nothing can be asked for that was
not shown. What only narrows a sandbox, or harms nobody but its programs, needs no grant (docs/grants.md).
"""

from __future__ import annotations

import json
from typing import NamedTuple

from envgit.declaration.values import Sandbox
from envgit.errors import HostileInput, UsageError
from envgit.exec.cgroups.limits import make_limits
from envgit.exec.network.resolver import parse_extra_host
from envgit.exec.ports.publish import parse_publish
from envgit.sandbox.describing import check_hostname, choose_capabilities
from envgit.sandbox.mount_syntax import check_target, parse_tmpfs, split_fields

_MOST_BYTES = 16384
_MOST_ITEMS = 64
_MOST_LETTERS = 512
_NETWORKS = ("private", "none", "host")
_SECURITY = (
    "no-new-privileges=false",
    "no-new-privileges:false",
    "nested-namespaces",
    "seccomp=unconfined",
    "seccomp:unconfined",
)


class Item(NamedTuple):
    """One thing that is asked for, as an option is written: ("--volume", "./data:/data"). `widens`: it needs to be granted."""

    option: str
    value: str
    widens: bool

    def __str__(self) -> str:
        return f"{self.option} {self.value}".rstrip()


_ALWAYS_WIDER = frozenset(("publish", "publish_all", "volume", "mount", "ulimit", "cap_add", "security_opt"))
_FLAGS = frozenset(("publish_all", "read_only"))
_NAMES = tuple(name for name in Sandbox._fields if name not in ("place", "places"))
_LISTS = frozenset(name for name in _NAMES if Sandbox._field_defaults[name] == ())


def parse_asked(text: str) -> Sandbox:
    """Parse a label; places stay empty. Raises HostileInput for anything but known keys with printable values of their types."""
    if len(text) > _MOST_BYTES:
        raise _refusal(f"it has {len(text):,} characters")
    try:
        fields = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _refusal("it is not JSON") from None
    if not isinstance(fields, dict):
        raise _refusal("it is not an object")
    values: dict[str, object] = {}
    for key, value in fields.items():
        name = key.replace("-", "_")
        if name not in _NAMES:
            raise _refusal(f"it has the key {key[:40]!r}, which this version does not know")
        if name in values:
            raise _refusal(f"it says {key!r} twice")
        values[name] = _parse_value(name, value)
    asked = Sandbox(**values)  # type: ignore[arg-type]  # each value was made for its field
    if len(list_asked(asked)) > _MOST_ITEMS:
        raise _refusal(f"it asks for more than {_MOST_ITEMS} things")
    try:
        _check_words(asked)
    except UsageError as error:
        raise _refusal(error.message) from None
    return asked


def list_asked(asked: Sandbox) -> tuple[Item, ...]:
    """Return all that is asked for, what needs a grant first."""
    items = []
    for name in _NAMES:
        value = getattr(asked, name)
        option = "--" + name.replace("_", "-")
        wider = name in _ALWAYS_WIDER or (name == "network" and value == "host")
        if value is True:
            items.append(Item(option, "", wider))
        elif isinstance(value, tuple):
            items += [Item(option, word, wider) for word in value]
        elif value:
            items.append(Item(option, value, wider))
    return tuple(sorted(items, key=lambda item: not item.widens))


def without_grant(asked: Sandbox) -> Sandbox:
    """Return the part that needs no grant."""
    kept = asked._replace(**{name: Sandbox._field_defaults[name] for name in _ALWAYS_WIDER})
    return kept._replace(network=None) if kept.network == "host" else kept


def _check_words(asked: Sandbox) -> None:
    """Raise UsageError for words that the options would not take, as far as that can be said without looking at the machine."""
    make_limits(asked.memory, asked.memory_swap, asked.cpus, asked.pids_limit, asked.shm_size, asked.ulimit)
    choose_capabilities(asked.cap_add, asked.cap_drop)
    check_hostname(asked.hostname or "")
    for text in asked.tmpfs:
        parse_tmpfs(text)
    for text in asked.publish:
        parse_publish(text)
    for text in asked.add_host:
        parse_extra_host(text)
    for text in asked.volume:
        parts = text.split(":")
        if len(parts) not in (2, 3) or not all(parts):
            raise UsageError(f"the volume {text!r} is not SOURCE:TARGET[:ro]")
        check_target(parts[1], "")
    for text in asked.mount:
        split_fields(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse keys that JSON lets be there twice: other readers would show another of the values."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields


def _parse_value(name: str, value: object) -> object:
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise _refusal(f"{name} is neither true nor false")
        return value
    if name in _LISTS:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list):
            raise _refusal(f"{name} is not a list")
        return tuple(_parse_word(name, word) for word in words)
    return _parse_word(name, str(value) if type(value) in (int, float) else value)


def _parse_word(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _refusal(f"{name} holds something else than words")
    if len(value) > _MOST_LETTERS or not value.isprintable():
        raise _refusal(f"a word of {name} is too long or cannot be printed")
    if name == "network" and value not in _NETWORKS:
        raise _refusal(f"there is no network {value!r}")
    if name == "security_opt" and value not in _SECURITY:
        raise _refusal(f"the security option {value!r} is not an environment's to ask for")
    if name == "mount" and any(field.partition("=")[0].strip('" ') == "insist" for field in value.split(",")):
        raise _refusal("the socket of a container engine is not an environment's to ask for")
    return value


def _refusal(reason: str) -> HostileInput:
    return HostileInput(
        f"what the environment asks for cannot be understood: {reason}",
        hint="its label envgit.sandbox says it: git --git-dir=.envgit show REV:config.json",
    )
