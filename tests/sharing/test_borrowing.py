"""Layers whose files are hard links of another project's: the same tree, no bytes, and nothing ever writes through them."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import remove
from tests.proof import faults
from tests.proof.child import envgit
from tests.sharing.conftest import BIG_FILE_BYTES, BIG_FILES, User, first_and_last

BIG = BIG_FILES * BIG_FILE_BYTES


def layers_of(project: Path) -> list[Path]:
    return sorted((project / ".envgit/layers").glob("layer-*/fs"))


def inodes(project: Path) -> dict[str, tuple[int, int]]:
    """Return inode and number of links of every big file in the layers."""
    found: dict[str, tuple[int, int]] = {}
    for layer in layers_of(project):
        for path in sorted(layer.rglob("*")):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                found.setdefault(str(path.relative_to(layer)), (status.st_ino, status.st_nlink))
    return found


@pytest.fixture
def two(user: User, base: Path) -> Iterator[User]:
    """A user with `one`, which has run, and `two`, which has not."""
    user.init("one", base)
    user.init("two", base)
    user("one", "run", "--", "/bin/true")
    yield user


def shared_files(user: User, first: str, second: str) -> set[str]:
    one, two = inodes(user.folder / first), inodes(user.folder / second)
    return {path for path, (inode, _) in two.items() if one.get(path, (0, 0))[0] == inode}


def digest(user: User, project: str) -> str:
    show = "while read f; do stat -c '%n %a %u %g %s %Y' $f; done"
    script = f"find /bin /srv /usr -type f | sort | {show}; cat /etc/motd"
    return user(project, "run", "HEAD", "--", "sh", "-c", script).out


@pytest.mark.any_ids
def test_the_first_run_of_the_second_project_links_files(two: User) -> None:
    two("two", "run", "--", "/bin/true")
    shared = shared_files(two, "one", "two")
    assert {f"usr/lib/big{number}" for number in range(BIG_FILES)} | {"usr/lib/same"} <= shared
    assert digest(two, "one") == digest(two, "two")


@pytest.mark.any_ids
def test_files_whose_links_programs_count_are_not_linked(two: User) -> None:
    """cron(8) ignores a table with two links."""
    two("two", "run", "--", "/bin/true")
    assert not {path for path in shared_files(two, "one", "two") if path.startswith(("etc/", "var/spool/"))}
    assert two("two", "run", "--", "stat", "-c", "%h", "/etc/crontab", "/etc/passwd").out == "1\n1\n"


WRITES = """
set -e
cd /usr/lib
echo more >> big0
chmod 4711 big1
touch -d 2001-02-03 big2
chown 1000:1000 big3 2>/dev/null || true
dd if=/dev/zero of=big4 bs=1 count=9 seek=7 conv=notrunc 2>/dev/null
: > big5
ln big6 linked; echo through >> linked
mv big7 moved; echo moved >> moved
echo same >> same
cp -a /bin/busybox /tmp/x 2>/dev/null || true
rm -f big1
ln -s big2 link2; echo followed >> link2
"""


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything about every inode of a project's layers but its access time, change time and number of links."""
    found: dict[str, tuple[object, ...]] = {}
    for layer in layers_of(folder):
        for path in sorted(layer.rglob("*")):
            status = path.lstat()
            names = os.listxattr(path, follow_symlinks=False)
            values = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path)] = (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_size,
                                status.st_mtime_ns, values, content)  # fmt: skip
    return found


@pytest.mark.any_ids
@pytest.mark.parametrize("how", ["run", "commit", "reset", "checkout", "restore", "build", "gc", "delete", "volume"])
def test_nothing_writes_through_a_shared_inode(two: User, how: str) -> None:
    two("two", "run", "--", "/bin/true")
    assert len(shared_files(two, "one", "two")) > BIG_FILES
    before = state(two.folder / "one")
    two("two", "run", "--", "sh", "-c", WRITES)
    match how:
        case "commit":
            two("two", "commit", "-m", "writes")
            two("two", "run", "--", "sh", "-c", "echo again >> /usr/lib/big3; chmod 700 /usr/lib/big6")
            two("two", "commit", "-m", "more")
        case "reset":
            two("two", "reset", "--hard")
        case "checkout":
            two("two", "commit", "-m", "writes")
            two("two", "checkout", "-b", "side", "HEAD~1")
            two("two", "run", "--", "sh", "-c", WRITES)
        case "restore":
            two("two", "restore", "usr/lib/big0", "usr/lib/big1", "usr/lib/big5")
            two(
                "two",
                "run",
                "--",
                "sh",
                "-c",
                "echo x >> /usr/lib/big0; echo y >> /usr/lib/big5; chmod 0 /usr/lib/big1",
            )
        case "build":
            two("two", "commit", "-m", "writes")
            script = "echo built >> /usr/lib/big6; chmod 700 /usr/lib/big3; ln /usr/lib/big2 /usr/lib/again"
            (two.folder / "two/Dockerfile").write_text(f"FROM main\nRUN {script}\nCOPY big /usr/lib/big0\n")
            (two.folder / "two/big").write_text("other")
            two("two", "build", "-f", "Dockerfile", "--branch", "made", "--build-arg", "SOURCE_DATE_EPOCH=1000000000")
        case "gc":
            two("two", "commit", "-m", "writes")
            two("two", "gc", "--prune=now")
        case "delete":
            remove(two.folder / "two")
        case "volume":
            two(
                "two",
                "run",
                "-v",
                "data:/usr/lib",
                "--",
                "sh",
                "-c",
                "echo x >> /usr/lib/big2; chmod 777 /usr/lib/big3",
            )
    assert state(two.folder / "one") == before


def test_control_a_write_through_is_seen(two: User) -> None:
    two("two", "run", "--", "/bin/true")
    before = state(two.folder / "one")
    path = layers_of(two.folder / "two")[0] / "usr/lib/big0"
    change("touch -r $1 $1-time; printf x | dd of=$1 conv=notrunc 2>/dev/null; touch -r $1-time $1", path)
    assert state(two.folder / "one") != before


def test_a_clone_of_the_tip_borrows_layer_by_layer(two: User) -> None:
    for number in range(3):
        two(
            "one",
            "run",
            "--",
            "sh",
            "-c",
            f"echo {number} > /srv/n; dd if=/dev/urandom of=/srv/data{number} bs=100k count=3",
        )
        two("one", "commit", "-m", f"commit {number}")
    source, target = two.folder / "one/.envgit", two.folder / "copy/.envgit"
    target.parent.mkdir()
    assert os.spawnlp(os.P_WAIT, "git", "git", "clone", "-q", "--bare", str(source), str(target)) == 0
    two("copy", "init", ".")
    two("copy", "run", "--", "/bin/true")
    assert len(layers_of(two.folder / "copy")) == 4
    wanted = {"usr/lib/big0", "srv/data0", "srv/data1", "srv/data2"}
    assert wanted <= shared_files(two, "one", "copy")
    assert two("copy", "run", "--", "cat", "/srv/n").out == "2\n"
    assert digest(two, "copy") == digest(two, "one")


def test_a_clone_that_is_ahead_borrows_the_base(two: User) -> None:
    two("two", "run", "--", "sh", "-c", "echo ahead > /srv/n")
    two("two", "commit", "-m", "ahead")
    for layer in (two.folder / "two/.envgit/layers").iterdir():
        remove(layer)
    two("two", "run", "--", "/bin/true")
    assert len(layers_of(two.folder / "two")) == 2
    assert "usr/lib/big0" in shared_files(two, "one", "two")
    assert two("two", "run", "--", "cat", "/srv/n").out == "ahead\n"


def change(script: str, path: Path) -> None:
    """Run a shell script on `$1` as who may change layers: root, or root of a user namespace with the user's ids."""
    inside = ("unshare", "--user", "--map-auto", "--map-root-user") if os.geteuid() else ()
    subprocess.run([*inside, "sh", "-ec", script, "sh", str(path)], check=True)


def gone(user: User, how: str) -> None:
    layers = user.folder / "one/.envgit/layers"
    match how:
        case "project":
            remove(user.folder / "one")
        case "layers":
            remove(layers)
        case "files":
            change("rm $1/big0 $1/big1", layers_of(user.folder / "one")[0] / "usr/lib")
        case "changed":
            change("echo other > $1", layers_of(user.folder / "one")[0] / "usr/lib/big0")
        case "mode":
            change("chmod 600 $1", layers_of(user.folder / "one")[0] / "usr/lib/big0")
        case "owner":
            change("chown 7:7 $1; chmod 755 $1", layers_of(user.folder / "one")[0] / "usr/lib/big1")
        case "folder replaced":
            change("mv $1 $1-was; ln -s lib-was $1", layers_of(user.folder / "one")[0] / "usr/lib")
        case "shared folder":
            remove(user.shared)
        case "other ids":
            (layers / "ids").write_text("shift 5\nsingle 0\ncount 9\nboot x\n")
        case "before a reboot":
            ids = layers / "ids"
            ids.write_text(ids.read_text().split("boot ")[0] + "boot earlier\n")
            for mark in layers.glob("layer-*/synced"):
                mark.unlink()
        case "open to others":
            layers.chmod(0o777)
        case "off":
            (user.home / ".gitconfig").write_text("[envgit]\n\tcache = off\n")
        case "note":
            for note in (user.shared / "projects").iterdir():
                note.write_bytes(b"/proc/self\nx\0y")
        case "note of a folder that is none":
            for note in (user.shared / "projects").iterdir():
                note.write_bytes(b"/etc/passwd")
        case "stack":
            for stack in (layers / "stacks").iterdir():
                stack.write_bytes(b"../../..\nend\n")


NOT_AT_ALL = ("project", "layers", "shared folder", "other ids", "before a reboot", "open to others", "off", "note",
              "note of a folder that is none")  # fmt: skip
CASES = (*NOT_AT_ALL, "files", "changed", "mode", "owner", "folder replaced", "stack")


@pytest.mark.parametrize("how", CASES)
def test_whatever_became_of_the_lender_the_files_are_right(two: User, base: Path, how: str) -> None:
    gone(two, how)
    two("two", "run", "--", "/bin/true")
    layer = layers_of(two.folder / "two")[0]
    for number in range(BIG_FILES):
        assert (layer / f"usr/lib/big{number}").read_bytes() == (base / f"usr/lib/big{number}").read_bytes()
    if how in NOT_AT_ALL and how != "project":
        assert "usr/lib/big2" not in shared_files(two, "one", "two")
    two("two", "fsck")


def test_after_a_reboot_what_is_durable_is_lent(two: User) -> None:
    layers = two.folder / "one/.envgit/layers"
    (layers / "ids").write_text((layers / "ids").read_text().split("boot ")[0] + "boot earlier\n")
    for layer in layers.glob("layer-*"):
        (layer / "synced").touch()
    two("two", "run", "--", "/bin/true")
    assert "usr/lib/big2" in shared_files(two, "one", "two")


def test_a_busy_lender_is_not_waited_for(two: User) -> None:
    fd = os.open(two.folder / "one/.envgit/lock", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        two("two", "run", "--", "/bin/true")
    finally:
        os.close(fd)
    assert shared_files(two, "one", "two") == set()


def test_gc_of_the_lender_and_its_end_harm_nobody(two: User, base: Path) -> None:
    two("two", "run", "--", "/bin/true")
    before = digest(two, "two")
    remove(two.folder / "one")
    remove(two.shared)
    two("two", "gc", "--prune=now")
    assert digest(two, "two") == before
    two.init("three", base)
    two("three", "run", "--", "/bin/true")


@pytest.mark.root_only
def test_layers_of_another_user_are_not_touched(two: User) -> None:
    os.chown(two.folder / "one/.envgit/layers", 12345, 12345)
    two("two", "run", "--", "/bin/true")
    assert shared_files(two, "one", "two") == set()


def test_too_many_links_means_a_file_of_its_own(two: User, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def link(source: Any, target: Any, **options: Any) -> None:
        if source in (b"big0", b"big1"):
            raise OSError(31, "Too many links")
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    two("two", "run", "--", "/bin/true")
    shared = shared_files(two, "one", "two")
    assert "usr/lib/big2" in shared and "usr/lib/big1" not in shared


def test_killed_at_any_step_the_next_run_does_it(two: User) -> None:
    _, steps = faults.record(two.folder / "two", ("run", "--", "/bin/true"), lambda: os.environ.update(two.environ))
    assert "cache-publish-layer" in steps
    for number in first_and_last(steps):
        for layer in (two.folder / "two/.envgit/layers").iterdir():
            remove(layer)

        def kill(number: int = number) -> None:
            os.environ.update(two.environ)
            faults.kill_at(number)()

        envgit(two.folder / "two", "run", "--", "/bin/true", prepare=kill, environ=two.environ)
        two("two", "run", "--", "/bin/true")
        assert "usr/lib/big2" in shared_files(two, "one", "two"), steps[number]
