"""Attached streams: several at once, terminals with their sizes, keys to leave by, readers that do not read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from envgit.errors import UsageError
from envgit.sandbox.attaching import parse_detach_keys
from envgit.sandbox.attachments import ATTACH, connect
from tests.lab import command_environment, command_words

from .conftest import Sandboxes, wait_until


class Screen:
    """A terminal with a command in it."""

    def __init__(self, sandboxes: Sandboxes, *words: str, rows: int = 30, columns: int = 100) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = sandboxes.lab.start(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.text = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, text: bytes, seconds: float = 20.0) -> bytes:
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, (text, self.text)
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.master, 65536)
                except OSError:
                    assert text in self.text, self.text
        before, _, self.text = self.text.partition(text)
        return before

    def end(self) -> int:
        """Return the exit status; what is written meanwhile is read."""

        def ended() -> bool:
            over = self.process.poll() is not None
            while select.select([self.master], [], [], 0)[0]:
                try:
                    self.text += os.read(self.master, 65536)
                except OSError:
                    break
            return over

        wait_until(ended)
        return self.process.wait()


@contextmanager
def screen(sandboxes: Sandboxes, *words: str, **options: int) -> Iterator[Screen]:
    opened = Screen(sandboxes, *words, **options)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.master)


def test_detach_keys() -> None:
    assert parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_detach_keys("ctrl-a,d") == b"\x01d"
    assert parse_detach_keys("ctrl-@,ctrl-[") == b"\x00\x1b"
    assert parse_detach_keys("") == b""
    for text in ("ctrl-", "xy", "ctrl-p,", "é"):
        with pytest.raises(UsageError):
            parse_detach_keys(text)


def test_a_terminal_is_left_and_taken_up_again(sandboxes: Sandboxes) -> None:
    words = ("run", "-it", "--name", "one", "--network", "none", "main", "--", "sh")
    with screen(sandboxes, *words) as first:
        first.type(b"stty size; echo fi''rst; tty\n")
        first.wait_for(b"30 100")
        first.wait_for(b"first")
        first.wait_for(b"/dev/pts/0")
        first.resize(44, 55)
        os.kill(first.process.pid, 28)
        time.sleep(0.3)
        first.type(b"stty size\n")
        first.wait_for(b"44 55")
        first.type(b"\x10\x11")
        first.wait_for(b"detached: envgit attach one comes back to it")
        assert first.end() == 0
    assert sandboxes.state()["status"] == "running"
    with screen(sandboxes, "attach", "one", rows=20, columns=70) as second:
        time.sleep(0.5)
        second.type(b"echo sec''ond; stty size\n")
        second.wait_for(b"second")
        second.wait_for(b"20 70")
        second.type(b"exit 4\n")
        assert second.end() == 4
    assert sandboxes.wait_for("exited")["exit_code"] == 4
    assert "first" in sandboxes.log_text() and "second" in sandboxes.log_text()


def test_the_callers_terminal_is_restored(sandboxes: Sandboxes) -> None:
    sandboxes.run("sh", options=("-it",))
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = sandboxes.lab.start("attach", "one", stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    wait_until(lambda: termios.tcgetattr(slave) != before)
    os.write(master, b"\x10\x11")
    assert process.wait(timeout=60) == 0
    said = b""
    deadline = time.monotonic() + 20
    while b"detached: envgit attach one comes back to it" not in said:
        assert time.monotonic() < deadline, said
        if select.select([master], [], [], 0.1)[0]:
            said += os.read(master, 65536)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_control_c_reaches_what_runs_in_the_foreground_inside(sandboxes: Sandboxes) -> None:
    with screen(sandboxes, "run", "-it", "--name", "one", "--network", "none", "main", "--", "sh") as shown:
        shown.type(b"sleep 1000; echo st''atus $?\n")
        time.sleep(0.5)
        shown.type(b"\x03")
        shown.type(b"echo al''ive\n")
        shown.wait_for(b"alive")
        shown.type(b"exit\n")
        shown.end()


def test_exec_with_a_terminal(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000")
    with screen(sandboxes, "exec", "-it", "one", "sh") as shown:
        shown.type(b"stty size; tty; exit 3\n")
        shown.wait_for(b"30 100")
        shown.wait_for(b"/dev/pts/")
        assert shown.end() == 3


def test_several_are_attached_and_all_may_type(sandboxes: Sandboxes) -> None:
    sandboxes.run("sh", "-c", "while read line; do echo got $line; done", options=("-i",))
    first, second, looker = (
        sandboxes.lab.start("attach", *words, "one", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for words in ((), (), ("--no-stdin",))
    )
    time.sleep(1.5)
    for process, text in ((first, b"one\n"), (second, b"two\n"), (looker, b"three\n")):
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.flush()
        time.sleep(0.2)
    sandboxes.lab("stop", "one")
    for process in (first, second, looker):
        out, _ = process.communicate(timeout=60)
        assert out == b"got one\ngot two\n"
        assert process.returncode == 143


def test_one_that_does_not_read_delays_nobody(sandboxes: Sandboxes) -> None:
    id = sandboxes.sh("sleep 1; seq 1 2000000; echo end > /root/end; sleep 1000", options=("--log-opt", "max-size=1m"))
    folder = sandboxes.lab.git_dir / "sandboxes" / id
    with connect(str(folder)) as lazy:
        lazy.send(ATTACH)
        wait_until(lambda: (folder / "upper/root/end").exists(), "the program has written everything")
        assert sandboxes.lab("logs", "--tail", "1", "one").out == "2000000\n"
        lazy.settimeout(20)
        received = 0
        while packet := lazy.recv(70_000):  # what was on its way; then it was let go
            received += len(packet)
        assert received < 14_000_000


def test_attach_passes_everything_to_one_that_reads(sandboxes: Sandboxes) -> None:
    """The control of the test above."""
    sandboxes.sh("sleep 2; seq 1 300000")
    process = sandboxes.lab.start("attach", "one", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=60)
    assert out == b"".join(b"%d\n" % number for number in range(1, 300_001))
    assert process.returncode == 0


def test_attach_to_what_does_not_run(sandboxes: Sandboxes) -> None:
    sandboxes.run("true")
    sandboxes.wait_for("exited")
    sandboxes.lab.fails("attach", "one", status=125, says="one is not running", hint="envgit start one")


def test_a_long_path_has_a_socket_too(sandboxes: Sandboxes) -> None:
    """An address of a socket holds 107 bytes; the folder's path here has more."""
    lab = sandboxes.lab
    deep = lab.path / ("x" * 120)
    deep.mkdir()
    os.rename(lab.git_dir, deep / ".envgit")
    try:
        moved = Sandboxes(lab.at(deep))
        moved.run("sleep", "1000")
        moved.lab("stop", "one")
        moved.lab("rm", "one")
    finally:
        os.rename(deep / ".envgit", lab.git_dir)


@pytest.mark.parametrize("words", [("run", "-it", "--name", "two"), ("run", "--name", "two"), ("attach", "one")])
def test_a_terminal_that_goes_away_takes_no_sandbox_along(sandboxes: Sandboxes, words: tuple[str, ...]) -> None:
    """An ssh connection that drops must not end the database that somebody looked at."""
    sandboxes.run("sleep", "1000", options=("-i",))
    tail = ("--network", "none", "main", "--", "sleep", "1000") if words[0] == "run" else ()
    name = words[-1]
    pid, master = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup(1) it would be ignored
        os.chdir(sandboxes.lab.path)
        os.execvpe(command_words()[0], [*command_words(), *words, *tail], command_environment({}))
    wait_until(lambda: name in sandboxes.lab("ps", "--json").out)
    time.sleep(0.5)
    os.close(master)
    os.waitpid(pid, 0)
    time.sleep(0.3)
    found = {each["name"]: each["status"] for each in sandboxes.lab("ps", "-a", "--json").json()["sandboxes"]}
    assert found[name] == "running"
    sandboxes.lab("rm", "-f", name)
