"""A cable that breaks: passes TCP on, and resets both sides after so many bytes."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType

ADDRESS = "127.0.0.1"


class CuttingProxy:
    """Passes connections on to `port`; all of them together carry `after` bytes there and back, then break for good.

    `after` None never breaks. `stall`: instead of breaking nothing moves any more. `carried`: how many bytes went through.
    """

    def __init__(self, port: int, after: int | None = None, *, stall: bool = False) -> None:
        self._target = port
        self.after = after
        self._stall = stall
        self.carried = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server((ADDRESS, 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection((ADDRESS, self._target))
            except OSError:
                return
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(4096):
                with self._lock:
                    left = None if self.after is None else max(0, self.after - self.carried)
                    data = data[:left]
                    self.carried += len(data)
                target.sendall(data)
                if left is not None and len(data) == left:
                    if self._stall:
                        self._ended.wait()
                    self._reset(source, target)
                    return
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _reset(self, *connections: socket.socket) -> None:
        for each in connections:
            try:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
                each.close()
            except OSError:
                continue

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._listener.close()
        self._reset(*self._open)
