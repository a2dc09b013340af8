"""A server in a process of its own, as `envgit serve` starts it, answering by git and without it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.lab import Lab

WAIT_SECONDS = 20


@dataclass
class Server:
    """A running `envgit serve`; `url` is what it printed."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]

    def connect(self, timeout: float = WAIT_SECONDS) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(self, request: bytes, timeout: float = WAIT_SECONDS) -> bytes:
        """Send bytes and return all that comes until the server closes."""
        with closing(self.connect(timeout)) as connection:
            connection.sendall(request)
            said = b""
            while piece := connection.recv(65536):
                said += piece
            return said

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it; return its exit status and what it said."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode, said.decode()


Serve = Callable[..., Server]


@pytest.fixture(params=["git", "dulwich"])
def program(request: pytest.FixtureRequest) -> str:
    """What makes the answers: ENVGIT_GIT's words."""
    return str(request.param)


@pytest.fixture
def serve(program: str) -> Iterator[Serve]:
    started: list[Server] = []

    def start(lab: Lab, *words: str, **variables: str) -> Server:
        there = lab.at(lab.path)
        there.variables.update(variables, ENVGIT_GIT=program)
        process = there.start("serve", "--port", "0", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = _first_line(process)
        started.append(Server(process, line.split()[-1]))
        return started[-1]

    yield start
    for server in started:
        server.stop(signal.SIGKILL)


def _first_line(process: subprocess.Popen[bytes]) -> str:
    out: IO[bytes] | None = process.stdout
    assert out is not None
    line = out.readline().decode()
    if not line.startswith("envgit clone http"):
        process.kill()
        raise AssertionError((line, process.communicate()[1].decode()))
    return line.strip()


def git(*words: str | Path, status: int | None = 0, **variables: str) -> str:
    """Run stock git; return all that it says."""
    done = subprocess.run(
        ["git", *words], capture_output=True, timeout=60, check=False, env={**os.environ, **variables}
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert status is None or done.returncode == status, said
    return said
