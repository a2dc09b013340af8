"""The small text that says, for one commit, what to mount and how to run it: all that a hot command reads.

Lines of a key and values escaped as in docs/format.md section 4; the last line is `end` with the CRC-32 of
all above, so that a file torn by a power cut or rotten is no plan. It is a cache: whatever is wrong with it means "no plan".
"""

from __future__ import annotations

from binascii import crc32

from envgit.layers.escape import escape, unescape
from envgit.light_typing import NamedTuple


class Plan(NamedTuple):
    tree: str
    """Id of the rootfs tree, as the caller names it."""
    parents: tuple[str, ...]
    layers: tuple[str, ...]
    """Names in the layer cache, top first."""
    env: tuple[tuple[str, str], ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    ports: tuple[str, ...] = ()
    """Ports that the environment declares, such as "80/tcp"."""
    volumes: tuple[str, ...] = ()
    """Paths that the environment wants volumes on."""
    stop_signal: str = ""
    asked: str = ""
    """What running the environment asks for, as its label spells it (sandbox/asked.py); "": nothing."""


def format_plan(plan: Plan) -> bytes:
    """Return the text of a plan."""
    lines = [b"tree " + _word(plan.tree)]
    lines += [b"parent " + _word(parent) for parent in plan.parents]
    lines += [b"layer " + _word(name) for name in plan.layers]
    lines += [b"env " + _word(name + "=" + value) for name, value in plan.env]
    if plan.cmd:
        lines.append(b"cmd " + b" ".join(_word(word) for word in plan.cmd))
    if plan.entrypoint:
        lines.append(b"entrypoint " + b" ".join(_word(word) for word in plan.entrypoint))
    if plan.working_dir:
        lines.append(b"workdir " + _word(plan.working_dir))
    if plan.user:
        lines.append(b"user " + _word(plan.user))
    lines += [b"port " + _word(port) for port in plan.ports]
    lines += [b"volume " + _word(path) for path in plan.volumes]
    if plan.stop_signal:
        lines.append(b"stop " + _word(plan.stop_signal))
    if plan.asked:
        lines.append(b"asks " + _word(plan.asked))
    body = b"\n".join(lines) + b"\n"
    return body + b"end %08x\n" % crc32(body)


def parse_plan(text: bytes) -> Plan | None:
    """Return the plan, or None for a text that is not a whole one."""
    body, _, end = text.rpartition(b"end ")
    if end != b"%08x\n" % crc32(body):
        return None
    values: dict[bytes, list[bytes]] = {}
    for line in body.split(b"\n"):
        key, _, value = line.partition(b" ")
        values.setdefault(key, []).append(value)
    if len(values.get(b"tree", ())) != 1:
        return None
    if any(b"/" in name or name.startswith(b".") for name in values.get(b"layer", ())):
        return None
    env = [_text(value).partition("=") for value in values.get(b"env", ())]
    return Plan(
        _text(values[b"tree"][0]),
        tuple([_text(value) for value in values.get(b"parent", ())]),
        tuple([_text(value) for value in values.get(b"layer", ())]),
        tuple([(name, value) for name, _, value in env]),
        _words(values, b"cmd"),
        _words(values, b"entrypoint"),
        _text(values.get(b"workdir", [b""])[0]),
        _text(values.get(b"user", [b""])[0]),
        tuple([_text(value) for value in values.get(b"port", ())]),
        tuple([_text(value) for value in values.get(b"volume", ())]),
        _text(values.get(b"stop", [b""])[0]),
        _text(values.get(b"asks", [b""])[0]),
    )


def _words(values: dict[bytes, list[bytes]], key: bytes) -> tuple[str, ...]:
    return tuple([_text(word) for value in values.get(key, ()) for word in value.split(b" ")])


def _word(text: str) -> bytes:
    return escape(text.encode("utf-8", "surrogateescape"))


def _text(word: bytes) -> str:
    return unescape(word).decode("utf-8", "surrogateescape")
