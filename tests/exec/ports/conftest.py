"""A box, and forwarders into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from envgit.exec.ports.binding import bind, close
from envgit.exec.ports.forwarder import Forwarder, start_forwarder
from envgit.exec.ports.publish import Bound, parse_publish

from .box import ADDRESS, Box

Forward = Callable[..., tuple[Forwarder, tuple[Bound, ...]]]


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box()
    yield made
    made.close()


@pytest.fixture
def forward(box: Box) -> Iterator[Forward]:
    """Return a function: (publish texts..., address=) -> the forwarder and what was bound."""
    forwarders: list[Forwarder] = []
    sockets: list[Bound] = []

    def start(*texts: str, address: str = ADDRESS) -> tuple[Forwarder, tuple[Bound, ...]]:
        bounds = bind(publish for text in texts for publish in parse_publish(text))
        sockets.extend(bounds)
        forwarders.append(start_forwarder(box.pid, box.start_time, bounds, address))
        return forwarders[-1], bounds

    yield start
    for forwarder in forwarders:
        forwarder.stop()
    close(sockets)
