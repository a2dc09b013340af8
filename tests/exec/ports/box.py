"""A user and network namespace with an address, and programs in it: what a forwarder needs of a sandbox."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from envgit.exec import idmap, linux
from envgit.exec.ports.forwarder import enter_network
from envgit.exec.privileges import become_namespace_root
from envgit.exec.process import start_time

ADDRESS = "10.0.2.100"
ADDRESS6 = "fd00::100"
SECONDS = 20.0
"""How long a test waits for what must happen."""


class Box:
    """Holds the namespaces; the first process sleeps, `serve` adds programs."""

    def __init__(self, *, interface: bool = True) -> None:
        self.idmap = idmap.choose_idmap()
        go_read, go_write = os.pipe()
        ready_read, ready_write = os.pipe()
        self.pid = linux.clone_process(linux.CLONE_NEWUSER | linux.CLONE_NEWNET)
        if self.pid == 0:
            try:
                os.close(go_write)
                os.read(go_read, 1)
                become_namespace_root(sum(extent.size for extent in self.idmap.gids) > 1)
                _make_network(interface)
                os.write(ready_write, b"x")
                os.execv(
                    "/bin/sleep", ["sleep", "1000000"]
                )  # as a sandbox, it is accessible once it has become its program
            finally:
                os._exit(1)
        os.close(go_read)
        os.close(ready_write)
        idmap.write_maps(self.pid, self.idmap)
        os.write(go_write, b"x")
        os.close(go_write)
        assert os.read(ready_read, 1) == b"x", "the box could not be made: is iproute2 installed?"
        assert os.read(ready_read, 1) == b"", "closed by execve"
        os.close(ready_read)
        self.start_time = start_time(self.pid)
        self._programs: list[int] = []

    def serve(self, program: Callable[[Callable[[], None]], None]) -> int:
        """Run a function inside, in a process of its own; wait until it calls what it is given. Return its pid."""
        ready_read, ready_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                enter_network(self.pid, self.start_time)
                program(lambda: _say(ready_write))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(ready_write)
        assert os.read(ready_read, 1) == b"x"
        os.close(ready_read)
        self._programs.append(pid)
        return pid

    def ask(self, question: Callable[[], str]) -> str:
        """Return what a function returns inside; nothing of Python can be loaded there."""
        answer_read, answer_write = os.pipe()

        def program(ready: Callable[[], None]) -> None:
            ready()
            os.write(answer_write, question().encode())

        self.serve(program)
        os.close(answer_write)
        with open(answer_read, encoding="utf-8") as file:
            return file.read()

    def stop(self, program: int) -> None:
        """Kill one program."""
        self._programs.remove(program)
        os.kill(program, signal.SIGKILL)
        os.waitpid(program, 0)

    def close(self) -> None:
        for pid in (*self._programs, self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def listen(port: int, address: str = "0.0.0.0", backlog: int = 4096) -> socket.socket:
    """Return a listening socket; for use inside."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(backlog)
    return listener


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """Return whether a condition became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _say(fd: int) -> None:
    os.write(fd, b"x")


def _make_network(interface: bool) -> None:
    ip = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert ip
    _ip(ip, "link set lo up")
    if interface:
        if not _ip(ip, "link add eth0 type dummy"):
            assert _ip(ip, "link add eth0 type veth peer name far0")
        assert _ip(ip, f"address add {ADDRESS}/24 dev eth0")
        _ip(ip, f"address add {ADDRESS6}/64 dev eth0 nodad")
        assert _ip(ip, "link set eth0 up")


def _ip(program: str, arguments: str) -> bool:
    return subprocess.run([program, *arguments.split()], capture_output=True, timeout=SECONDS).returncode == 0
