from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.images.image_builder import BASE, TOP
from tests.registry.fake_registry import FakeRegistry


@pytest.fixture
def fakes() -> Iterator[Callable[[], FakeRegistry]]:
    """Return a function that starts one more registry."""
    started: list[FakeRegistry] = []

    def start() -> FakeRegistry:
        started.append(FakeRegistry())
        return started[-1]

    yield start
    for registry in started:
        registry.close()


@pytest.fixture
def fake(fakes: Callable[[], FakeRegistry]) -> FakeRegistry:
    return fakes()


@pytest.fixture
def app(fake: FakeRegistry) -> str:
    """The reference of an image of two layers."""
    return fake.tag("me/app:1", fake.builder.image(BASE, TOP, config={"User": "u"}))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables that a client reads; nothing of this machine's configuration but /etc."""
    (tmp_path / "registries.conf").touch()
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
    }


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps between attempts; the list says how long they would have."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate and key of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout key -out crt"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *subject], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(certificate: Path) -> Iterator[FakeRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "crt", certificate / "key")
    registry = FakeRegistry(context)
    yield registry
    registry.close()
