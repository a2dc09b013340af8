"""The log: lines as the CRI writes them, rotated, followed, and honest about what a full disk took."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.sandbox.log_file import LogFile
from envgit.sandbox.log_line import format_lines, format_time, parse_line, parse_time
from envgit.sandbox.logs import LogQuery, follow_log, read_log

from .conftest import Sandboxes, wait_until


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_are_read_as_they_were_written(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_output_comes_back_byte_for_byte(pieces: list[bytes]) -> None:
    text = b"".join(format_lines(1, "stdout", piece) for piece in pieces)
    lines = [parse_line(line) for line in text.split(b"\n")[:-1]]
    assert all(lines)
    assert b"".join(line.text + b"\n" * line.whole for line in lines if line is not None) == b"".join(pieces)


def test_a_line_is_that_of_the_cri() -> None:
    assert format_lines(1475798769669794202, "stdout", b"some\nrest") == (
        b"2016-10-07T00:06:09.669794202Z stdout F some\n2016-10-07T00:06:09.669794202Z stdout P rest\n"
    )


def test_what_is_no_line_is_passed_over() -> None:
    for text in (b"", b"x", b"2016-10-07T00:06:09.669794202Z stdout", b"2016-10-07T00:06:09.66979420xZ stdout F x"):
        assert parse_line(text) is None
    assert parse_line(b"2016-10-07T00:06:09.669794202Z stdin F x") is None


EVERYTHING = LogQuery()


def texts(folder: Path, query: LogQuery = EVERYTHING) -> list[bytes]:
    return [line.text for line in read_log(str(folder), query)]


def test_rotation_keeps_so_many_files_of_such_a_size(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), 1 << 16, 3)
    for number in range(10_000):
        log.write("stdout", b"line %06d\n" % number)
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 1 << 16 for path in tmp_path.iterdir())
    found = texts(tmp_path)
    first = int(found[0].split()[1])
    assert first > 0
    assert found == [b"line %06d" % number for number in range(first, 10_000)]
    assert texts(tmp_path, LogQuery(tail=3)) == [b"line 009997", b"line 009998", b"line 009999"]
    assert texts(tmp_path, LogQuery(tail=0)) == []
    assert texts(tmp_path, LogQuery(tail=100_000)) == found


def test_tail_counts_lines_of_the_program_not_pieces(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), 1 << 20, 1)
    for piece in (b"one\n", b"tw", b"o\n", b"thr", b"e", b"e"):
        log.write("stdout", piece)
    assert b"".join(texts(tmp_path, LogQuery(tail=1))) == b"three"
    assert b"".join(texts(tmp_path, LogQuery(tail=2))) == b"twothree"


def test_since_and_until(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(
        b"".join(format_lines(number * 10**9, "stdout", b"%d\n" % number) for number in range(9))
    )
    assert texts(tmp_path, LogQuery(since_ns=3 * 10**9, until_ns=5 * 10**9)) == [b"3", b"4", b"5"]
    assert texts(tmp_path, LogQuery(since_ns=3 * 10**9, tail=1)) == [b"8"]


def test_a_follower_loses_and_tears_nothing_while_files_rotate(tmp_path: Path) -> None:
    total = 30_000
    done = threading.Event()
    log = LogFile(str(tmp_path), 1 << 16, 50)
    shuffle = random.Random(7)

    def write() -> None:
        number = 0
        while number < total:
            count = shuffle.randrange(1, 40)
            log.write("stdout", b"".join(b"line %06d\n" % each for each in range(number, min(total, number + count))))
            number += count
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    found = [line.text for line in follow_log(str(tmp_path), LogQuery(), lambda: not done.is_set())]
    writer.join()
    assert len(list(tmp_path.iterdir())) > 5
    assert found == [b"line %06d" % number for number in range(total)]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], None]]:
    """Return a switch: what os.write of the log raises; 0: it takes half."""
    real = os.write
    failure: list[int | None] = [None]

    def write(fd: int, data: bytes) -> int:
        if failure[0] is None:
            return real(fd, data)
        if failure[0] == 0:
            return real(fd, data[: len(data) // 2])
        raise OSError(failure[0], os.strerror(failure[0]))

    monkeypatch.setattr(os, "write", write)
    yield lambda number: failure.__setitem__(0, number)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, 0])
def test_what_a_disk_refuses_is_counted_and_nothing_is_torn(
    tmp_path: Path, failing: Callable[[int | None], None], number: int
) -> None:
    log = LogFile(str(tmp_path), 1 << 20, 3)
    log.write("stdout", b"before\n")
    failing(number)
    log.write("stdout", b"lost 1\nlost 2\nlost 3\n")
    log.write("stderr", b"lost 4\n")
    failing(None)
    log.write("stdout", b"after\n")
    log.write("stdout", b"later\n")
    found = texts(tmp_path)
    assert found[0] == b"before" and found[2:] == [b"after", b"later"]
    assert found[1].startswith(b"envgit: 28 bytes of output were not logged: ")


def test_a_full_file_system_does_not_stop_the_program(tmp_path: Path) -> None:
    """On a real one: a tmpfs of 256 kB in namespaces of the test's own."""
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from envgit.sandbox.log_file import LogFile
from envgit.sandbox.log_line import parse_line
log = LogFile({str(tmp_path)!r}, 1 << 30, 3)
for number in range(3000):
    log.write("stdout", b"line %06d of a program that writes much\\n" % number)
full = os.stat({str(tmp_path / "log")!r}).st_size
os.unlink({str(tmp_path / "ballast")!r})
log.write("stdout", b"last\\n")
lines = open({str(tmp_path / "log")!r}, "rb").read().split(b"\\n")
assert lines.pop() == b""
parsed = [parse_line(line) for line in lines]
assert all(parsed), [line for line in lines if not parse_line(line)]
assert parsed[-1].text == b"last" and b"were not logged: No space left" in parsed[-2].text, parsed[-2:]
assert len(parsed) < 3000, len(parsed)
"""
    script = (
        f'mount -t tmpfs -o size=256k none {tmp_path} && head -c 131072 /dev/zero > {tmp_path}/ballast && exec "$@"'
    )
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-c",
        program,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_logs_prints_each_stream_where_it_belongs(sandboxes: Sandboxes) -> None:
    sandboxes.sh("echo out; echo err >&2; printf '\\001\\377\\000\\033[31m'; printf 'no newline'")
    sandboxes.lab("wait", "one")
    done = sandboxes.lab("logs", "one")
    assert done.err == "err\n"
    assert done.out.encode("utf-8", "surrogateescape") == b"out\n\x01\xff\x00\x1b[31mno newline"


def test_logs_with_times_and_tail(sandboxes: Sandboxes) -> None:
    sandboxes.sh("seq 1 100")
    sandboxes.lab("wait", "one")
    lines = sandboxes.lab("logs", "-t", "--tail", "2", "one").lines()
    assert [line.split(" ", 1)[1] for line in lines] == ["99", "100"]
    moment = lines[0].split()[0]
    assert parse_time(moment)
    assert sandboxes.lab("logs", "--since", "1h", "one").lines() == [str(number) for number in range(1, 101)]
    assert sandboxes.lab("logs", "--until", "1h", "one").out == ""
    sandboxes.lab.fails("logs", "--since", "yesterday", "one", status=2, says="is no moment", hint="10m")
    sandboxes.lab.fails("logs", "--tail", "x", "one", status=2, says="not a number", hint="--tail 100")


def test_follow_ends_with_the_sandbox(sandboxes: Sandboxes) -> None:
    sandboxes.sh("for n in 1 2 3 4 5; do echo $n; sleep 0.2; done")
    process = sandboxes.lab.start("logs", "-f", "one", stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=60)
    assert out == b"1\n2\n3\n4\n5\n"


def test_a_sandbox_rotates_and_a_follower_sees_every_line(sandboxes: Sandboxes) -> None:
    id = sandboxes.sh("sleep 0.5; seq 1 20000", options=("--log-opt", "max-size=100k", "--log-opt", "max-file=40"))
    process = sandboxes.lab.start("logs", "-f", "one", stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=60)
    assert out == b"".join(b"%d\n" % number for number in range(1, 20_001))
    assert len(list((sandboxes.lab.git_dir / "sandboxes" / id).glob("log*"))) > 3


def test_a_log_that_cannot_be_written_stops_nobody(sandboxes: Sandboxes) -> None:
    """In the place of the log is a folder: every write of the monitor fails."""
    id = sandboxes.sh("sleep 0.5; seq 1 200000; echo done > /root/done; sleep 1000")
    folder = sandboxes.lab.git_dir / "sandboxes" / id
    (folder / "log").mkdir()
    wait_until(lambda: (folder / "upper/root/done").exists(), "the program went on")
    assert sandboxes.state()["status"] == "running"
    sandboxes.lab("stop", "one")
    (folder / "log").rmdir()
