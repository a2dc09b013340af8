"""What git and the other side say on standard error: progress for the monitor, messages of the server, errors."""

from __future__ import annotations

import re
from typing import Final

from envgit.monitor import Monitor

_PROGRESS: Final = re.compile(
    r"(remote: )?([A-Z][A-Za-z -]{2,40}): +(?:(\d{1,3})% \((\d{1,18})/(\d{1,18})\)|(\d{1,18}))"
    r"(?:, [\d.]+ (?:[KMGT]i)?(?:B|bytes))?"
    r"(?: \| [\d.]+ \S+/s)?(, done|, completed with \d{1,18} local objects?)?\.?\s*"
)
_MOST_LINE: Final = 4096
_MOST_MESSAGES: Final = 200
_MOST_KEPT: Final = 1000
_WORDS: Final = {
    "Receiving objects": "receiving",
    "Writing objects": "sending",
    "Resolving deltas": "checking",
    "Checking connectivity": "checking that all is there",
}


class GitTalk:
    """Takes standard error piece by piece; `lines` is what was neither progress nor a message, `messages` what the server said.

    Both are bounded: a server can talk for ever.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._rest = b""
        self._remote = b""
        self._step = ""
        self._done = 0
        self.lines: list[str] = []
        self.messages: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take more bytes; lines end with CR or LF."""
        pieces = re.split(rb"[\r\n]+", self._rest + data)
        self._rest = pieces.pop()
        if len(self._rest) > _MOST_LINE:
            pieces.append(self._rest)
            self._rest = b""
        for piece in pieces:
            self._take(piece[:_MOST_LINE].decode("utf-8", "replace"))

    def feed_remote(self, data: bytes) -> None:
        """Take more bytes of what the server says beside a pack: without git's "remote: ", in pieces that end anywhere."""
        pieces = re.split(rb"[\r\n]+", self._remote + data)
        self._remote = pieces.pop()
        if len(self._remote) > _MOST_LINE:
            pieces.append(self._remote)
            self._remote = b""
        for piece in pieces:
            self._take("remote: " + piece[:_MOST_LINE].decode("utf-8", "replace"))

    def finish(self) -> None:
        """End what is unfinished."""
        if self._remote:
            self._take("remote: " + self._remote.decode("utf-8", "replace"))
            self._remote = b""
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""
        self._end_step()

    def _take(self, line: str) -> None:
        line = line.replace("\x1b[K", "").rstrip()
        if not line:
            return
        match = _PROGRESS.fullmatch(line)
        if match:
            self._show(match)
            return
        if line.startswith("remote: ") or line == "remote:":
            text = line[8:].strip()
            if text and len(self.messages) < _MOST_MESSAGES:
                self.messages.append(text)
        elif len(self.lines) < _MOST_KEPT:
            self.lines.append(line)

    def _show(self, match: re.Match[str]) -> None:
        remote, name, _, done, total, count, finished = match.groups()
        step = _WORDS.get(name, name.lower())
        if remote:
            step = "remote: " + step
        if step != self._step:
            self._end_step()
            self._monitor.start(step, int(total) if total else None, "objects" if "objects" in name.lower() else "")
            self._step, self._done = step, 0
        now = int(done or count)
        if now > self._done:
            self._monitor.advance(now - self._done)
            self._done = now
        if finished:
            self._end_step()

    def _end_step(self) -> None:
        if self._step:
            self._monitor.finish()
            self._step = ""
