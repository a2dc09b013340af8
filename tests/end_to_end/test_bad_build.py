"""Builds that fail: steps that end badly, interrupts and kills, daemons, full disks, two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import Lab, command_environment, command_words, remove

START = '[env]\nfrom = "base"\n'
GOOD_STEP = '[[step]]\nrun = "echo good > /srv/good"\n'


@pytest.fixture
def project(lab: Lab) -> Lab:
    lab("tag", "base")
    return lab


def declare(lab: Lab, *steps: str, more: str = "") -> None:
    """Write an envgit.toml of a good step and these."""
    text = "".join(f"[[step]]\nrun = '''{step}'''\n" for step in steps)
    (lab.path / "envgit.toml").write_text(START + more + GOOD_STEP + text)


def processes(marker: str) -> list[str]:
    """Return the command lines on this machine that hold `marker`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in words:
            found.append(words)
    return found


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def left_over(lab: Lab) -> list[str]:
    """Return what a build must not leave: folders of sandboxes, pending files."""
    sandboxes = [path.name for path in (lab.git_dir / "sandboxes").iterdir()]
    return sandboxes + [path.name for path in (lab.git_dir / "objects/pack").glob("tmp_*")]


# steps that fail


def test_a_step_that_fails(project: Lab) -> None:
    before = project.head()
    declare(project, "echo broken > /srv/broken; cd /usr; echo told; exit 7", "echo never")
    done = project.fails("build", status=1, says="envgit.toml:5: ", hint="envgit shell --failed")
    assert "status 7" in done.err and "\ntold\n" in done.err and "never" not in done.err.split("envgit: ")[0]
    assert done.out == ""
    assert project.git("rev-parse", "HEAD~1").strip() == before, "the last good commit is checked out"
    assert project.look("HEAD", "ls /srv") == "good\nlines\n"
    assert project.changes() == []
    assert project("shell", "--failed", stdin=b"cat /srv/broken; echo x > /srv/x").out == "broken\n"
    assert project("shell", "--failed", stdin=b"ls /srv").out == "broken\ngood\nlines\n", "a throw-away shell"
    assert "srv/broken" in project("diff", "--name-only", "HEAD", "refs/envgit/failed").out
    assert "refs/envgit/failed" not in project("log", "--all").out
    declare(project, "echo mended > /srv/mended")
    done = project("build")
    assert done.out.endswith("1 of 2 units built, 1 reused\n")
    assert project.git("rev-parse", "HEAD~2").strip() == before
    project.fails("shell", "--failed", status=125, says="no step of a build has failed", hint="envgit shell")
    assert left_over(project) == []
    assert project("fsck").status == 0


def test_the_failed_state_has_what_the_step_had(project: Lab) -> None:
    (project.path / "envgit.toml").write_text(
        START + '[[step]]\nrun = "exit 3"\nworkdir = "/usr/share"\nuser = "ann"\nenv = { A = "b c" }\n'
    )
    before = project.head()
    project("build", status=1)
    assert project.head() == before
    assert project("shell", "--failed", stdin=b'pwd; id -u; echo "$A"').out == "/usr/share\n1000\nb c\n"
    project.fails("shell", "--failed", "main", status=125, says="--failed and a revision", hint="envgit shell main")


def test_a_branch_that_is_elsewhere_stays_there(project: Lab) -> None:
    declare(project, "true")
    project("build")
    project.sh("echo mine > /srv/mine")
    project("commit", "-m", "mine")
    before = project.head()
    declare(project, "exit 1")
    project("build", status=1)
    assert (project.head(), project.changes()) == (before, [])
    assert project.look("HEAD", "cat /srv/mine") == "mine\n"
    declare(project, "exit 1")
    project("build", "--branch", "new", status=1)
    assert project.head() == before
    assert project.look("new", "ls /srv") == "good\nlines\n", "the last good commit"


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ('run = ["/bin/no-such-program"]', "no-such-program"),
        ('run = ["/etc/motd"]', "/etc/motd"),
        ("run = \"sh -c 'kill -9 $$'; exit $?\"", "status 137"),
        ('run = "true"\nuser = "nobody-here"', "nobody-here"),
        ('run = "true"\nsecrets = ["key"]', "key"),
    ],
)
def test_a_step_that_does_not_start_or_is_killed(project: Lab, step: str, says: str) -> None:
    (project.path / "envgit.toml").write_text(START + GOOD_STEP + f"[[step]]\n{step}\n")
    done = project("build", status=None)
    assert done.status in (1, 2), done
    assert len([line for line in done.err.splitlines() if line.startswith("envgit: ") and says in line]) == 1, done.err
    assert "envgit.toml:5" in done.err, "the line is named"
    assert "\nhint: " in done.err
    assert project.look("HEAD", "ls /srv") == "good\nlines\n"
    assert left_over(project) == []


# interrupts and kills


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_step_and_keeps_what_was_done(project: Lab, signum: signal.Signals) -> None:
    marker = f"sleep 9{os.getpid()}{signum.value}"
    declare(project, f"echo half > /srv/half; {marker}")
    process = project.start("build", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: processes(marker))
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (130, 143), err
    assert b"Traceback" not in err and b"internal error" not in err
    assert out == b""
    wait_for(lambda: not processes(marker), 5)
    assert project.look("HEAD", "ls /srv") in ("good\nlines\n", "lines\n")
    assert project.changes() == []
    assert left_over(project) == []
    declare(project, "true")
    assert "reused" in project("build").err, "what was done is not done again"
    assert project("fsck").status == 0


def test_an_interrupt_of_the_whole_terminal(project: Lab) -> None:
    marker = f"sleep 8{os.getpid()}"
    declare(project, marker)
    process = project.start("build", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: processes(marker))
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    wait_for(lambda: not processes(marker), 5)


def test_killed_at_any_moment_the_next_build_goes_on(project: Lab) -> None:
    marker = f"sleep 0.2{os.getpid()}"
    declare(
        project,
        f"{marker}; echo 1 > /srv/1",
        f"{marker}; echo 2 > /srv/2",
        more='[files]\n"/etc/x" = { content = "x" }\n',
    )
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    project = replace(project, variables=epoch)
    before = project.head()
    killed = 0
    for delay in (0.15, 0.3, 0.45, 0.6, 0.75):
        process = subprocess.Popen(
            [*command_words(), "build"],
            cwd=project.path,
            env=command_environment(epoch),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        killed += process.poll() is None
        process.kill()
        process.wait()
        wait_for(lambda: not processes(marker), 5)
        assert project("fsck").status == 0
        assert project.changes() == []
    assert killed >= 3
    project("build")
    project("branch", "interrupted")
    project("reset", "--hard", before)
    project("build", "--no-cache")
    assert project.head("main:rootfs") == project.head("interrupted:rootfs")
    for folder in (project.git_dir / "sandboxes").iterdir():
        os.utime(folder, (1, 1))  # gc leaves alone what is new
    project("gc", "--prune=now")
    assert left_over(project) == []
    assert project("fsck").status == 0


# daemons


@pytest.mark.parametrize(
    "start",
    [
        "{sleep} &",
        "setsid {sleep} </dev/null >/dev/null 2>&1 &",
        "( ( trap '' TERM HUP INT; {sleep} & ) & )",
        "nohup {sleep} >/srv/out 2>&1 & sleep 0.1",
    ],
)
def test_a_daemon_is_not_waited_for_and_ends_with_its_step(project: Lab, start: str) -> None:
    sleep = f"sleep 7{os.getpid()}"
    declare(project, f"{start.format(sleep=sleep)}\necho started > /srv/started", "test ! -e /proc/2 || ps > /srv/ps")
    started = time.monotonic()
    project("build")
    assert time.monotonic() - started < 20
    assert processes(sleep) == []
    assert project.look("HEAD", "cat /srv/started") == "started\n"
    assert left_over(project) == []


def test_a_daemon_that_goes_on_writing(project: Lab) -> None:
    declare(project, "while :; do echo x >> /srv/log; done & sleep 0.2")
    project("build")
    first = project.look("HEAD", "wc -c < /srv/log")
    time.sleep(0.2)
    assert project.look("HEAD", "wc -c < /srv/log") == first
    assert project("fsck").status == 0


# the disk


@pytest.fixture
def small_disk(tmp_path: Path, small_root: Path) -> Iterator[Lab]:
    """A project on a file system of its own, of 48 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0755", "tmpfs", str(disk)], check=True)
    try:
        lab = Lab(disk / "lab")
        Lab(disk)("init", "lab", "--from", f"dir:{small_root}", "-m", "small")
        lab("tag", "base")
        yield lab
    finally:
        remove(disk / "lab")
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.root_only
def test_a_step_that_fills_the_disk(small_disk: Lab) -> None:
    declare(small_disk, "cat /dev/zero > /srv/big")
    done = small_disk("build", status=1)
    assert "No space left on device" in done.err
    assert "envgit.toml:5: " in done.err and "hint: " in done.err
    assert_sound(small_disk)


@pytest.mark.root_only
def test_a_disk_that_is_full_when_the_unit_is_recorded(small_disk: Lab) -> None:
    declare(small_disk, "cat /dev/urandom > /srv/big 2>/dev/null || true")
    done = small_disk("build", status=2)
    assert "No space left on device" in done.err
    assert "hint: " in done.err
    assert_sound(small_disk)


@pytest.mark.root_only
def test_a_disk_that_is_full_before_anything_is_done(small_disk: Lab) -> None:
    declare(small_disk, "true")
    filler = small_disk.path / "filler"
    with open(filler, "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    before = small_disk.head()
    done = small_disk("build", status=None)
    assert done.status == 2, done
    assert "No space left on device" in done.err
    assert small_disk.head() == before
    filler.unlink()
    assert_sound(small_disk)


def assert_sound(lab: Lab) -> None:
    """Nothing is damaged or left, the good step is kept, and with the file corrected the build goes on."""
    assert left_over(lab) == []
    assert lab("fsck").status == 0
    assert lab.changes() == []
    declare(lab, "echo mended > /srv/mended")
    lab("build")
    assert lab.look("HEAD", "cat /srv/good /srv/mended") == "good\nmended\n"
    assert lab("fsck").status == 0


def test_a_limit_of_file_sizes_is_an_error_with_a_hint(project: Lab) -> None:
    declare(project, "true")
    before = project.head()
    limited = Lab(project.path, ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"))
    done = limited("build", status=None)
    assert done.status in (1, 2), done
    assert "envgit: " in done.err and "internal error" not in done.err
    assert project.head() == before
    assert project("build").status == 0


# two at once


def test_two_builds_at_once(project: Lab) -> None:
    declare(project, "sleep 0.3; echo 1 > /srv/1", "echo 2 > /srv/2")
    both = [project.start("build", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [(*process.communicate(timeout=60), process.returncode) for process in both]
    assert sum(status == 0 for _, _, status in ends) >= 1, ends
    for _, err, status in ends:
        assert b"Traceback" not in err and b"internal error" not in err
        assert status in (0, 1, 2), err
    assert project.look("HEAD", "cat /srv/1 /srv/2") == "1\n2\n"
    assert project("build").out.count("nothing to build") == 1
    assert project("fsck").status == 0
    assert left_over(project) == []
