"""Bundles: written and read with git and with dulwich, and by stock git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from envgit.errors import EnvgitError, InvalidName, NegativeAnswer, UsageError
from envgit.monitor import NullMonitor
from envgit.transfer.address import parse_address
from envgit.transfer.bundle import write_bundle
from envgit.transfer.errors import MissingPrerequisite, NoSuchRepository, RemoteMoved, TransferError
from envgit.transfer.transport import RefUpdate, Transport, open_transport
from tests.transfer.repositories import assert_holds, commit, git, make_bare, make_history, make_quarantine, tip

MAIN = "refs/heads/main"


def _write(
    ours: Path, path: Path, program: str, *excluded: bytes, names: tuple[str, ...] = (MAIN,)
) -> tuple[bytes, ...]:
    references = {name: tip(ours, name) for name in names}
    return write_bundle(str(ours), str(path), references, excluded, os.environ, NullMonitor(), program=program)


def _open(ours: Path, path: Path, program: str) -> Transport:
    return open_transport(str(ours), parse_address(str(path), "/"), os.environ, NullMonitor(), program=program)


def test_stock_git_reads_what_we_write(program: str, tmp_path: Path) -> None:
    ours = make_history(tmp_path / "ours")
    assert _write(ours, tmp_path / "a.bundle", program, names=(MAIN, "refs/tags/v1")) == ()
    assert (
        "is okay"
        in subprocess.run(
            ["git", "--git-dir", ours, "bundle", "verify", tmp_path / "a.bundle"], capture_output=True, text=True
        ).stderr
    )
    subprocess.run(
        ["git", "clone", "-q", "--bare", "-b", "main", tmp_path / "a.bundle", tmp_path / "clone"], check=True
    )
    assert tip(tmp_path / "clone") == tip(ours)
    git(tmp_path / "clone", "fsck", "--strict")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".envgit")] == []


def test_we_read_what_stock_git_writes(program: str, tmp_path: Path) -> None:
    theirs, ours = make_history(tmp_path / "theirs"), make_bare(tmp_path / "ours")
    git(theirs, "bundle", "create", str(tmp_path / "a.bundle"), "main", "v1", "HEAD")
    transport = _open(ours, tmp_path / "a.bundle", program)
    listed = transport.list_refs()
    assert listed.refs == {MAIN: tip(theirs), "refs/tags/v1": tip(theirs, "v1")} and listed.head == MAIN
    quarantine = make_quarantine(tmp_path / "quarantine", ours)
    fetched = transport.fetch(listed.refs, str(quarantine))
    assert fetched.bytes > 0 and fetched.objects > 0
    assert_holds(quarantine, tip(theirs))


def test_a_range_builds_on_what_the_reader_has(program: str, tmp_path: Path) -> None:
    theirs = make_history(tmp_path / "theirs", 4)
    base = tip(theirs)
    subprocess.run(["git", "clone", "-q", "--bare", theirs, tmp_path / "ours"], check=True)
    new = commit(theirs, files={"file": b"another"}, message="newest")
    assert _write(theirs, tmp_path / "range.bundle", program, base) == (base,)
    for ours, works in ((tmp_path / "ours", True), (make_bare(tmp_path / "empty"), False)):
        quarantine = make_quarantine(tmp_path / f"quarantine-{ours.name}", ours)
        transport = _open(ours, tmp_path / "range.bundle", program)
        if works:
            transport.fetch({MAIN: new}, str(quarantine))
            assert_holds(quarantine, new)
        else:
            with pytest.raises(
                MissingPrerequisite, match=f"needs commits that are not here: {base.hex()[:12]} number 3"
            ):
                transport.fetch({MAIN: new}, str(quarantine))


def test_what_cannot_be_in_a_bundle_is_said(program: str, tmp_path: Path) -> None:
    ours = make_history(tmp_path / "ours")
    path = tmp_path / "a.bundle"
    with pytest.raises(NegativeAnswer, match="nothing to put"):
        _write(ours, path, program, tip(ours))
    with pytest.raises(InvalidName):
        _write(ours, path, program, names=("refs/envgit/keep/x",))
    _write(ours, path, program, tip(ours, "side"), names=(MAIN, "refs/heads/side"))
    assert set(_open(ours, path, program).list_refs().refs) == {MAIN}
    path.unlink()
    subprocess.run(["git", "clone", "-q", "--bare", "--depth=1", f"file://{ours}", tmp_path / "cut"], check=True)
    with pytest.raises(UsageError, match="cut off"):
        _write(tmp_path / "cut", path, program)
    assert not path.exists()


def test_a_bundle_cannot_be_pushed_to_or_cut(program: str, tmp_path: Path) -> None:
    ours = make_history(tmp_path / "ours")
    _write(ours, tmp_path / "a.bundle", program)
    transport = _open(ours, tmp_path / "a.bundle", program)
    with pytest.raises(TransferError):
        transport.push([RefUpdate(MAIN, None, tip(ours))])
    with pytest.raises(TransferError):
        transport.fetch({MAIN: tip(ours)}, str(ours), depth=1)
    with pytest.raises(RemoteMoved):
        transport.fetch({MAIN: b"x" * 20}, str(ours))
    with pytest.raises(NoSuchRepository):
        _open(ours, tmp_path / "none.bundle", program).list_refs()


OID = b"1" * 40
HOSTILE = {
    "empty": b"",
    "no signature": b"hello\n",
    "only a signature": b"# v2 git bundle\n",
    "version 4": b"# v4 git bundle\n\nPACK",
    "a line that means nothing": b"# v2 git bundle\nhello\n\n",
    "a short id": b"# v2 git bundle\n1234 refs/heads/main\n\n",
    "no name": b"# v2 git bundle\n" + OID + b" \n\n",
    "a prerequisite after refs": b"# v2 git bundle\n" + OID + b" refs/heads/main\n-" + OID + b" x\n\n",
    "a capability of version 3": b"# v2 git bundle\n@filter=blob:none\n\n",
    "an unknown capability": b"# v3 git bundle\n@object-format=sha256\n\n",
    "a filter": b"# v3 git bundle\n@filter=blob:none\n\n",
    "a line without end": b"# v2 git bundle\n" + b"a" * 100_000,
    "no pack": b"# v2 git bundle\n" + OID + b" refs/heads/main\n\n",
    "not a pack": b"# v2 git bundle\n" + OID + b" refs/heads/main\n\nKCAP" + bytes(40),
    "a pack without objects": b"# v2 git bundle\n" + OID + b" refs/heads/main\n\nPACK\0\0\0\2\0\0\0\5" + bytes(20),
    "a huge count": b"# v2 git bundle\n" + OID + b" refs/heads/main\n\nPACK\0\0\0\2\xff\xff\xff\xff" + bytes(200),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_bundle_is_refused(program: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bundle"
    path.write_bytes(HOSTILE[name])
    ours = make_bare(tmp_path / "ours")
    quarantine = make_quarantine(tmp_path / "quarantine", ours)
    transport = _open(ours, path, program)
    with pytest.raises(EnvgitError) as caught:
        transport.fetch({MAIN: bytes.fromhex(OID.decode())}, str(quarantine))
    assert caught.value.hint
    assert list((quarantine / "objects/pack").glob("*.pack")) == []


def test_a_bundle_cut_anywhere_is_refused(program: str, tmp_path: Path) -> None:
    ours = make_history(tmp_path / "ours")
    _write(ours, tmp_path / "whole", program)
    data = (tmp_path / "whole").read_bytes()
    empty = make_bare(tmp_path / "empty")
    for number, size in enumerate((20, 60, len(data) // 2, len(data) - 21, len(data) - 1)):
        path = tmp_path / f"{number}.bundle"
        path.write_bytes(data[:size])
        quarantine = make_quarantine(tmp_path / f"quarantine{number}", empty)
        with pytest.raises(TransferError):
            _open(empty, path, program).fetch({MAIN: tip(ours)}, str(quarantine))
        assert list((quarantine / "objects/pack").glob("*.pack")) == []
