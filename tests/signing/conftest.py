"""Keys, made once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.signing.keys import KeyRing, SshKeys, open_key_ring


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> SshKeys:
    return SshKeys.make(tmp_path_factory.mktemp("ssh-keys"))


@pytest.fixture(scope="session")
def key_ring() -> Iterator[KeyRing]:
    with open_key_ring() as ring:
        yield ring
