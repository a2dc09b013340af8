"""A machine that fails: damaged files, full and read-only disks, locks, interrupts, closed pipes, hostile terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab import Lab, command_environment, command_words


def test_a_corrupt_object_is_named(lab: Lab) -> None:
    (pack,) = (lab.git_dir / "objects/pack").glob("*.pack")
    data = pack.read_bytes()
    pack.unlink()  # shared with the original
    middle = len(data) // 2
    pack.write_bytes(data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :])
    lab.forget_layers()
    done = lab("fsck", status=1)
    assert "problem" in done.out + done.err or "corrupt" in done.out + done.err
    done = lab("run", "main", "--", "true", status=None)
    assert done.status in (0, 2, 125)
    if done.status:
        assert "hint: " in done.err
    pack.write_bytes(data)


def test_a_missing_pack_is_an_error_not_a_crash(lab: Lab) -> None:
    (pack,) = (lab.git_dir / "objects/pack").glob("*.pack")
    data = pack.read_bytes()
    pack.unlink()
    lab.forget_layers()
    for words in (["log"], ["diff", "HEAD"], ["run", "--", "true"], ["fsck"], ["commit", "-m", "x"], ["gc"]):
        done = lab(*words, status=None)
        assert done.status != 0, (words, done)
        assert "envgit: " in done.err or done.out, (words, done)
    pack.write_bytes(data)
    assert lab("status").status == 0


@pytest.mark.parametrize("text", [b"", b"garbage\n", b"ref: refs/heads/../../x\n", b"\x00" * 41, b"0" * 39 + b"\n"])
def test_a_damaged_head(lab: Lab, text: bytes) -> None:
    head = lab.git_dir / "HEAD"
    before = head.read_bytes()
    head.write_bytes(text)
    for words in (["status"], ["log"], ["run", "--", "true"], ["checkout", "main"], []):
        done = lab(*words, status=None)
        assert done.status in (1, 2, 125), (words, done)
        assert "envgit: " in done.err
    head.write_bytes(before)


@pytest.mark.parametrize("text", [b"", b"garbage\n", b"0" * 40 + b":-\n", b"../../x:../../y\n", b"\xff\xfe\n"])
def test_a_damaged_worktree_pointer(lab: Lab, text: bytes) -> None:
    lab.sh("echo 1 > /srv/one")
    (pointer,) = (lab.git_dir / "checkouts").glob("*/base")
    before = pointer.read_bytes()
    pointer.write_bytes(text)
    for words in (["status"], ["run", "--", "true"], ["commit", "-m", "x"], ["gc", "-n"], ["fsck"]):
        done = lab(*words, status=None)
        assert text == b"" or done.status in (1, 2, 125), (words, done)
        assert "internal error" not in done.err, (words, done)
    pointer.write_bytes(before)
    assert lab.changes() == ["A srv/one"]


def test_a_full_disk(lab: Lab) -> None:
    lab.sh("dd if=/dev/zero of=/srv/big bs=1000000 count=3 2>/dev/null; echo 1 > /srv/one")
    before = lab.head()
    done = lab("status", status=0)
    limited = Lab(lab.path, ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"))
    done = limited("commit", "-m", "x", status=None)
    assert done.status == 2, done
    assert "envgit: " in done.err
    assert lab.head() == before
    assert lab("commit", "-m", "x").status == 0
    assert lab("fsck").status == 0


@pytest.mark.user_only
@pytest.mark.parametrize(
    "closed", [".envgit", ".envgit/objects", ".envgit/refs", ".envgit/objects/pack", ".envgit/HEAD"]
)
def test_no_permission(lab: Lab, closed: str) -> None:
    path = lab.path / closed
    mode = path.stat().st_mode & 0o7777
    path.chmod(0)
    try:
        for words in (["log"], ["show", "-s"], ["branch", "new"]):
            done = lab(*words, status=None)
            assert done.status == 2, (words, done)
            assert "ermission" in done.err, (words, done)
            assert "hint: " in done.err, (words, done)
            assert "internal error" not in done.err
    finally:
        path.chmod(mode)
    assert lab("log").status == 0


@pytest.mark.root_only
def test_a_read_only_disk(lab: Lab, tmp_path: Path) -> None:
    lab.sh("echo 1 > /srv/one")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
    readonly = Lab(lab.path, ("unshare", "--mount", "sh", "-c", script, str(lab.path)))
    done = readonly("commit", "-m", "x", status=2)
    assert "ead-only" in done.err
    assert "hint: " in done.err
    for words in (["log"], ["diff", "HEAD", "--stat"], ["show", "-s"], ["ls", "HEAD:srv"], ["status"], ["branch"]):
        assert readonly(*words).status == 0, words
    assert lab.changes() == ["A srv/one"]


def test_a_busy_repository_says_who_holds_it(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    holder = subprocess.Popen(
        ["flock", str(lab.git_dir / "lock"), "sleep", "60"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        time.sleep(0.2)
        started = time.monotonic()
        done = lab("commit", "-m", "x", status=2)
        assert time.monotonic() - started < 30
        assert "envgit: " in done.err
        assert lab("status").status == 0, "looking needs no lock"
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
    assert lab("commit", "-m", "x").status == 0


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2])
def test_an_interrupt_at_any_point(lab: Lab, tmp_path: Path, delay: float) -> None:
    """From when the interpreter has come to the command; before that Python itself says what it says."""
    lab.sh("dd if=/dev/urandom of=/srv/big bs=1000000 count=20 2>/dev/null")
    there = tmp_path / "there"
    program = f"from envgit.cli.start import main; open({str(there)!r}, 'w').close(); main()"
    words = [sys.executable, "-P", "-c", program, "commit", "-m", "x"]
    environment = command_environment(lab.variables)
    process = subprocess.Popen(words, cwd=lab.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not there.exists():
        time.sleep(0.002)
    time.sleep(delay + 0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (130, 0, -signal.SIGINT), err
    assert b"Traceback" not in err, err
    if process.returncode and lab.changes():  # else it came after the commit was made
        assert lab.changes() == ["A srv/big"]
        lab("commit", "-m", "x")
    assert lab("fsck").status == 0
    assert lab.changes() == []
    assert lab.look("HEAD", "wc -c < /srv/big").strip() == "20000000"


def test_broken_pipes_are_quiet(lab: Lab) -> None:
    for words in ("log", "ls -r HEAD", "diff HEAD", "export HEAD tar:-"):
        script = f'"$@" {words} | head -c 1 >/dev/null'
        command = ["sh", "-c", script, "sh", *command_words()]
        done = subprocess.run(command, cwd=lab.path, capture_output=True, env=command_environment({}), check=False)
        assert done.stderr == b"", (words, done.stderr)


def on_a_terminal(lab: Lab, *words: str) -> bytes:
    """Return what a command writes to a terminal that knows no colours."""
    ours, theirs = os.openpty()
    process = lab.start(
        "--no-pager", "--color", "never", *words, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0, said
    return said


def test_control_characters_do_not_reach_the_terminal(lab: Lab) -> None:
    lab.sh("printf x > \"$(printf '/srv/a\\033[31mb')\"; printf '\\033]0;title\\007\\n' > /srv/text")
    lab("commit", "-m", "a\x1b[31m message")
    for words in (
        ["log", "--stat"],
        ["show"],
        ["diff", "HEAD~1", "HEAD"],
        ["ls", "HEAD:srv"],
        ["status"],
        ["op", "log"],
    ):
        said = on_a_terminal(lab, *words)
        assert b"[31m" in said or words[0] in ("status", "op")
        assert b"\x1b[31m" not in said, (words, said)
        assert b"\x07" not in said, (words, said)
