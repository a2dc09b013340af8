"""What the kernel was asked, in order, and whether a power cut anywhere in it could break the promise.

Killing a process never shows a missing fsync: the pages survive. So the calls are recorded, and judged by the rules of
docs/format.md section 7.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import faults
from .child import Result, envgit


class Call(NamedTuple):
    """`kind`: write, sync, name (a file got the name `path`; `source` is the old one) or drop (a name went away)."""

    kind: str
    path: str
    source: str = ""


def trace(project: Path, *words: str, patch: Callable[[], None] = faults.nothing) -> tuple[Result, list[Call]]:
    """Run a command with the calls of module os recorded; paths are relative to the repository's folder."""
    memory = os.memfd_create("calls")
    folder = str(project / ".envgit")

    def install() -> None:
        patch()
        _record_into(memory, folder)

    result = envgit(project, *words, prepare=install)
    os.lseek(memory, 0, os.SEEK_SET)
    with open(memory, encoding="ascii") as file:
        return result, [Call(*json.loads(line)) for line in file]


def _record_into(memory: int, folder: str) -> None:
    real = {name: getattr(os, name) for name in ("write", "pwrite", "fsync", "rename", "link", "unlink", "readlink")}

    def note(kind: str, path: Any, source: Any = "") -> None:
        names = [os.path.relpath(os.fsdecode(name), folder) if name else "" for name in (path, source)]
        real["write"](memory, json.dumps([kind, *names]).encode() + b"\n")

    def by_descriptor(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(fd: int, *rest: Any) -> Any:
            path = real["readlink"](f"/proc/self/fd/{fd}")
            if path.startswith(folder):
                note(kind, path)
            return call(fd, *rest)

        return recorded

    def naming(call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(source: Any, target: Any, **rest: Any) -> Any:
            answer = call(source, target, **rest)
            if not rest:
                note("name", target, source)
            return answer

        return recorded

    def dropping(path: Any, **rest: Any) -> None:
        real["unlink"](path, **rest)
        if not rest:
            note("drop", path)

    os.write, os.pwrite = by_descriptor("write", real["write"]), by_descriptor("write", real["pwrite"])
    os.fsync = by_descriptor("sync", real["fsync"])
    os.rename, os.link = naming(real["rename"]), naming(real["link"])
    os.unlink = dropping


def violations(calls: list[Call]) -> list[str]:
    """Judge a trace; an empty list means that a power cut anywhere loses nothing acknowledged and shows nothing half done."""
    found: list[str] = []
    dirty: set[str] = set()
    unsynced: dict[str, str] = {}
    """Folder -> a name in it that a power cut could take back."""
    recorded = not any(call.kind == "name" and call.path.startswith("operations/0") for call in calls)
    for kind, path, source in calls:
        folder = os.path.dirname(path)
        if kind == "write":
            dirty.add(path)
        elif kind == "sync":
            dirty.discard(path)
            unsynced.pop("" if path == "." else path, None)
        elif kind == "name":
            if source in dirty:
                dirty.add(path)
            if not _matters(path):
                continue
            if path in dirty:
                found.append(f"{path} gets its name before its content is durable")
            if path.startswith("operations/"):
                recorded = True
                found += [
                    f"{path} is recorded before {name} is durable" for name in unsynced.values() if _is_object(name)
                ]
            elif not _is_object(path):
                early = [name for name in unsynced.values() if _is_object(name) or name.startswith("operations/")]
                found += [f"{path} moves before {name} is durable" for name in early]
                if not recorded:
                    found.append(f"{path} moves before the operation is recorded")
            unsynced[folder] = path
        elif kind == "drop" and _matters(path) and _is_object(path):
            found += [f"{path} is removed before {name} is durable" for name in unsynced.values() if _is_object(name)]
    return found + [f"{name} is acknowledged before it is durable" for name in unsynced.values()]


def _is_object(path: str) -> bool:
    return path.startswith("objects/")


def _matters(path: str) -> bool:
    """Whether a path is the name of something permanent; not of temporary files, locks, caches and hints."""
    name = os.path.basename(path)
    if name.startswith("tmp_") or name.endswith(".lock") or name == "finished":
        return False
    return path.startswith(("objects/pack/pack-", "operations/0", "refs/", "checkouts/")) or path in (
        "HEAD",
        "packed-refs",
    )
