"""Share the writing of a tree between two processes: who writes which file, and the one that helps.

Files are numbered by the work before them, in the order of the walk; that range is cut into blocks which the two take in turn. Both
walk the same plan, so neither has to be told more. What is left to the first one alone: see materialise.py.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from array import array
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from envgit.errors import EnvgitError, StorageError
from envgit.model import Child, Entry

WORTH_BYTES: Final = 64 << 20
"""Below, a second process costs more than it saves."""
_FILE_BYTES: Final = 64 << 10
"""Creating a file takes about as long as writing this much."""
_BLOCKS: Final = 45
_SECOND: Final = (1, 3, 5, 7, 8)
"""Of every nine blocks: the first process has more to do besides."""
_COUNTER: Final = struct.Struct("QQ")


class Started(Protocol):
    """A process that works."""

    def finish(self, on_message: Callable[[bytes], None]) -> bytes:
        """Wait for its end and return what its work returned. Raises StorageError when it ended without."""

    def kill(self) -> None:
        """End it now and wait for that; nothing happens when it has ended."""


Fork = Callable[[Callable[[Callable[[bytes], None]], bytes]], Started]
"""Runs some work in a copy of this process that dies with it and leaves ^C to it: exec/second_process.py."""


def may_help() -> bool:
    """Say whether a second process would have a processor."""
    return len(os.sched_getaffinity(0)) > 1


class Split:
    """Who writes what. `add` every directory in the order of the walk, then `finish`, then ask. 14 bytes for a directory."""

    def __init__(self) -> None:
        self._before = array("q")
        self._depths = array("H")
        self._ends = array("i")
        self._total = 0

    def add(self, depth: int, files: Iterable[Child]) -> None:
        """Note the next directory and the files of it that either may write."""
        self._before.append(self._total)
        self._depths.append(depth)
        self._total += sum(_work(child.entry) for child in files)

    def finish(self) -> None:
        """Find where the directories below each one end."""
        depths = self._depths
        self._ends = array("i", [len(depths)]) * len(depths)
        path: list[int] = []
        for place, depth in enumerate(depths):
            while len(path) > depth:
                self._ends[path.pop()] = place
            path.append(place)

    def end(self, place: int) -> int:
        """Return the number of the directory that follows `place` and everything below it."""
        return self._ends[place]

    def has_second(self, place: int) -> bool:
        """Say whether the second process has a file to write in the directory at `place` or below; may be wrong in saying so."""
        end = self._ends[place]
        start, stop = self._before[place], self._before[end] if end < len(self._before) else self._total
        return start < stop and (self._is_second(start) or self._block(start) != self._block(stop - 1))

    def deal(self, place: int, files: Iterable[Child]) -> tuple[list[Child], list[Child]]:
        """Return which of the files that `add` was told of the directory at `place` the first process writes, and the second."""
        hands: tuple[list[Child], list[Child]] = ([], [])
        position = self._before[place]
        for child in files:
            hands[self._is_second(position)].append(child)
            position += _work(child.entry)
        return hands

    def _block(self, position: int) -> int:
        return position * _BLOCKS // self._total

    def _is_second(self, position: int) -> bool:
        return self._block(position) % 9 in _SECOND


def _work(entry: Entry) -> int:
    return _FILE_BYTES + (0 if entry.sparse else entry.size)


class Written(NamedTuple):
    """What the second process did. `warnings`: for the monitor."""

    size: int
    warnings: list[str]


class SecondWriter:
    """The second process, seen from the first. Leave it through `finish()` or `kill()`."""

    def __init__(self, fork: Fork, work: Callable[[Tally], int]) -> None:
        """Start `work`, which writes files and returns how many bytes; it must not use the monitor of this process."""
        self._shared = mmap.mmap(-1, _COUNTER.size)  # both see it
        self._seen = 0
        tally = Tally(self._shared)
        self._process = fork(lambda _: _answer(work, tally))

    def news(self) -> int:
        """Return how many files it has written since this was asked last."""
        count, _ = _COUNTER.unpack(self._shared)
        self._seen, before = count, self._seen
        return int(count - before)

    def has_failed(self) -> bool:
        """Say whether `finish` is going to raise, so that nobody needs to go on."""
        return bool(_COUNTER.unpack(self._shared)[1])

    def finish(self) -> Written:
        """Wait for its end. Raises what it raised."""
        answer = json.loads(self._process.finish(lambda _: None))
        if "error" in answer:
            raise _find_error(answer["error"])(answer["message"], hint=answer["hint"])
        return Written(answer["size"], answer["warnings"])

    def kill(self) -> None:
        self._process.kill()


class Tally:
    """The Monitor of the second process: counts where the first one sees it, and keeps warnings for the end."""

    def __init__(self, shared: mmap.mmap) -> None:
        self._shared = shared
        self._count = 0
        self.warnings: list[str] = []

    def start(self, step: str, total: int | None = None, unit: str = "") -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        self._count += amount
        _COUNTER.pack_into(self._shared, 0, self._count, 0)

    def finish(self) -> None:
        pass

    def fail(self) -> None:
        """Let the first process know."""
        _COUNTER.pack_into(self._shared, 0, self._count, 1)

    def note(self, message: str) -> None:
        self.warnings.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def _answer(work: Callable[[Tally], int], tally: Tally) -> bytes:
    try:
        return json.dumps({"size": work(tally), "warnings": tally.warnings}).encode()
    except EnvgitError as error:
        failure = error
    except OSError as error:
        failure = StorageError(f"the files cannot be written: {error.strerror}")
    tally.fail()
    return json.dumps({"error": type(failure).__name__, "message": failure.message, "hint": failure.hint}).encode()


def _find_error(name: str) -> type[EnvgitError]:
    """Return the error of this name that takes a message and a hint; StorageError for one that is not known."""
    todo: list[type[EnvgitError]] = [EnvgitError]
    while todo:
        found = todo.pop()
        if found.__name__ == name and found.__init__ is EnvgitError.__init__:
            return found
        todo += found.__subclasses__()
    return StorageError
