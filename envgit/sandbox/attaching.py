"""The caller's side of an attached sandbox: its output comes here, and input, window sizes and signals go there."""

from __future__ import annotations

import os
import signal
from socket import socket
from typing import NamedTuple

from envgit.errors import Conflict, UsageError
from envgit.exec import linux
from envgit.exec.caller_terminal import make_raw, restore, window_size
from envgit.exec.outlet import Outlet
from envgit.exec.process import ENDING, FORWARDED
from envgit.exec.reactor import READABLE, WRITABLE, Reactor
from envgit.repo import Repository
from envgit.sandbox.attachments import (
    ATTACH,
    END_OF_INPUT,
    ERROR,
    INPUT,
    MOST_UNSENT_BYTES,
    OUTPUT,
    PACKET_BYTES,
    SIGNAL,
    SIZE,
    STATUS,
    TOO_MANY,
    connect,
)
from envgit.sandbox.registry import find_sandbox, sandbox_folder

DETACH_KEYS = "ctrl-p,ctrl-q"
_PIECE_BYTES = 16384
_SIGNALFD_BYTES = 128


class Ending(NamedTuple):
    """How being attached ended: the program's `status`, or `detached`, or, with neither, the monitor was killed."""

    status: int
    detached: bool = False


class Terminal(NamedTuple):
    """`raw`: the sandbox has a terminal, so the caller's passes every key on."""

    raw: bool
    detach_keys: bytes

    @classmethod
    def of(cls, raw: bool, keys: str = DETACH_KEYS) -> Terminal:
        return cls(raw, parse_detach_keys(keys))


def parse_detach_keys(text: str) -> bytes:
    """Parse `ctrl-p,ctrl-q`, `ctrl-@`, `a,b`; "" for none. Raises UsageError."""
    keys = b""
    for word in text.split(",") if text else []:
        name = word.removeprefix("ctrl-")
        if len(name) != 1 or not name.isascii():
            raise UsageError(f"{word!r} is no key", hint="a letter, or ctrl- with a letter or one of @ [ \\ ] ^ _")
        keys += bytes([ord(name.upper()) & 0x1F]) if word != name else name.encode()
    return keys


def attach_sandbox(
    repo: Repository, word: str, *, keys: str = DETACH_KEYS, with_input: bool = True, pass_signals: bool = True
) -> Ending:
    """Attach the caller's standard streams to a running sandbox until it ends or the caller detaches. Nothing is replayed.

    Raises UnknownSandbox; Conflict when it does not run.
    """
    found = find_sandbox(repo, word)
    if not found.monitor:
        raise Conflict(f"{found.name} is not running", hint=f"envgit start {found.name}")
    request = found.record.request
    terminal = Terminal.of(request.terminal, keys)
    with connect(sandbox_folder(repo, found.id)) as connection:
        connection.send(ATTACH)
        takes_input = with_input and (request.interactive or request.terminal)
        return attend(connection, terminal, with_input=takes_input, pass_signals=pass_signals)


def attend(
    connection: socket, terminal: Terminal, *, with_input: bool, ends_input: bool = False, pass_signals: bool = True
) -> Ending:
    """Copy between a monitor and descriptors 0, 1, 2. `ends_input`: the end of descriptor 0 ends the program's input."""
    watched = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
    watched = (watched if pass_signals else set()) | {signal.SIGWINCH}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    saved = make_raw() if terminal.raw and with_input else None
    session = _Session(connection, terminal, with_input, ends_input)
    signals = linux.signalfd({int(number) for number in watched})
    try:
        return session.run(signals)
    finally:
        os.close(signals)
        if saved is not None:
            restore(saved)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Session:
    def __init__(self, connection: socket, terminal: Terminal, with_input: bool, ends_input: bool) -> None:
        self._connection = connection
        self._terminal = terminal
        self._with_input = with_input
        self._ends_input = ends_input
        self._ending: Ending | None = None
        self._keys_seen = b""
        self._unsent: list[bytes] = []
        self._from_terminal = os.isatty(0)
        self._reactor = Reactor()
        self._outlets = {OUTPUT: self._outlet(1), ERROR: self._outlet(2)}
        self._most_held_bytes = 0
        """Output taken from the monitor that nobody reads; beyond, the monitor keeps it."""
        connection.setblocking(False)

    def run(self, signals: int) -> Ending:
        reactor = self._reactor
        try:
            self._watch_connection()
            reactor.watch(signals, READABLE, lambda events: self._signalled(signals))
            if self._terminal.raw:
                self._send_size()
            if self._with_input:
                self._watch_input()
            reactor.run(until=lambda: self._ending is not None)
            self._write_the_rest()
        finally:
            for outlet in self._outlets.values():
                outlet.close()
            reactor.close()
        assert self._ending is not None
        return self._ending

    def _write_the_rest(self) -> None:
        self._reactor.unwatch(self._connection.fileno())
        self._reactor.unwatch(0)
        for outlet in self._outlets.values():
            if self._ending is not None and self._ending.detached:
                outlet.hurry()
            outlet.finish()
        self._reactor.run(until=lambda: not self._held_bytes())

    def _outlet(self, fd: int) -> Outlet:
        return Outlet(fd, self._reactor, self._written)

    def _held_bytes(self) -> int:
        return sum(outlet.unsent_bytes for outlet in self._outlets.values())

    def _written(self) -> None:
        if not self._held_bytes():
            self._most_held_bytes = 0
        self._watch_connection()

    def _watch_connection(self) -> None:
        """Take output only while it is read; the monitor, and with `run` the program, waits as if it wrote to it itself."""
        if self._ending is not None:
            return
        takes = self._held_bytes() <= self._most_held_bytes
        events = (READABLE if takes else 0) | (WRITABLE if self._unsent else 0)
        if events:
            self._reactor.watch(self._connection.fileno(), events, self._connection_ready)
        else:  # watching for nothing reports a hang-up again and again
            self._reactor.unwatch(self._connection.fileno())

    def _watch_input(self) -> None:
        try:
            self._reactor.watch(0, READABLE, self._input_ready)
        except PermissionError:  # a regular file: always ready; read while the monitor takes it
            while self._ending is None and self._with_input:
                self._input_ready(READABLE)
                if self._unsent:
                    return

    def _connection_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._flush()
            if not self._unsent and self._with_input:
                self._watch_input()
        elif self._unsent:  # it hung up
            self._flush()
        if events & ~WRITABLE and self._held_bytes() <= self._most_held_bytes:
            try:
                packet = self._connection.recv(PACKET_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            kind, data = packet[:1], packet[1:]
            if kind in self._outlets:
                self._outlets[kind].put(data)
                self._watch_connection()
            elif kind == STATUS:
                self._ending = Ending(data[0])
            elif kind == TOO_MANY:
                raise Conflict(data.decode("utf-8", "replace"), hint="envgit logs -f shows what it writes")
            elif not packet and self._ending is None:
                self._ending = Ending(128 + signal.SIGKILL)

    def _input_ready(self, events: int) -> None:
        try:
            data = os.read(0, _PIECE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._reactor.unwatch(0)
            self._with_input = False
            if self._terminal.raw and self._from_terminal:  # raw, it has no end but that it is gone
                self._ending = Ending(0, detached=True)
            elif self._ends_input:
                self._send(END_OF_INPUT)
            return
        passed = self._look_for_keys(data) if self._terminal.raw else data
        if passed:
            self._send(INPUT + passed)

    def _look_for_keys(self, data: bytes) -> bytes:
        """Return what is passed on; a beginning of the detach keys waits for its end."""
        keys = self._terminal.detach_keys
        if not keys:
            return data
        whole = self._keys_seen + data
        at = whole.find(keys)
        if at >= 0:
            self._ending = Ending(0, detached=True)
            return whole[:at]
        held = next((count for count in range(len(keys) - 1, 0, -1) if whole.endswith(keys[:count])), 0)
        self._keys_seen = whole[len(whole) - held :]
        return whole[: len(whole) - held]

    def _signalled(self, signals: int) -> None:
        try:
            number = int.from_bytes(os.read(signals, _SIGNALFD_BYTES)[:4], "little")
        except BlockingIOError:
            return
        if number == signal.SIGWINCH:
            if self._terminal.raw:
                self._send_size()
            return
        if number == signal.SIGHUP:  # the caller's terminal went away: the sandbox goes on
            self._ending = self._ending or Ending(0, detached=True)
            return
        if self._ending is None:
            self._send(SIGNAL + bytes([number]))
        if number in ENDING:
            self._asked_to_end()

    def _asked_to_end(self) -> None:
        """Output that nobody reads must not hide the status that is behind it, nor keep this process when that came."""
        for outlet in self._outlets.values():
            outlet.hurry()
        if self._held_bytes():
            self._most_held_bytes = self._held_bytes() + MOST_UNSENT_BYTES
            self._watch_connection()

    def _send_size(self) -> None:
        size = window_size()
        if size is not None:
            self._send(SIZE + size[0].to_bytes(2, "big") + size[1].to_bytes(2, "big"))

    def _send(self, packet: bytes) -> None:
        self._unsent.append(packet)
        self._flush()
        if self._unsent:
            self._reactor.unwatch(0)
            self._watch_connection()

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._connection.send(self._unsent[0])
                self._unsent.pop(0)
        except BlockingIOError:
            return
        except OSError:  # it ended: its last word is still to be read
            self._unsent.clear()
        self._watch_connection()
