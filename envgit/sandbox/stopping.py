"""Ending a sandbox's program: by asking its monitor, which knows the process for certain, or without one."""

from __future__ import annotations

import math
import os
import select
import signal
import time
from contextlib import suppress
from socket import socket

from envgit.errors import Conflict, EnvgitError, SandboxError
from envgit.repo import Repository
from envgit.sandbox.attachments import (
    DONE,
    PACKET_BYTES,
    REFUSED,
    SIGNAL,
    STATUS,
    STAY_ENDED,
    TOO_MANY,
    WATCH,
    connect,
)
from envgit.sandbox.liveness import monitor_pid
from envgit.sandbox.registry import Found, find_sandbox, look_at, sandbox_folder
from envgit.sandbox.status import read_status
from envgit.sandbox.stop_signal import parse_signal

STOP_SECONDS = 10
_KILL_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
"""A monitor that does not answer for so long hangs: it has nothing else to do than a write to its log."""
_PAUSE_SECONDS = 0.02


class Line:
    """A connection to a monitor that asks and waits for answers."""

    def __init__(self, folder: str) -> None:
        self._socket: socket = connect(folder)
        self.status: int | None = None
        self.closed = False

    def ask(self, packet: bytes, seconds: float | None) -> str | None:
        """Send and wait for the answer, without `seconds` for as long as it takes; a text when it is refused. A sandbox that ends
        meanwhile has done what was asked."""
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            self._socket.send(packet)
        except OSError:
            self.closed = True
        while not self.closed:
            answer = self._receive(deadline)
            if answer is None:
                return "its monitor does not answer"
            if answer[:1] == DONE:
                return None
            if answer[:1] in (REFUSED, TOO_MANY):
                return answer[1:].decode("utf-8", "replace")
        return None

    def wait(self, seconds: float | None) -> bool:
        """Wait until the sandbox has ended for good; False when time is up."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.closed:
            if self._receive(deadline) is None:
                return False
        return True

    def close(self) -> None:
        self._socket.close()

    def _receive(self, deadline: float | None) -> bytes | None:
        """Return the next packet, b"" at the end, None when time is up."""
        self._socket.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
        try:
            packet = self._socket.recv(PACKET_BYTES + 1)
        except TimeoutError:
            return None
        except OSError:
            packet = b""
        if packet[:1] == STATUS:
            self.status = packet[1]
        self.closed = not packet
        return packet


def stop_sandbox(repo: Repository, word: str, *, seconds: float | None = None, number: int | None = None) -> Found:
    """End the program for good: its stop signal (or `number`), after `seconds` (10; below 0: any time) SIGKILL.

    No restart policy revives it. One that does not run is left as it is. Raises UnknownSandbox.
    """
    found = find_sandbox(repo, word)
    if not found.monitor:
        return found
    wanted = number or parse_signal(found.record.request.stop_signal or "TERM")
    patience = STOP_SECONDS if seconds is None else seconds
    try:
        line = Line(sandbox_folder(repo, found.id))
    except SandboxError:
        kill_sandbox(repo, found)
        return found
    try:
        hangs = line.ask(STAY_ENDED, _ANSWER_SECONDS)
        if hangs is None:
            line.ask(SIGNAL + bytes([wanted]), _ANSWER_SECONDS)
        if hangs is None and line.wait(None if patience < 0 else patience):
            _wait_for_monitor(repo, found, _KILL_SECONDS)
            return found
    finally:
        line.close()
    kill_sandbox(repo, found)
    return found


def kill_sandbox(repo: Repository, found: Found) -> None:
    """End a sandbox at once, and wait until nothing of it is left. A monitor that does not answer is killed with it."""
    with suppress(SandboxError):
        line = Line(sandbox_folder(repo, found.id))
        try:
            if line.ask(STAY_ENDED, _ANSWER_SECONDS) is None:
                line.ask(SIGNAL + bytes([signal.SIGKILL]), _ANSWER_SECONDS)
                line.wait(_KILL_SECONDS)
        finally:
            line.close()
    if _wait_for_monitor(repo, found, _KILL_SECONDS / 10):
        return
    monitor = monitor_pid(repo, found.id)
    if monitor > 0:
        _kill_monitor(repo, found, monitor)
    if not _wait_for_monitor(repo, found, _KILL_SECONDS):
        raise SandboxError(f"the monitor of {found.name} (pid {monitor}) does not end", hint=f"kill -9 {monitor}")
    look_at(repo, found.record)


def signal_sandbox(repo: Repository, word: str, number: int = signal.SIGKILL) -> Found:
    """Send a signal to the program. KILL and the stop signal end it for good; after others its restart policy applies.

    Raises UnknownSandbox; Conflict when it does not run.
    """
    found = find_sandbox(repo, word)
    if not found.monitor:
        raise Conflict(f"{found.name} is not running", hint="envgit ps -a shows the state of each")
    line = Line(sandbox_folder(repo, found.id))
    try:
        refusal = line.ask(SIGNAL + bytes([number]), _ANSWER_SECONDS)
    finally:
        line.close()
    if refusal is not None:
        raise Conflict(f"{found.name} cannot be signalled: {refusal}")
    return found


def wait_for(repo: Repository, word: str) -> int:
    """Wait until a sandbox has ended for good and return its exit status. Raises UnknownSandbox."""
    found = find_sandbox(repo, word)
    if not found.monitor:
        return found.status.exit_code
    try:
        line = Line(sandbox_folder(repo, found.id))
    except SandboxError:
        line = None
    if line is not None:
        try:
            if line.ask(WATCH, None) is None:
                line.wait(None)
            if line.status is not None:
                return line.status
        finally:
            line.close()
    _wait_for_monitor(repo, found, None)
    try:
        return find_sandbox(repo, found.id).status.exit_code
    except EnvgitError:
        return read_status(repo, found.id).exit_code


def _kill_monitor(repo: Repository, found: Found, pid: int) -> None:
    """Kill the process that holds the monitor's lock, and no other that got its number meanwhile."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        # The pidfd came first: if the lock's holder has this number now, it is the pidfd's process, or that one is gone.
        if monitor_pid(repo, found.id) == pid:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)


def _wait_for_monitor(repo: Repository, found: Found, seconds: float | None) -> bool:
    """Wait until the monitor has gone; False when time is up, which it never is without `seconds`."""
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    while (pid := monitor_pid(repo, found.id)) and time.monotonic() < deadline:
        try:
            fd = os.pidfd_open(pid)
        except (OSError, ValueError):
            time.sleep(_PAUSE_SECONDS)
            continue
        try:
            ready = select.poll()
            ready.register(fd, select.POLLIN)
            ready.poll(max(1, int(min(100, (deadline - time.monotonic()) * 1000))))
        finally:
            os.close(fd)
    return not monitor_pid(repo, found.id)
