"""What format.md section 9 says of stock git: reading is right, housekeeping is harmless, traffic arrives."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab, assert_stock_git_is_content


@pytest.fixture
def history(lab: Lab) -> Lab:
    """Branches main (three commits, one undone amend, uncommitted changes) and side, tags, a reset that undo returns from."""
    lab.sh("echo one > /etc/motd; mkdir -p /srv/.git; echo x > /srv/.git/HEAD; echo y > '/srv/%odd'")
    lab("commit", "-m", "one")
    lab("tag", "v1")
    lab("tag", "-m", "annotated", "v1-annotated")
    lab("checkout", "-b", "side")
    lab.sh("head -c 9000000 /dev/zero | tr '\\0' x > /srv/big; rm /srv/lines")
    lab("commit", "-m", "big on the side")
    lab("checkout", "main")
    lab.sh("echo two > /etc/motd; echo 'NAME=other' >> /etc/os-release")
    lab("commit", "-m", "two")
    lab.sh("echo 3 > /srv/three")
    lab("commit", "-m", "three")
    lab("reset", "--hard", "HEAD~1")
    lab.sh("echo later > /srv/later")
    return lab


def test_git_reads_what_is_there(history: Lab) -> None:
    assert history.git("show", "main:rootfs/etc/motd") == "two\n"
    assert history.git("show", "main~1:rootfs/etc/motd") == "one\n"
    assert history.git("show", "main:rootfs/etc/os-release").endswith("NAME=other\n")
    assert history.git("log", "--format=%s", "main", "--", "rootfs/etc").split("\n")[:2] == ["two", "one"]
    assert history.git("log", "--format=%s", "main", "--", "rootfs/etc/os-release").split("\n")[0] == "two"
    assert "-one\n+two\n" in history.git("diff", "main~1", "main", "--", "rootfs/etc/motd")
    assert history.git("grep", "two", "main", "--", "rootfs/etc").strip() == "main:rootfs/etc/motd:two"
    assert history.git("blame", "-s", "main", "--", "rootfs/etc/motd").strip().endswith("two")
    assert history("status").out.splitlines()[0] == "On branch main"
    assert history.git("symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert history.git("reflog", "--format=%gs").splitlines()[0].startswith("reset: moving to HEAD~1")


def _everything_still_works(lab: Lab, scratch: Path, revisions: dict[str, str]) -> None:
    lab.forget_layers()
    for revision, expected in revisions.items():
        assert lab.look(revision, "cat /etc/motd; ls /srv") == expected, revision
        lab("export", revision, f"tar:{scratch}/out.tar")
        (scratch / "out.tar").unlink()
    assert lab.changes() == ["A srv/later"]
    assert lab("fsck").status == 0
    lab("undo")
    assert lab.look("HEAD", "ls /srv").splitlines()[-1] == "three"
    assert lab("fsck").status == 0
    assert_stock_git_is_content(lab.git_dir, scratch)


def _revisions(lab: Lab) -> dict[str, str]:
    names = ("main", "main~1", "main~2", "side", "v1", "v1-annotated", lab.head("main@{1}"))
    return {name: lab.look(name, "cat /etc/motd; ls /srv") for name in names}


HOUSEKEEPING = {
    "gc": [["gc", "-q", "--prune=now"]],
    "gc-aggressive": [["reflog", "expire", "--expire=now", "--all"], ["gc", "-q", "--aggressive", "--prune=now"]],
    "repack-deltas": [["repack", "-q", "-adf", "--depth=50", "--window=50"], ["prune", "--expire=now"]],
    "loose": [],
    "packed-refs": [["pack-refs", "--all", "--prune"], ["prune-packed", "-q"]],
    "extras": [
        ["repack", "-q", "-ad", "--write-bitmap-index"], ["commit-graph", "write", "--reachable"], ["multi-pack-index", "write"],
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", HOUSEKEEPING)
def test_housekeeping_of_git_is_harmless(history: Lab, tmp_path: Path, kind: str) -> None:
    revisions = _revisions(history)
    for words in HOUSEKEEPING[kind]:
        history.git(*words)
    if kind == "loose":
        _unpack(history)
    _everything_still_works(history, tmp_path, revisions)


def _unpack(lab: Lab) -> None:
    """Turn every pack into loose objects."""
    for pack in list((lab.git_dir / "objects/pack").glob("*.pack")):
        data = pack.read_bytes()
        for path in pack.parent.glob(pack.stem + ".*"):
            path.unlink()
        command = ["git", "--git-dir", str(lab.git_dir), "unpack-objects", "-q"]
        subprocess.run(command, input=data, check=True)


def test_our_own_gc_is_harmless(history: Lab, tmp_path: Path) -> None:
    revisions = _revisions(history)
    history("gc", "--dry-run")
    history("gc")
    _everything_still_works(history, tmp_path, revisions)


def test_our_aggressive_gc_is_harmless(history: Lab, tmp_path: Path) -> None:
    revisions = _revisions(history)
    history("gc", "--aggressive")
    _everything_still_works(history, tmp_path, revisions)


def test_our_prune_keeps_what_branches_and_worktrees_need(history: Lab, tmp_path: Path) -> None:
    revisions = {name: text for name, text in _revisions(history).items() if len(name) < 40}
    history("gc", "--prune", "now")
    history.forget_layers()
    for revision, expected in revisions.items():
        assert history.look(revision, "cat /etc/motd; ls /srv") == expected, revision
    assert history.changes() == ["A srv/later"]
    assert history("fsck").status == 0


def test_bundles_and_pushes_arrive(history: Lab, tmp_path: Path) -> None:
    history.git("bundle", "create", "-q", str(tmp_path / "all.bundle"), "--branches", "--tags")
    clone = tmp_path / "from-bundle"
    subprocess.run(["git", "clone", "-q", "--bare", tmp_path / "all.bundle", clone / ".envgit"], check=True)
    (clone / ".envgit/requires").write_text("envgit-format-1\n")
    assert Lab(clone).look("main", "cat /etc/motd") == "two\n"
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    subprocess.run(["git", "-C", remote, "config", "transfer.fsckObjects", "true"], check=True)
    history.git("push", "-q", str(remote), "main", "side", "v1-annotated")
    done = subprocess.run(["git", "-C", remote, "fsck", "--strict", "--full"], capture_output=True, check=True)
    assert done.stdout + done.stderr == b""


def test_git_moving_a_branch_is_seen(history: Lab) -> None:
    old = history.head("main~1")
    history.git("update-ref", "refs/heads/fresh", old)
    history("checkout", "fresh")
    assert history.sh("cat /etc/motd").out == "one\n"
    history.git("branch", "-m", "fresh", "renamed")
    assert history("branch", "--show-current").out == "renamed\n"
    history.git("tag", "by-git", "main")
    assert history.look("by-git", "cat /etc/motd") == "two\n"
