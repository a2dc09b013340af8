"""The lines of a sandbox's log, in the format of the CRI (and of k8s-file): `TIME STREAM F|P TEXT`.

F ends a line of the program, P does not: what it wrote without a newline, or a piece of a line. TEXT is any bytes but a newline.
TIME is RFC 3339 with nanoseconds, UTC.
"""

from __future__ import annotations

import time
from calendar import timegm
from typing import Literal, NamedTuple

Stream = Literal["stdout", "stderr"]
_NS = 1_000_000_000
_TIME_BYTES = 30
_STREAMS: dict[bytes, Stream] = {b"stdout": "stdout", b"stderr": "stderr"}


class LogLine(NamedTuple):
    time_ns: int
    stream: Stream
    whole: bool
    """The program ended the line here."""
    text: bytes


def format_lines(time_ns: int, stream: Stream, data: bytes) -> bytes:
    """Return the log lines of one read of the program's output: as many as it has lines, and a P for an unfinished last one."""
    *whole, rest = data.split(b"\n")
    prefix = f"{format_time(time_ns)} {stream} ".encode("ascii")
    lines = [b"%bF %b\n" % (prefix, text) for text in whole]
    if rest:
        lines.append(b"%bP %b\n" % (prefix, rest))
    return b"".join(lines)


def parse_line(line: bytes) -> LogLine | None:
    """Parse a line without its newline; None for what is none, as a power cut may leave."""
    moment, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    tag, space, text = rest.partition(b" ")
    if len(moment) != _TIME_BYTES or tag not in (b"F", b"P") or not space or stream not in _STREAMS:
        return None
    try:
        time_ns = parse_time(moment.decode("ascii"))
    except ValueError:
        return None
    return LogLine(time_ns, _STREAMS[stream], tag == b"F", text)


def format_time(time_ns: int) -> str:
    """Return `2026-01-31T23:59:59.123456789Z`."""
    seconds, rest = divmod(time_ns, _NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09}Z"


def parse_time(text: str) -> int:
    """Parse what format_time() makes. Raises ValueError."""
    seconds, dot, rest = text.removesuffix("Z").partition(".")
    if not (dot and len(rest) == 9 and rest.isdigit() and text.endswith("Z")):
        raise ValueError(text)
    return timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * _NS + int(rest)
