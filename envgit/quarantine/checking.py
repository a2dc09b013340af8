"""What the limited child does: every pack, then every new commit. It changes nothing but indexes in the quarantine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import EnvgitError, StorageError
from envgit.exec.limited import ChildDied, LimitedChild, Limits, Send
from envgit.layers.tree_limits import MAX_DEPTH
from envgit.monitor import Monitor
from envgit.quarantine import errors
from envgit.quarantine.arrived import ArrivedObjects
from envgit.quarantine.arrived_pack import check_pack
from envgit.quarantine.commits import CommitCheck
from envgit.quarantine.errors import CheckExceeded, RefusedObjects
from envgit.quarantine.history import OwnHistory, find_new_history
from envgit.quarantine.own_pack import survey_pack
from envgit.store.object_store import ObjectStore

_MEMORY_BYTES = 3 << 30
_CPU_SECONDS = 300
_CPU_BYTES_PER_SECOND = 1 << 20
_INDEX_BYTES = 1 << 30
_ADVANCE_COMMITS = 16


class Request(NamedTuple):
    """`packs`: paths without `.pack`; `own_tips`: what our refs hold; `cut`, `uncut`: see find_new_history; `lent`: those of
    `packs` that another repository of this user has."""

    git_dir: str
    packs: tuple[str, ...]
    tips: tuple[bytes, ...]
    own_tips: tuple[bytes, ...]
    cut: tuple[bytes, ...]
    uncut: tuple[bytes, ...]
    lent: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """Everything was sound."""

    objects: int
    commits: int
    complete: frozenset[bytes]


def check_in_child(request: Request, monitor: Monitor, limits: Limits | None = None) -> Verdict:
    """Check in a limited child. Raises RefusedObjects and its kinds, StorageError."""
    size = sum(os.stat(path + ".pack").st_size for path in request.packs)
    count = sum(_claimed_count(path) for path in request.packs)
    # Each process maps what arrived and what is here.
    mapped = size + ObjectStore(request.git_dir).statistics().pack_bytes
    used = limits or Limits(_MEMORY_BYTES + 2 * mapped, _CPU_SECONDS + size // _CPU_BYTES_PER_SECOND, _INDEX_BYTES)
    monitor.start("checking objects", count, "objects")

    def hear(message: bytes) -> None:
        if message[:1] == b"c":
            monitor.finish()
            monitor.start("checking environments", int(message[1:]), "commits")
        else:
            monitor.advance(int(message))

    child = LimitedChild(lambda send: _answer(request, send), used)
    try:
        answer = json.loads(child.finish(hear))
    except ChildDied as died:
        raise _explain(died, used) from None
    finally:
        child.kill()
        monitor.finish()
    if "error" in answer:
        raise _ERRORS.get(answer["error"], RefusedObjects)(answer["message"], hint=answer["hint"])
    return Verdict(answer["objects"], answer["commits"], frozenset(map(bytes.fromhex, answer["complete"])))


_ERRORS: dict[str, type[EnvgitError]] = {
    each.__name__: each for each in (RefusedObjects, errors.NotAnEnvironment, CheckExceeded, StorageError)
}


def _answer(request: Request, send: Send) -> bytes:
    sys.setrecursionlimit(16 * MAX_DEPTH)  # what walks a tree of names calls itself once a directory
    try:
        verdict = check(request, send)
    except EnvgitError as error:
        name = type(error).__name__
        answer = {"error": name, "message": error.message, "hint": error.hint if name in _ERRORS else None}
    except RecursionError:
        answer = {"error": "CheckExceeded", "message": "what arrived is nested too deeply", "hint": None}
    else:
        complete = sorted(oid.hex() for oid in verdict.complete)
        return json.dumps({"objects": verdict.objects, "commits": verdict.commits, "complete": complete}).encode()
    return json.dumps(answer).encode()


def check(request: Request, send: Send) -> Verdict:
    """Check in this process. `send` gets `N` for N more objects (then commits), `cN` when N commits are to come."""
    advance: Callable[[int], None] = lambda amount: send(b"%d" % amount) if amount else None  # noqa: E731
    ours = ObjectStore(request.git_dir)
    objects = ArrivedObjects(ours)
    for path in request.packs:
        found = survey_pack(path, advance) if path in request.lent else None
        objects.add_pack(path, check_pack(path, advance, send) if found is None else found)
    own = OwnHistory(ours, request.own_tips)
    history = find_new_history(objects, own, request.tips, frozenset(request.cut), request.uncut)
    send(b"c%d" % len(history.commits))
    commits = CommitCheck(objects, own.reaches)
    for number, oid in enumerate(history.commits, 1):
        commits.check(oid, history.parents[oid])
        if not number % _ADVANCE_COMMITS:
            advance(_ADVANCE_COMMITS)
    advance(len(history.commits) % _ADVANCE_COMMITS)
    return Verdict(len(objects), len(history.commits), history.complete)


def _explain(died: ChildDied, limits: Limits) -> CheckExceeded:
    import signal

    if died.memory:
        return CheckExceeded(f"checking what arrived needs more than {limits.memory_bytes >> 20} MiB of memory")
    if died.signal == signal.SIGXCPU:
        return CheckExceeded(f"checking what arrived took more than {limits.cpu_seconds} seconds of processor time")
    if died.signal:
        name = f"signal {died.signal}"
        with suppress(ValueError):
            name = signal.Signals(died.signal).name
        return CheckExceeded(f"the process that checks what arrived was ended by {name}")
    return CheckExceeded(
        "the process that checks what arrived failed", hint="nothing was kept; envgit doctor, then again"
    )


def _claimed_count(path: str) -> int:
    with open(path + ".pack", "rb") as file:
        return int.from_bytes(file.read(12)[8:], "big")
