"""Reading a sandbox's log: what is there, and what comes, across rotations."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from envgit.sandbox.log_file import numbered
from envgit.sandbox.log_line import LogLine, parse_line

_PIECE_BYTES = 1 << 20
_PAUSE_SECONDS = 0.1
_TRIES = 50
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class LogQuery(NamedTuple):
    """What to read. `tail`: the last so many lines of the program, None: all. Times in ns since the epoch, both included."""

    tail: int | None = None
    since_ns: int = 0
    until_ns: int | None = None

    def admits(self, line: LogLine) -> bool:
        return line.time_ns >= self.since_ns and (self.until_ns is None or line.time_ns <= self.until_ns)


def read_log(folder: str, query: LogQuery) -> Iterator[LogLine]:
    """Yield the lines of a sandbox's log, oldest first."""
    return follow_log(folder, query, lambda: False)


def follow_log(folder: str, query: LogQuery, goes_on: Callable[[], bool]) -> Iterator[LogLine]:
    """Yield lines as read_log(), then those that come while `goes_on()`, which is asked whenever there is nothing new.

    Every line is yielded once and whole, whatever is rotated meanwhile, unless more than all files of the log are written
    between two looks; then the oldest ones that are left follow.
    """
    position = _Position(f"{folder}/log")
    ended = False
    try:
        yield from _last(position.read_lines(), query)
        while True:
            found = False
            for line in position.read_lines():
                found = True
                if query.until_ns is not None and line.time_ns > query.until_ns:
                    return
                if query.admits(line):
                    yield line
            if found:
                continue
            if ended:
                return
            ended = not goes_on()  # then once more: what was written before it ended
            if not ended:
                time.sleep(_PAUSE_SECONDS)
    finally:
        position.close()


def _last(lines: Iterator[LogLine], query: LogQuery) -> Iterator[LogLine]:
    """Yield the lines that are asked for; with `tail` as many of the last as make so many lines of the program."""
    admitted = (line for line in lines if query.admits(line))
    if query.tail is None:
        yield from admitted
        return
    kept: deque[LogLine] = deque()
    ends = 0
    for line in admitted:
        kept.append(line)
        ends += line.whole
        while kept and ends + (not kept[-1].whole) > query.tail:
            ends -= kept.popleft().whole
    yield from kept


class _Position:
    """A place in the chain log.N ... log.1, log, kept by the open file, not by its name."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read_lines(self) -> Iterator[LogLine]:
        """Yield what is there now, up to the end of the newest file."""
        if self._fd < 0 and not self._open_oldest():
            return
        while True:
            yield from self._read_file()
            successor = self._find_successor()
            if successor is None:
                return
            yield from self._read_file()  # what was added before the rotation
            os.close(self._fd)
            self._fd, self._rest = successor, b""

    def _read_file(self) -> Iterator[LogLine]:
        while piece := os.read(self._fd, _PIECE_BYTES):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            for text in whole:
                line = parse_line(text)
                if line is not None:
                    yield line
        size = os.fstat(self._fd).st_size
        if size < os.lseek(self._fd, 0, os.SEEK_CUR):  # the writer took a piece back that the disk had no room for
            os.lseek(self._fd, size, os.SEEK_SET)
            self._rest = b""

    def _open_oldest(self) -> bool:
        for _ in range(_TRIES):
            numbers = self._numbers()
            if not numbers:
                return False
            with suppress(FileNotFoundError):  # it was rotated away
                self._fd = os.open(numbered(self._path, numbers[-1]), _FLAGS)
                if self._numbers()[-1:] == numbers[-1:]:
                    return True
                self.close()  # it may be the second oldest by now
        return False

    def _find_successor(self) -> int | None:
        """Return the next newer file, opened; None while this one is the newest, or nothing stands still."""
        for _ in range(_TRIES):
            here, numbers = self._number_here(), self._numbers()
            if here == 0 or not numbers:
                return None
            try:
                fd = os.open(numbered(self._path, numbers[-1] if here is None else here - 1), _FLAGS)
            except FileNotFoundError:  # between two renames
                time.sleep(0.001)
                continue
            if self._number_here() == here and (here is not None or self._numbers()[-1:] == numbers[-1:]):
                return fd
            os.close(fd)  # rotated between the two looks
        return None

    def _number_here(self) -> int | None:
        """Return how many files old the open file is; None when it is gone from the chain."""
        while (own := os.fstat(self._fd)).st_nlink:
            for number in self._numbers():
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.stat(numbered(self._path, number)), own):
                        return number
            time.sleep(0.001)  # it was renamed while the others were looked at
        return None

    def _numbers(self) -> list[int]:
        folder, name = os.path.split(self._path)
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        tails = [found[len(name) + 1 :] for found in names if found.startswith(name + ".")]
        return sorted([int(tail) for tail in tails if tail.isdigit()] + [0] * (name in names))
