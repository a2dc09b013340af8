"""The monitor's side of `attach`, `stop`, `kill` and `wait`: a socket in the sandbox's folder.

Packets (unix(7), SOCK_SEQPACKET) of one letter and data. From a client: first ATTACH or WATCH, then INPUT, END_OF_INPUT, SIZE
(rows, columns as two bytes each), SIGNAL (number), STAY_ENDED (no restart any more). To a client: OUTPUT, ERROR; DONE or REFUSED
(text) for each ATTACH, WATCH, SIGNAL, STAY_ENDED; TOO_MANY (text) for an ATTACH or WATCH that finds no place; and at the end
of everything STATUS (one byte). The folder is closed to others, so whoever connects is the owner or root.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket
from typing import Protocol

from envgit.errors import SandboxError
from envgit.exec.reactor import READABLE, WRITABLE, Reactor
from envgit.store import storage

ATTACH, WATCH = b"A", b"Q"
INPUT, END_OF_INPUT, SIZE, SIGNAL, STAY_ENDED = b"I", b"E", b"W", b"K", b"S"
OUTPUT, ERROR, STATUS, DONE, REFUSED, TOO_MANY = b"O", b"R", b"X", b"Y", b"N", b"F"

PACKET_BYTES = 65536
MOST_UNSENT_BYTES = 4 << 20
"""An attached terminal that is so far behind is let go: neither the program nor the others wait for it."""
MOST_HELD_BYTES = 1 << 20
"""The caller of `run` is not let go: when it is so far behind, the program's output is not read, as if it wrote to it itself."""

MOST_CLIENTS = 64
"""Attached or waiting at once: the descriptors of the monitor are for more than clients."""
_MOST_CONNECTIONS = MOST_CLIENTS + 16
"""The others have places of their own, so that `stop` gets in."""

_LAST_WORD_SECONDS = 1.0
_RETRY_SECONDS = 1.0


class Attended(Protocol):
    """What clients ask of the monitor. A str says why not."""

    def take_input(self, data: bytes) -> bool: ...

    def end_input(self) -> None: ...

    def resize(self, rows: int, columns: int) -> None: ...

    def signal(self, number: int) -> str | None: ...

    def stay_ended(self) -> None: ...

    def resume_output(self) -> None: ...


class _Client:
    __slots__ = ("attached", "patient", "paused", "socket", "stays", "unsent", "unsent_bytes")

    def __init__(self, connection: socket) -> None:
        self.socket = connection
        self.attached = False
        self.stays = False
        """It is attached or waits for the end; others ask something and go."""
        self.paused = False
        self.patient = False
        """The program waits for it."""
        self.unsent: deque[bytes] = deque()
        self.unsent_bytes = 0


class Attachments:
    """All clients of one sandbox. watch() again for every new reactor."""

    def __init__(self, folder: str, attended: Attended) -> None:
        self._attended = attended
        self._clients: dict[int, _Client] = {}
        self._reactor: Reactor | None = None
        self._listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        storage.unlink(f"{folder}/attach", step="sandbox-socket")
        through_folder(folder, self._listener.bind)
        self._listener.listen(64)
        self._listener.setblocking(False)

    @property
    def is_behind(self) -> bool:
        """Whether a client that the program waits for has much to read first."""
        return any(client.patient and client.unsent_bytes > MOST_HELD_BYTES for client in self._clients.values())

    def add(self, connection: socket, *, attached: bool, patient: bool = False) -> None:
        """Take a connection over. `patient`: the program waits for it, and it gets everything."""
        connection.setblocking(False)
        client = self._clients[connection.fileno()] = _Client(connection)
        client.attached = client.stays = attached
        client.patient = patient
        if self._reactor is not None:
            self._watch(client)

    def watch(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._listen()
        for client in self._clients.values():
            self._watch(client)

    def unwatch(self) -> None:
        """The reactor is about to be closed."""
        self._reactor = None

    def send(self, kind: bytes, data: bytes) -> None:
        """Give output to everyone attached."""
        for client in tuple(self._clients.values()):
            if client.attached:
                self._send(client, kind + data)

    def resume(self) -> None:
        """The program takes input again."""
        for client in self._clients.values():
            if client.paused:
                client.paused = False
                self._watch(client)

    def finish(self, status: int) -> None:
        """Send the status to everyone, waiting shortly for the slow, and close. Who connects now finds nobody."""
        with suppress(OSError):  # nothing comes any more, or no descriptor is left
            while True:
                self.add(self._listener.accept()[0], attached=False)
        self._listener.close()
        for client in sorted(self._clients.values(), key=lambda client: client.patient):
            client.socket.settimeout(None if client.patient else _LAST_WORD_SECONDS)
            with suppress(OSError):
                for packet in (*client.unsent, STATUS + bytes([status])):
                    client.socket.send(packet)
            client.socket.close()
        self._clients.clear()

    def _listen(self) -> None:
        """Take connections while there are places; the others wait in the listener's queue."""
        if self._reactor is not None and len(self._clients) < _MOST_CONNECTIONS:
            self._reactor.watch(self._listener.fileno(), READABLE, self._accept)

    def _accept(self, events: int) -> None:
        try:
            self.add(self._listener.accept()[0], attached=False)
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptors or no memory: nothing that the program should die of
            assert self._reactor is not None
            self._reactor.unwatch(self._listener.fileno())
            self._reactor.after(_RETRY_SECONDS, self._listen)
        if len(self._clients) >= _MOST_CONNECTIONS and self._reactor is not None:
            self._reactor.unwatch(self._listener.fileno())

    def _watch(self, client: _Client) -> None:
        if self._reactor is None:
            return
        events = (0 if client.paused else READABLE) | (WRITABLE if client.unsent else 0)
        self._reactor.watch(client.socket.fileno(), events, lambda events: self._ready(client, events))

    def _ready(self, client: _Client, events: int) -> None:
        if events & WRITABLE and client.unsent:
            self._send_unsent(client)
        if events & ~WRITABLE and client.socket.fileno() >= 0:
            try:
                packet = client.socket.recv(PACKET_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if packet:
                self._handle(client, packet[:1], packet[1:])
            else:
                self._drop(client)

    def _handle(self, client: _Client, kind: bytes, data: bytes) -> None:
        attended = self._attended
        if kind in (ATTACH, WATCH):
            if not client.stays and sum(each.stays for each in self._clients.values()) >= MOST_CLIENTS:
                self._send(client, TOO_MANY + f"{MOST_CLIENTS} are attached to it already".encode())
                return
            client.stays = True
            client.attached = kind == ATTACH
            self._send(client, DONE)
        elif kind == INPUT:
            if not attended.take_input(data):
                client.paused = True
                self._watch(client)
        elif kind == END_OF_INPUT:
            attended.end_input()
        elif kind == SIZE and len(data) == 4:
            attended.resize(int.from_bytes(data[:2], "big"), int.from_bytes(data[2:], "big"))
        elif kind == SIGNAL and len(data) == 1:
            refusal = attended.signal(data[0])
            self._send(client, DONE if refusal is None else REFUSED + refusal.encode())
        elif kind == STAY_ENDED:
            attended.stay_ended()
            self._send(client, DONE)

    def _send(self, client: _Client, packet: bytes) -> None:
        client.unsent.append(packet)
        client.unsent_bytes += len(packet)
        if len(client.unsent) == 1:
            self._send_unsent(client)
        elif client.unsent_bytes > MOST_UNSENT_BYTES and not client.patient:
            self._drop(client)

    def _send_unsent(self, client: _Client) -> None:
        try:
            while client.unsent:
                client.socket.send(client.unsent[0])
                client.unsent_bytes -= len(client.unsent.popleft())
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        self._watch(client)
        if client.patient and not client.unsent:
            self._attended.resume_output()

    def _drop(self, client: _Client) -> None:
        if self._reactor is not None:
            self._reactor.unwatch(client.socket.fileno())
        self._clients.pop(client.socket.fileno(), None)
        client.unsent.clear()
        client.socket.close()
        self._listen()
        if client.patient:
            self._attended.resume_output()


def connect(folder: str) -> socket:
    """Return a connection to the monitor of the sandbox in `folder`; SandboxError when none answers."""
    connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        through_folder(folder, connection.connect)
    except OSError as error:
        connection.close()
        raise SandboxError("it is not running", hint="envgit ps -a shows the state of each") from error
    return connection


def through_folder(folder: str, call: Callable[[str], None]) -> None:
    """Call with an address of the socket that fits into the 107 bytes an address has, however long the path is."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{fd}/attach")
    finally:
        os.close(fd)
