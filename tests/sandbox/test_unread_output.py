"""Callers whose output nobody reads: they answer signals, and lose nothing when it is read after all."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from envgit.exec.outlet import Outlet
from envgit.exec.reactor import Reactor

from .conftest import Sandboxes, wait_until
from .test_many import cpu_ticks

WORDS = ("run", "--network", "none")
MOST_SECONDS = 4.0
"""From the signal to the end of the command; output is given up after one second."""


@pytest.fixture
def terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    yield slave
    os.close(slave)
    os.close(master)


def seconds_to_end(process: subprocess.Popen[bytes]) -> float:
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    return time.monotonic() - before


def wait_until_full(pipe: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until nothing more fits into the pipe, and until its writer has had time to block in it."""
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    wait_until(lambda: not poll.poll(0), "the pipe is full")
    time.sleep(0.5)
    before = cpu_ticks(process.pid)
    time.sleep(0.5)
    assert cpu_ticks(process.pid) - before <= 2  # it sleeps: what it waits for does not wake it again and again
    assert process.poll() is None


@pytest.mark.parametrize("words", [("-it",), ("--name", "one"), ("-it", "--name", "one"), ()])
def test_a_signal_is_answered_while_a_pipe_is_full(sandboxes: Sandboxes, terminal: int, words: tuple[str, ...]) -> None:
    read_end, write_end = os.pipe()
    process = sandboxes.lab.start(
        *WORDS, *words, "main", "--", "sh", "-c", "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
        stdin=terminal, stdout=write_end, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until_full(write_end, process)
        assert seconds_to_end(process) < MOST_SECONDS
        assert process.returncode == 143
    finally:
        process.kill()
        process.wait()
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize("words", [("-it",), ("-it", "--name", "one")])
def test_a_signal_is_answered_while_a_terminal_is_full(
    sandboxes: Sandboxes, terminal: int, words: tuple[str, ...]
) -> None:
    process = sandboxes.lab.start(
        *WORDS, *words, "main", "--", "sh", "-c", "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
        stdin=terminal, stdout=terminal, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(3)  # a terminal that is full for large writes may still say that it takes a byte
        assert process.poll() is None
        assert seconds_to_end(process) < MOST_SECONDS
        assert process.returncode == 143
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("words", [("-it",), ("--name", "one"), ("-it", "--name", "one")])
def test_output_that_is_read_late_is_whole(sandboxes: Sandboxes, terminal: int, words: tuple[str, ...]) -> None:
    process = sandboxes.lab.start(
        *WORDS, *words, "main", "--", "seq", "1", "200000",
        stdin=terminal, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    time.sleep(3)  # longer than output is given up after a signal: nobody sent one
    out, _ = process.communicate(timeout=60)
    expected = b"".join(b"%d\n" % number for number in range(1, 200_001))
    got = out.replace(b"\r\n", b"\n")
    assert (len(got), hashlib.sha256(got).digest()) == (len(expected), hashlib.sha256(expected).digest())
    assert process.returncode == 0


def test_a_signal_that_the_program_outlives_loses_nothing(sandboxes: Sandboxes, terminal: int) -> None:
    script = "trap : TERM; seq 1 100000; sleep 1; seq 1 100000; exit 5"
    process = sandboxes.lab.start(
        *WORDS, "-it", "main", "--", "sh", "-c", script, stdin=terminal, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 100)
    process.send_signal(signal.SIGTERM)
    time.sleep(2.5)
    out, _ = process.communicate(timeout=60)
    once = b"".join(b"%d\n" % number for number in range(1, 100_001))
    assert (first + out).replace(b"\r\n", b"\n") == once * 2
    assert process.returncode == 5


def test_an_outlet_gives_up_only_when_asked_and_nobody_reads() -> None:
    read_end, write_end = os.pipe()
    reactor = Reactor()
    outlet = Outlet(write_end, reactor, lambda: None)
    outlet.put(bytes(1 << 20))
    outlet.finish()
    moments: list[int] = []

    def read_a_little() -> None:
        os.read(read_end, 4096)

    reactor.after(1.5, lambda: moments.append(outlet.unsent_bytes))
    reactor.run(until=lambda: bool(moments))
    assert moments[0] > 900_000  # not asked
    outlet.hurry()
    for tenths in range(1, 30):  # slow, but somebody reads
        reactor.after(tenths / 10, read_a_little)
    reactor.after(2.5, lambda: moments.append(outlet.unsent_bytes))
    reactor.run(until=lambda: len(moments) == 2)
    assert 0 < moments[1] < moments[0]
    before = time.monotonic()
    reactor.run(until=lambda: not outlet.unsent_bytes)
    assert time.monotonic() - before < MOST_SECONDS
    assert os.get_blocking(write_end)
    reactor.close()
    os.close(read_end)
    os.close(write_end)
