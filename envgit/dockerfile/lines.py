"""From the bytes of a Dockerfile to instructions on one line each: directives, comments, continuations, heredocs' lines."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

from envgit.dockerfile.errors import DockerfileError
from envgit.dockerfile.instructions import Source
from envgit.dockerfile.whitespace import SPACE

_DIRECTIVE = re.compile(r"([A-Za-z][A-Za-z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*([^\n]+?)[\t\n\f\r ]*\Z")
_DIRECTIVES = ("syntax", "escape", "check")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class LogicalLine(NamedTuple):
    """An instruction without its heredocs, from line `first` to `last`."""

    first: int
    last: int
    text: str
    empty: tuple[int, ...] = ()
    """Numbers of the empty lines between continuations."""


class LineReader:
    """Reads a Dockerfile once from its beginning to its end. The directives are known once the first line was read."""

    def __init__(self, text: bytes, file: str) -> None:
        if text.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DockerfileError(f"{file}: is UTF-16", hint="save it as UTF-8")
        lines = text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        self._lines = [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])
        self._at = 0
        self._file = file
        self._in_directives = True
        self._ends: dict[bool, dict[str, list[int]]] = {}
        self.directives: dict[str, str] = {}

    @property
    def escape(self) -> str:
        """The character that continues lines and escapes others."""
        return self.directives.get("escape", "\\")

    def read_line(self) -> LogicalLine | None:
        """Read the next instruction; None at the end. Raises DockerfileError for a directive that is wrong."""
        while self._at < len(self._lines):
            line = self._take().lstrip(SPACE)
            if self._in_directives:
                self._in_directives = self._read_directive(line)
            if line and not line.startswith("#"):
                return self._join(line)
        return None

    def read_heredoc(self, name: str, strip_tabs: bool) -> str | None:
        """Read the lines up to the one that is `name`; None, and nothing was read, when there is no such line."""
        ends = self._find_ends(strip_tabs).get(name, [])
        found = bisect_left(ends, self._at)
        if found == len(ends):
            return None
        end = ends[found]
        start, self._at = self._at, end + 1
        for at in range(start, end):
            self._check(at)
        return "".join(self._lines[start:end])

    def source(self, line: LogicalLine) -> Source:
        """Describe an instruction whose heredocs were read."""
        written = (part.rstrip("\r\n") for part in self._lines[line.first - 1 : self._at])
        return Source(self._file, line.first, self._at, "\n".join(written), line.text)

    def _find_ends(self, strip_tabs: bool) -> dict[str, list[int]]:
        """Index all lines by their text: many heredocs without an end must not mean as many searches."""
        if strip_tabs not in self._ends:
            index = self._ends[strip_tabs] = {}
            for at, line in enumerate(self._lines):
                text = line.rstrip("\r\n")
                index.setdefault(text.lstrip("\t") if strip_tabs else text, []).append(at)
        return self._ends[strip_tabs]

    def _join(self, line: str) -> LogicalLine:
        """Join a line that begins an instruction with those that continue it."""
        first, parts, empty = self._at, [], []
        self._check(first - 1)
        line, goes_on = self._cut_continuation(line)
        parts.append(line)
        while goes_on and self._at < len(self._lines):
            line = self._take()
            shown = line.lstrip(SPACE)
            if shown.startswith("#"):
                continue
            if not shown:
                empty.append(self._at)
                continue
            self._check(self._at - 1)
            line, goes_on = self._cut_continuation(line)
            parts.append(line)
        return LogicalLine(first, self._at, "".join(parts), tuple(empty))

    def _cut_continuation(self, line: str) -> tuple[str, bool]:
        """Remove the escape character at the end of a line; two of them are no continuation."""
        cut = line.rstrip(" \t")
        if not cut.endswith(self.escape) or cut.endswith(2 * self.escape):
            return line, False
        return cut[:-1], True

    def _read_directive(self, line: str) -> bool:
        """Read `# name=value`; False when directives end before this line."""
        found = _DIRECTIVE.match(line[1:].lstrip(SPACE)) if line.startswith("#") else None
        name = found[1].lower() if found else ""
        if not found or name not in _DIRECTIVES:
            return False
        self._check(self._at - 1)
        if name in self.directives:
            raise self._error(f"a second {name} directive")
        if name == "escape" and found[2] not in ("\\", "`"):
            raise self._error(f"'{found[2]}' cannot be the escape character", "write: # escape=` or # escape=\\")
        self.directives[name] = found[2]
        return True

    def _take(self) -> str:
        self._at += 1
        return self._lines[self._at - 1].rstrip("\r\n")

    def _check(self, index: int) -> None:
        """Refuse what no string of an image or of a command may hold; in comments it does no harm."""
        bad = _NOT_UTF8.search(self._lines[index])
        if bad:
            place = f"{self._file}:{index + 1}:{bad.start() + 1}"
            raise DockerfileError(
                f"{place}: byte {ord(bad[0]) - 0xDC00:#04x} is not UTF-8", hint="save the file as UTF-8"
            )
        column = self._lines[index].find("\0")
        if column >= 0:
            raise DockerfileError(f"{self._file}:{index + 1}:{column + 1}: a NUL byte")

    def _error(self, message: str, hint: str | None = None) -> DockerfileError:
        return DockerfileError(f"{self._file}:{self._at}: {message}", hint=hint)
