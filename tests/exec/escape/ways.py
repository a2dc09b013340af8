"""The ways in which the attempts are run: in a sandbox, joined to one, under bubblewrap, and as controls."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.exec.escape.host import VOLUME, Host
from tests.lab import CHECKOUT, Lab, command_words

SECONDS = 100
START_SECONDS = 10


class Said(NamedTuple):
    """What came out, and what was pushed into the caller's terminal."""

    text: str
    pushed: bytes = b""


class Way(NamedTuple):
    """A command prefix: `prefix` + words of the program, run in `folder`."""

    name: str
    prefix: tuple[str, ...]
    folder: Path
    lab: Lab | None = None

    def said(self) -> str:
        """Return what the program said that the others join."""
        assert self.lab is not None
        return self.lab("logs", "probes").out

    def run(self, host: Host, words: Sequence[str]) -> Said:
        """Run with empty input, output through pipes, and a descriptor of the host's root that nobody closed."""
        leak = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            done = subprocess.run(
                [*host.session, *self.prefix, *host.words(), *words], cwd=self.folder, env=environment(host),
                stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False, pass_fds=(leak,),
            )  # fmt: skip
        finally:
            os.close(leak)
        text = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"{self.name}: {done.returncode}\n{text}"
        return Said(text)

    def run_on_terminal(self, host: Host, words: Sequence[str], pass_fds: tuple[int, ...] = ()) -> Said:
        """Run with the caller's controlling terminal as descriptors 0, 1, 2."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        command = ["setsid", "--ctty", "--wait", *host.session, *self.prefix, *host.words(), *words]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment(host), stdin=slave, stdout=slave, stderr=slave, pass_fds=pass_fds
        )  # fmt: skip
        os.set_blocking(master, False)
        text = b""
        deadline = time.monotonic() + SECONDS
        ended = False
        while not ended:
            ended = process.poll() is not None
            assert time.monotonic() < deadline, text
            try:
                while piece := os.read(master, 65536):
                    text += piece
            except BlockingIOError:
                time.sleep(0.01)
        waiting = int.from_bytes(fcntl.ioctl(slave, termios.FIONREAD, bytes(4)), "little")
        pushed = os.read(slave, 4096) if waiting else b""
        os.close(master)
        os.close(slave)
        assert process.returncode == 0, text
        return Said(text.decode(errors="replace"), pushed)


def sandbox(lab: Lab, host: Host) -> Way:
    """Return `envgit run` in a worktree, with a volume and every default."""
    return Way("run", (*command_words(), "run", "-v", f"{host.volume}:{VOLUME}", "--", "/probe"), lab.path)


@contextmanager
def joined(lab: Lab, host: Host, *program: str) -> Iterator[Way]:
    """Start a sandbox in the background, and yield the way to run others beside it once its program has said "waiting"."""
    lab("run", "-d", "--name", "probes", "-v", f"{host.volume}:{VOLUME}", "--", "/probe", *program)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "waiting" not in (said := lab("logs", "probes").out):
            assert time.monotonic() < deadline, f"the sandbox to join did not start: {said}"
        yield Way("exec", (*command_words(), "exec", "probes", "/probe"), lab.path, lab)
    finally:
        lab("rm", "-f", "probes")


def bubblewrap(root: Path, host: Host) -> Way:
    """Return bwrap as its own documentation shows it: everything unshared, new /dev and /proc, a volume."""
    program = shutil.which("bwrap")
    assert program, "bubblewrap is missing: apt-get install bubblewrap"
    options = ("--unshare-all", "--die-with-parent", "--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc",
               "--tmpfs", "/run", "--bind", str(host.volume), VOLUME)  # fmt: skip
    return Way("bwrap", (program, *options, "--", "/probe"), host.folder)


def unconfined(program: Path, host: Host) -> Way:
    """Return the attempts on the host itself, mounts apart, each in a copy of the mount table."""
    return Way("host", (str(program), "OWN_MOUNTS=1", f"CONTROL_SCRATCH={host.scratch}"), host.scratch)


def weak(root: Path, host: Host) -> Way:
    """Return a sandbox without filter, masks and limits, with every capability and the host's network."""
    module = (sys.executable, "-P", "-m", "tests.exec.escape.weak_sandbox")
    return Way("weak", (*module, str(root), str(host.scratch), "/probe", "OWN_MOUNTS=1"), host.folder)


def environment(host: Host) -> dict[str, str]:
    """Return what the caller has in its environment: a secret, besides what it needs."""
    return {**host.environment(), "PYTHONPATH": str(CHECKOUT)}
