"""cp: both ways, running or not, and hostile trees cannot lead it out of the sandbox or of the target."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from envgit.errors import SandboxError
from envgit.exec.archive import open_host_path, send_tree
from envgit.exec.unpacking import Receiving, receive_tree

from .conftest import Sandboxes, wait_until

SECRET = "a secret of the host\n"


@pytest.fixture(params=["running", "stopped"])
def copied(sandboxes: Sandboxes, request: pytest.FixtureRequest) -> Sandboxes:
    """A sandbox with files of all kinds, running or not."""
    script = """
        mkdir -p /root/d/e /root/empty; echo one > /root/d/one; echo two > /root/d/e/two; ln -s one /root/d/link
        chmod 4755 /root/d/one; chown 1000:1000 /root/d/e/two 2>/dev/null; mkfifo /root/d/fifo
        ln -s /etc/motd /root/absolute; ln -s ../../../../../../etc/motd /root/up; echo done > /root/done
        exec sleep 1000
    """
    sandboxes.sh(script)
    wait_until(lambda: sandboxes.lab("exec", "one", "cat", "/root/done", status=None).out == "done\n")
    if request.param == "stopped":
        sandboxes.lab("stop", "one")
    return sandboxes


def test_out(copied: Sandboxes, tmp_path: Path) -> None:
    lab, target = copied.lab, tmp_path / "target"
    target.mkdir()
    lab("cp", "one:/root/done", str(target))
    lab("cp", "one:/root/done", str(target / "other"))
    assert (target / "done").read_text() == (target / "other").read_text() == "done\n"
    lab("cp", "one:/root/d", str(target))
    lab("cp", "one:/root/d", str(target / "new"))
    lab("cp", "one:/root/d/.", str(target / "empty"))
    for folder in ("d", "new", "empty"):
        assert sorted(os.listdir(target / folder)) == ["e", "fifo", "link", "one"]
        assert os.readlink(target / folder / "link") == "one"
        assert (target / folder / "e/two").read_text() == "two\n"
        assert (target / folder / "one").stat().st_mode & 0o7777 == 0o755  # no setuid program on the host
        assert (target / folder / "e/two").stat().st_uid == os.geteuid()
        assert (target / folder / "fifo").is_fifo()
    lab("cp", "one:/root/absolute", str(target))
    assert os.readlink(target / "absolute") == "/etc/motd"
    lab("cp", "-L", "one:/root/absolute", str(target / "followed"))
    lab("cp", "-L", "one:/root/up", str(target / "up"))
    assert (
        (target / "followed").read_text() == (target / "up").read_text() == "welcome\n"
    )  # the sandbox's, not the host's
    lab.fails("cp", "one:/no/file", str(target), status=125, says="/no: No such file", hint=None)
    lab.fails("cp", "one:/root/d", str(target / "done"), status=125, says="a directory cannot replace it", hint=None)
    lab.fails("cp", "one:/root/done", str(target / "no/folder"), status=2, says="No such file", hint=None)


def test_in(copied: Sandboxes, tmp_path: Path) -> None:
    lab = copied.lab
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below/file").write_text("text\n")
    (source / "below/file").chmod(0o640)
    (source / "link").symlink_to("below/file")
    lab("cp", str(source), "one:/root")
    lab("cp", str(source), "one:/root/as")
    lab("cp", str(source / "below/file"), "one:/etc/motd")
    lab("cp", str(source / "below/file"), "one:/absent-at-first")
    lab.fails("cp", str(source), "one:/no/such/place", status=125, says="/no/such", hint=None)
    lab("start", "one")
    look = "ls -ln /root/source/below/file; cat /etc/motd /root/as/link /absent-at-first; ls -l /root/source/link"
    out = lab("exec", "one", "sh", "-c", look).lines()
    assert out[0].startswith("-rw-r-----") and out[0].split()[2:4] == ["0", "0"]
    assert out[1:4] == ["text"] * 3 and out[4].endswith("/root/source/link -> below/file")


def test_archives(copied: Sandboxes, tmp_path: Path) -> None:
    lab = copied.lab
    process = lab.start("cp", "one:/root/d", "-", stdout=subprocess.PIPE)
    data, _ = process.communicate(timeout=60)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sorted(archive.getnames()) == ["d", "d/e", "d/e/two", "d/fifo", "d/link", "d/one"]
        assert archive.getmember("d/one").mode == 0o4755
        if os.geteuid() == 0:
            assert archive.getmember("d/e/two").uid == 1000
    lab("exec", "one", "true", status=None)
    lab("cp", "-", "one:/srv", stdin=data)
    lab("cp", "one:/srv/d/e/two", str(tmp_path / "two"))
    assert (tmp_path / "two").read_text() == "two\n"
    lab.fails("cp", "-", "one:/srv/lines", stdin=data, status=125, says="is no directory", hint=None)
    lab.fails("cp", "-", "one:/srv", stdin=b"no archive" * 1000, status=125, says="no tar archive", hint=None)


def test_a_link_that_turns_into_another_while_it_is_copied(sandboxes: Sandboxes, tmp_path: Path) -> None:
    """CVE-2018-15664: a program swaps a folder for a link to the root while cp looks up the path."""
    secret = tmp_path / "host-secret"
    secret.write_text(SECRET)
    sandboxes.sh(
        f"mkdir -p /root/a{tmp_path}; echo inside > /root/a{secret}; ln -s / /root/b; echo up;"
        "while :; do mv /root/a /root/c; mv /root/b /root/a; mv /root/a /root/b; mv /root/c /root/a; done"
    )
    wait_until(lambda: sandboxes.log_text() == "up\n")
    seen = set()
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        target = tmp_path / "copy"
        target.unlink(missing_ok=True)
        sandboxes.lab("cp", f"one:/root/a{secret}", str(target), status=None)
        seen.add(target.read_text() if target.exists() else None)
    assert SECRET not in seen and "inside\n" in seen
    assert secret.read_text() == SECRET


def test_neither_magic_links_nor_devices_lead_out(sandboxes: Sandboxes, tmp_path: Path) -> None:
    sandboxes.sh("ln -s /proc/1/root/etc /root/magic; ln -s /proc/self/fd /root/fds; echo up; sleep 1000")
    wait_until(lambda: sandboxes.log_text() == "up\n")
    for path in ("/root/magic/motd", "/proc/1/root/etc/motd", "/proc/self/root/etc/motd", "/proc/1/cwd/etc/motd"):
        done = sandboxes.lab("cp", "-L", f"one:{path}", str(tmp_path / "x"), status=125)
        assert "envgit: " in done.err
    assert not (tmp_path / "x").exists()
    sandboxes.lab("cp", "one:/dev/null", str(tmp_path / "null"))
    assert not (tmp_path / "null").exists()  # devices are never made
    sandboxes.lab("cp", "one:/", str(tmp_path / "whole"))
    assert os.listdir(tmp_path / "whole/proc") == [] and (tmp_path / "whole/etc/motd").exists()


def test_a_worktrees_sandbox_must_run(sandboxes: Sandboxes, tmp_path: Path) -> None:
    lab = sandboxes.lab
    lab("run", "-d", "--name", "one", "--network", "none", "--", "sleep", "1000")
    lab("cp", "one:/etc/motd", str(tmp_path))
    assert (tmp_path / "motd").read_text() == "welcome\n"
    lab("stop", "one")
    lab.fails("cp", "one:/etc/motd", str(tmp_path), status=1, says="files are those of the worktree", hint="envgit cat")


def test_while_files_are_copied_it_does_not_start(sandboxes: Sandboxes, tmp_path: Path) -> None:
    sandboxes.sh("head -c 3000000 /dev/zero > /root/big")
    sandboxes.lab("wait", "one")
    copy = sandboxes.lab.start("cp", "one:/root/big", "-", stdout=subprocess.PIPE)  # waits for somebody to read
    assert copy.stdout is not None and copy.stdout.read(1)
    assert sandboxes.names() == []
    sandboxes.lab.fails("start", "one", status=1, says="in use by another command", hint=None)
    sandboxes.lab.fails("rm", "one", status=1, says="in use by another command", hint=None)
    sandboxes.lab("stop", "one")
    copy.communicate(timeout=60)
    assert copy.returncode == 0
    sandboxes.lab("start", "one")


def test_what_makes_no_sense(sandboxes: Sandboxes) -> None:
    sandboxes.lab.fails("cp", "a", "b", status=2, says="one of the two", hint="NAME:/path")
    sandboxes.lab.fails("cp", "a:/b", "c:/d", status=2, says="one of the two", hint="NAME:/path")
    sandboxes.lab.fails("cp", "nobody:/b", ".", status=1, says="no sandbox 'nobody'", hint="ps -a")
    sandboxes.lab.fails("cp", ":x", ".", status=2, says="neither NAME:PATH", hint="NAME:/path")


# archives that cp did not make


def unpack(tmp_path: Path, members: list[tuple[str, dict[str, object], bytes]]) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, fields, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    file = tmp_path / "archive.tar"
    file.write_bytes(stream.getvalue())
    with file.open("rb") as source:
        receive_tree(open_host_path, os.fsencode(tmp_path / "target"), source.fileno(), Receiving(), foreign=True)


@pytest.mark.parametrize(
    "members",
    [
        [("../escaped", {}, b"x")],
        [("a/../../escaped", {}, b"x")],
        [("link", {"type": tarfile.SYMTYPE, "linkname": ".."}, b""), ("link/escaped", {}, b"x")],
        [("link", {"type": tarfile.SYMTYPE, "linkname": "../escaped"}, b""), ("link", {"type": tarfile.DIRTYPE}, b"")],
        [("hard", {"type": tarfile.LNKTYPE, "linkname": "../outside"}, b""), ("hard", {}, b"x")],
    ],
)
def test_a_hostile_archive_does_not_escape(tmp_path: Path, members: list[tuple[str, dict[str, object], bytes]]) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "outside").write_text("as it was")
    with pytest.raises(SandboxError):
        unpack(tmp_path, members)
    assert not (tmp_path / "escaped").exists()
    assert (tmp_path / "outside").read_text() == "as it was"


def test_absolute_names_and_links_stay_inside(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "outside").write_text("as it was")
    (target / "old").symlink_to(tmp_path / "outside")
    unpack(
        tmp_path,
        [
            ("/etc/absolute", {}, b"x"),
            ("old", {}, b"replaced, not written through"),
            ("hard", {"type": tarfile.LNKTYPE, "linkname": "old"}, b""),
            ("device", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b""),
        ],
    )
    assert (target / "etc/absolute").read_bytes() == b"x"
    assert (tmp_path / "outside").read_text() == "as it was"
    assert not (target / "old").is_symlink() and (target / "hard").stat().st_ino == (target / "old").stat().st_ino
    assert not (target / "device").exists()


def test_names_of_any_bytes_and_deep_trees(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    odd = os.fsencode(source) + b"/odd\xff\n\x1b"
    os.makedirs(odd)
    deep = odd
    for _ in range(200):
        deep += b"/d"
        os.mkdir(deep)
    with open(odd + b"/file", "wb") as file:
        file.write(b"content")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        send_tree(open_host_path, os.fsencode(source), write_end)
        os._exit(0)
    os.close(write_end)
    assert receive_tree(open_host_path, os.fsencode(target), read_end, Receiving()) == 203
    os.close(read_end)
    os.waitpid(pid, 0)
    with open(os.fsencode(target) + b"/odd\xff\n\x1b/file", "rb") as file:
        assert file.read() == b"content"
    assert os.path.isdir(deep.replace(os.fsencode(source), os.fsencode(target)))
