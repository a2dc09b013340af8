"""Published ports: one stream, and many connections at once, through the forwarder; whole commands, sink and namespace included."""

from __future__ import annotations

import os
import sys

from ..bench import Bench
from ..contender import Contender
from ..row import Race, Row
from ..target import AtMostSeconds

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CONNECTIONS = 1000


def races(bench: Bench) -> list[Race]:
    """1 GB/s is the figure; `direct` sends to the same sink over the host's loopback."""
    size = (1 << 30) if bench.quick else (8 << 30)
    stream = [_contender("envgit", "forwarded", size), _contender("direct", "direct", size)]
    many = [
        _contender("envgit", "forwarded", _CONNECTIONS, "--hold"),
        _contender("direct", "direct", _CONNECTIONS, "--hold"),
    ]
    return [
        Race("published port: one stream over loopback", stream, [AtMostSeconds(size / 1e9)], note=f"{size >> 30} GiB"),
        Race(
            "published port: connections held at once", many, [AtMostSeconds(2.0)], note=f"{_CONNECTIONS} connections"
        ),
    ]


def _contender(name: str, way: str, amount: int, *options: str) -> Contender:
    argv = [sys.executable, "-m", "benchmarks.stream", way, str(amount), *options]
    return Contender(name, folder=_ROOT, commands=lambda _: [argv])


ROW = Row("ports", races)
