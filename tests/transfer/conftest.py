"""The two programs, and the ways to a repository: each test of the exchange runs on all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from envgit.transfer import transport
from envgit.transfer.address import parse_address
from tests.transfer.http_server import HttpServer
from tests.transfer.repositories import Recorder
from tests.transfer.ssh_server import SshServer

WAYS = ("path", "file", "ssh", "http")


class Way(NamedTuple):
    """How the tests reach `folder`: `open(ours, theirs)` gives a transport."""

    kind: str
    program: str
    folder: Path
    variables: dict[str, str]
    text: Callable[[Path], str]
    monitor: Recorder

    def open(self, ours: Path, theirs: Path, **options: float) -> transport.Transport:
        address = parse_address(self.text(theirs), "/")
        environ = {**os.environ, **self.variables}
        return transport.open_transport(str(ours), address, environ, self.monitor, program=self.program, **options)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder whose repositories every server of the session gives away."""
    folder = tmp_path_factory.mktemp("served")
    folder.chmod(0o755)
    yield folder


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture(scope="session")
def http_server(served: Path) -> Iterator[HttpServer]:
    with HttpServer(served) as server:
        yield server


@pytest.fixture
def place(served: Path, tmp_path: Path) -> Path:
    """A folder of this test that the servers reach."""
    folder = served / tmp_path.name
    folder.mkdir()
    return folder


@pytest.fixture(params=transport.PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, program: str, served: Path) -> Way:
    kind = str(request.param)
    variables: dict[str, str] = {}
    if kind == "ssh":
        ssh: SshServer = request.getfixturevalue("ssh_server")
        variables = ssh.variables
        text: Callable[[Path], str] = ssh.url
    elif kind == "http":
        http: HttpServer = request.getfixturevalue("http_server")
        text = lambda path: http.url(str(path.relative_to(served)))  # noqa: E731
    else:
        text = (lambda path: f"file://{path}") if kind == "file" else str
    return Way(kind, program, served, variables, text, Recorder())
