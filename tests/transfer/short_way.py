"""Pushes the short way, as tests make them, and what must hold afterwards."""

from __future__ import annotations

import os
import random

from envgit.monitor import NullMonitor
from envgit.store.objects import Signature
from envgit.transfer.address import Address
from envgit.transfer.local_path import LocalTransport, open_local
from envgit.transfer.local_refs import INTENT
from envgit.transfer.transport import RefUpdate, Transport
from tests.transfer.made_history import MadeHistory, git

MAIN = "refs/heads/main"


def who() -> Signature:
    return Signature(b"A", b"a@example.com", 1_700_000_000)


def _never() -> Transport:
    raise AssertionError("the long way was taken")


def way(made: MadeHistory, other: str) -> LocalTransport | None:
    address = Address("path", other, other, "")
    return open_local(
        made.git_dir, address, dict(os.environ), NullMonitor(), purpose="push", committer=who, otherwise=_never
    )


def push(made: MadeHistory, other: str, *updates: RefUpdate, atomic: bool = False) -> list[str]:
    """Push the short way and return the reasons."""
    transport = way(made, other)
    assert transport is not None
    outcomes = transport.push(updates, atomic=atomic)
    transport.close()
    assert [outcome.name for outcome in outcomes] == [update.name for update in updates]
    for outcome in outcomes:
        assert outcome.ok or outcome.reason
    return [outcome.reason for outcome in outcomes]


def random_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def assert_sound(other: str) -> None:
    assert git("fsck", "--strict", "--full", "--no-progress", cwd=other) == ""
    assert not [name for name in os.listdir(other + "/objects/pack") if name.startswith("tmp_")]
    assert not [name for name in os.listdir(other) if name.startswith("tmp_")]
    assert not os.path.exists(f"{other}/{INTENT}")


def packs(git_dir: str) -> dict[str, int]:
    """Return name and inode of each pack."""
    folder = git_dir + "/objects/pack"
    return {name: os.stat(f"{folder}/{name}").st_ino for name in os.listdir(folder) if name.endswith(".pack")}
