"""Fetches between folders: what the wanted refs reach lands in the quarantine's packs, by links where whole packs are wanted."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.monitor import NullMonitor
from envgit.store import storage
from envgit.store.objects import Signature, Tag, encode_tag
from envgit.store.repository import create_bare
from envgit.transfer.address import Address
from envgit.transfer.errors import RemoteMoved, TransferError
from envgit.transfer.local_path import LocalTransport, open_local
from envgit.transfer.transport import Fetched, Transport
from tests.transfer.made_history import MadeHistory, all_objects, git, make_bare, reachable

MAIN = "refs/heads/main"


def who() -> Signature:
    return Signature(b"A", b"a@example.com", 1_700_000_000)


@pytest.fixture(autouse=True)
def no_faults() -> object:
    yield
    storage.set_fault_hook(None)


@pytest.fixture
def theirs(tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "theirs")


@pytest.fixture
def here(tmp_path: Path) -> str:
    create_bare(str(tmp_path / "here.envgit"), "main")
    return str(tmp_path / "here.envgit")


@pytest.fixture
def quarantine(tmp_path: Path, here: str) -> str:
    """A bare repository that borrows the objects of `here`, as quarantines do."""
    path = make_bare(tmp_path / "quarantine")
    Path(path, "objects/info/alternates").write_text(here + "/objects\n")
    return path


def _never() -> Transport:
    raise AssertionError("the long way was taken")


def way(here: str, other: str) -> LocalTransport:
    address = Address("path", other, other, "")
    transport = open_local(
        here, address, dict(os.environ), NullMonitor(), purpose="fetch", committer=who, otherwise=_never
    )
    assert transport is not None
    return transport


def noise(seed: int, size: int = 2 << 20) -> bytes:
    return random.Random(seed).randbytes(size)


def inodes(git_dir: str) -> set[int]:
    folder = git_dir + "/objects/pack"
    return {os.stat(f"{folder}/{name}").st_ino for name in os.listdir(folder) if name.endswith(".pack")}


def test_a_clone_shares_the_packs(theirs: MadeHistory, here: str, quarantine: str) -> None:
    first = theirs.commit({"a": noise(1)})
    tip = theirs.commit({"a": noise(1), "b": noise(2)}, [first])
    transport = way(here, theirs.git_dir)
    there = transport.list_refs()
    assert there.refs == {MAIN: tip} and there.head == MAIN and there.detached is None
    fetched = transport.fetch({MAIN: tip}, quarantine)
    assert inodes(quarantine) == inodes(theirs.git_dir)
    assert fetched.objects == 6 and fetched.bytes > 4 << 20 and fetched.shallow == ()
    assert sorted(fetched.lent) == sorted(path.stem for path in Path(quarantine, "objects/pack").glob("*.pack"))
    assert reachable(quarantine, tip.hex()) == reachable(theirs.git_dir)


def test_only_what_is_new_comes(theirs: MadeHistory, here: str, quarantine: str) -> None:
    first = theirs.commit({"a": noise(1), "c/d": b"same"})
    way(here, theirs.git_dir).fetch({MAIN: first}, here)
    second = theirs.commit({"a": noise(1), "b": b"new", "c/d": b"same"}, [first])
    Path(quarantine, "packed-refs").write_text(f"{first.hex()} refs/have/1\n")
    fetched = way(here, theirs.git_dir).fetch({MAIN: second}, quarantine)
    assert fetched.objects == 3
    assert git("fsck", "--strict", "--no-progress", "--no-dangling", cwd=quarantine) == ""


def test_what_is_not_wanted_stays_there(theirs: MadeHistory, here: str, quarantine: str) -> None:
    tip = theirs.commit({"a": noise(1)})
    secret = theirs.commit({"a": noise(1), "s": b"secret"}, [tip], branch="private")
    theirs.refs.update("refs/envgit/kept/" + secret.hex(), secret, None)
    git("repack", "-a", "-d", "-q", cwd=theirs.git_dir)
    transport = way(here, theirs.git_dir)
    assert set(transport.list_refs().refs) == {MAIN, "refs/heads/private"}
    transport.fetch({MAIN: tip}, quarantine)
    assert all_objects(quarantine) == reachable(theirs.git_dir, tip.hex())


def test_tags_are_peeled(theirs: MadeHistory, here: str) -> None:
    tip = theirs.commit({"a": b"1"})
    with theirs.objects.pack_session() as session:
        inner = session.put("tag", encode_tag(Tag(tip, "commit", b"in", None, b"x\n")))
        outer = session.put("tag", encode_tag(Tag(inner, "tag", b"out", None, b"x\n")))
        session.finish()
    theirs.refs.update("refs/tags/out", outer, None)
    theirs.refs.update("refs/tags/light", tip, None)
    there = way(here, theirs.git_dir).list_refs()
    assert there.peeled == {"refs/tags/out": tip}
    assert there.refs["refs/tags/light"] == tip


def test_a_detached_head(theirs: MadeHistory, here: str) -> None:
    tip = theirs.commit({"a": b"1"})
    Path(theirs.git_dir, "HEAD").write_text(tip.hex() + "\n")
    there = way(here, theirs.git_dir).list_refs()
    assert there.head is None and there.detached == tip


def test_an_empty_repository_says_its_unborn_branch(theirs: MadeHistory, here: str) -> None:
    there = way(here, theirs.git_dir).list_refs()
    assert there.refs == {} and there.head == MAIN


def test_what_is_gone_meanwhile_is_said(theirs: MadeHistory, here: str, quarantine: str) -> None:
    theirs.commit({"a": b"1"})
    with pytest.raises(RemoteMoved, match="not what it was"):
        way(here, theirs.git_dir).fetch({MAIN: b"\x11" * 20}, quarantine)


def test_a_depth_goes_the_long_way(theirs: MadeHistory, here: str, quarantine: str) -> None:
    tip = theirs.commit({"a": b"1"})
    asked: list[int | None] = []

    class LongWay(LocalTransport):
        def __init__(self) -> None:
            pass

        def fetch(self, wants: object, quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
            asked.append(depth)
            return Fetched(1, 1)

        def close(self) -> None:
            asked.append(None)

    address = Address("path", theirs.git_dir, theirs.git_dir, "")
    transport = open_local(
        here, address, dict(os.environ), NullMonitor(), purpose="fetch", committer=who, otherwise=LongWay
    )
    assert transport is not None
    assert transport.fetch({MAIN: tip}, quarantine, depth=1) == Fetched(1, 1)
    transport.close()
    transport.close()
    assert asked == [1, None]


def test_a_damaged_repository_is_named(theirs: MadeHistory, here: str, quarantine: str) -> None:
    first = theirs.commit({"a": b"1"})
    tip = theirs.commit({"a": b"2"}, [first])
    packs = {}
    for path in Path(theirs.git_dir, "objects/pack").glob("*.idx"):
        packs[path.stem] = git("verify-pack", "-v", str(path))
    (victim,) = (name for name, listing in packs.items() if first.hex() in listing)
    for path in Path(theirs.git_dir, "objects/pack").glob(victim + ".*"):
        path.unlink()
    with pytest.raises(TransferError, match="is damaged: object .* is missing"):
        way(here, theirs.git_dir).fetch({MAIN: tip}, quarantine)
    assert all_objects(quarantine) == set()


def test_a_folder_of_any_size_is_not_read(
    theirs: MadeHistory, here: str, quarantine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = theirs.commit({f"f{number:04}": b"" for number in range(200)})
    monkeypatch.setattr("envgit.transfer.local_path._READ_MAX_BYTES", 4096)
    with pytest.raises(EnvgitError, match="larger than any commit or folder"):
        way(here, theirs.git_dir).fetch({MAIN: tip}, quarantine)


@pytest.mark.parametrize("mode", [0o666, 0o464])
def test_packs_that_others_may_write_are_copied(theirs: MadeHistory, here: str, quarantine: str, mode: int) -> None:
    tip = theirs.commit({"a": noise(1)})
    for path in Path(theirs.git_dir, "objects/pack").iterdir():
        path.chmod(mode)
    way(here, theirs.git_dir).fetch({MAIN: tip}, quarantine)
    assert not inodes(quarantine) & inodes(theirs.git_dir)
    assert reachable(quarantine, tip.hex()) == reachable(theirs.git_dir)


def test_packs_on_another_file_system_are_copied(
    theirs: MadeHistory, here: str, quarantine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = theirs.commit({"a": noise(1)})

    def refuse(*words: object, **options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    way(here, theirs.git_dir).fetch({MAIN: tip}, quarantine)
    assert not inodes(quarantine) & inodes(theirs.git_dir)
    assert reachable(quarantine, tip.hex()) == reachable(theirs.git_dir)


def test_what_stock_git_packed_is_fetched(theirs: MadeHistory, here: str, quarantine: str) -> None:
    text = b"".join(b"%d\n" % random.Random(3).randrange(10**9) for _ in range(5000))
    commits: list[bytes] = []
    for number in range(8):
        text += b"more %d\n" % number
        commits.append(theirs.commit({"a": text}, commits[-1:]))
    git("gc", "-q", "--aggressive", cwd=theirs.git_dir)
    way(here, theirs.git_dir).fetch({MAIN: commits[4]}, quarantine)
    assert all_objects(quarantine) == reachable(theirs.git_dir, commits[4].hex())
    assert git("fsck", "--strict", "--no-progress", "--no-dangling", cwd=quarantine) == ""
