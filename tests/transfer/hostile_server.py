"""Servers that lie, stall and break: raw sockets for http, small scripts in place of ssh."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

Script = Callable[[socket.socket], None]


def packet(text: bytes) -> bytes:
    """One pkt-line (gitprotocol-common(5))."""
    return b"%04x" % (len(text) + 4) + text


def answer(
    body: bytes, *, status: str = "200 OK", kind: str = "application/x-git-upload-pack-advertisement", **headers: str
) -> bytes:
    """A whole HTTP answer that closes its connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def advertisement(
    *refs: bytes, capabilities: bytes = b"side-band-64k ofs-delta", service: bytes = b"git-upload-pack"
) -> bytes:
    """The body of info/refs in protocol 0; `refs`: lines `OID NAME`."""
    lines = [packet(b"# service=" + service + b"\n"), b"0000"]
    for number, ref in enumerate(refs):
        lines.append(packet(ref + (b"\0" + capabilities if number == 0 else b"") + b"\n"))
    return b"".join(lines) + b"0000"


class RawServer:
    """Answers each connection with `script`, which gets it after the head of the request was read."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/a.git"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            self.requests.append(head)
            self._script(connection)
        except OSError:
            return

    def __enter__(self) -> RawServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave accept() at work on it
        self._listener.close()
        for connection in self._open:
            connection.close()


def sends(*pieces: bytes) -> Script:
    """A script that sends its pieces and closes."""

    def script(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        connection.close()

    return script


def stalls(*pieces: bytes) -> Script:
    """A script that sends its pieces and then nothing, for as long as the test lasts."""

    def script(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return script


def fake_ssh(folder: Path, body: str) -> dict[str, str]:
    """Variables that make a Python script take the place of ssh; `body` may use sys, time, os and say(bytes)."""
    path = folder / "fake_ssh.py"
    head = "import os, sys, time\ndef say(data):\n    sys.stdout.buffer.write(data)\n    sys.stdout.buffer.flush()\n"
    path.write_text(head + body)
    return {"GIT_SSH_COMMAND": f"{sys.executable} -S {path}", "GIT_SSH_VARIANT": "ssh"}
