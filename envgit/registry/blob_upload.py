"""One blob on its way into a registry (OCI distribution specification 1.1, "pushing blobs").

Small blobs go in one PUT, as containerd and ORAS send all of theirs. Large ones go in pieces, so that a connection that breaks
costs one piece; a registry that takes no second piece gets the whole, and one (or its proxy) that finds the whole too large
gets smaller pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from envgit.errors import SourceError
from envgit.registry.conversation import Conversation
from envgit.registry.refusal import UploadRefused, refusal
from envgit.registry.transport import Answer, ConnectionLost, join

_MIB: Final = 1024 * 1024
_PIECE_BYTES: Final = 64 * _MIB
_SMALLEST_PIECE_BYTES: Final = _MIB
_READ_BYTES: Final = _MIB
_ATTEMPTS: Final = 4
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")
_NO_PIECES: Final = frozenset((400, 404, 405, 415, 416, 501))
"""How registries answer a piece that do not take any, or no second one."""
_OCTETS: Final = "application/octet-stream"


class _TryAgain(Exception):
    """Worth another attempt; `error` if it was the last."""

    def __init__(self, error: SourceError, answer: Answer | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.answer = answer


class BlobUpload:
    """Sends the `size` bytes that `open_` opens (seekable). `advance` hears of bytes that are sent for the first time.

    `location`: of an upload that the registry began already, "" for none.
    """

    def __init__(
        self,
        conversation: Conversation,
        digest: str,
        size: int,
        open_: Callable[[], BinaryIO],
        advance: Callable[[int], None],
        location: str = "",
    ) -> None:
        self._conversation = conversation
        self._digest = digest
        self._size = size
        self._open = open_
        self._advance = advance
        self._location = location
        self._offset = 0
        self._told = 0
        self._in_pieces = size > _PIECE_BYTES
        self._piece_bytes = _PIECE_BYTES
        self._smallest_bytes = _SMALLEST_PIECE_BYTES
        self._shrunk = False
        self._is_second = False

    @property
    def _what(self) -> str:
        return f"the blob {self._digest} of {self._size:,} bytes"

    def run(self, is_there: Callable[[], bool]) -> None:
        """Send it. `is_there` says whether the registry has it already; asked after a connection broke.

        Raises UploadRefused and ConnectionLost.
        """
        failures = best = 0
        while True:
            try:
                self._send()
                return
            except ConnectionLost as error:
                again = _TryAgain(error)
            except _TryAgain as error:
                again = error
            failures += 1
            if failures >= _ATTEMPTS:
                raise again.error
            self._conversation.wait(failures, again.answer)
            try:
                if is_there():
                    return
                self._find_offset()
            except ConnectionLost:
                continue  # counted at the next attempt to send
            if self._offset > best:
                best, failures = self._offset, 0

    def _send(self) -> None:
        while True:
            if not self._location:
                self._begin()
            try:
                if self._in_pieces or self._offset:
                    self._send_pieces()
                    self._finish(b"")
                else:
                    self._finish(None)
                return
            except UploadRefused as refused:
                if not self._another_way(refused.status):
                    raise
                self._restart()

    def _another_way(self, status: int) -> bool:
        """Say whether there is another way to send it, and take that."""
        if status == 413:
            most = self._piece_bytes if self._in_pieces else min(self._size, 2 * _PIECE_BYTES)
            self._piece_bytes = most // 2
            self._in_pieces = self._shrunk = True
            return self._piece_bytes >= self._smallest_bytes
        if status == 404 and not self._is_second:
            self._is_second = True  # the registry has forgotten the upload: it was restarted, or took too long
            return True
        if status in _NO_PIECES and (self._in_pieces or self._offset) and not self._shrunk:
            self._in_pieces = False
            return True
        return False

    def _restart(self) -> None:
        self._location = ""
        self._offset = 0

    def _begin(self) -> None:
        answer = self._conversation.send("POST", "blobs/uploads/", {}, lambda: b"")
        self._expect(answer, 202)
        smallest = answer.header("OCI-Chunk-Min-Length")
        if smallest.isascii() and smallest.isdecimal() and len(smallest) < 12:
            self._smallest_bytes = max(self._smallest_bytes, int(smallest))
            self._piece_bytes = max(self._piece_bytes, self._smallest_bytes)
        self._offset = 0
        self._move(answer)

    def _send_pieces(self) -> None:
        while self._offset < self._size:
            end = min(self._offset + self._piece_bytes, self._size)
            headers = {
                "Content-Type": _OCTETS,
                "Content-Length": str(end - self._offset),
                "Content-Range": f"{self._offset}-{end - 1}",
            }
            start = self._offset
            answer = self._conversation.send("PATCH", self._location, headers, lambda: self._read(start, end))  # noqa: B023
            if answer.status != 202:
                self._expect(answer, 202)
            stored = _stored(answer)
            if stored is not None and stored != end:
                answer.close()
                if not start < stored <= end:
                    raise UploadRefused(
                        f"{self._conversation.name} says that it has {stored:,} bytes of {self._what}, of which {end:,} were sent",
                        hint="try again; ask who runs the registry",
                        status=416,
                    )
                end = stored
            self._move(answer)
            self._offset = end

    def _finish(self, body: bytes | None) -> None:
        """Close the upload: with nothing more, or (None) with the whole blob."""
        target = self._location + ("&" if "?" in self._location else "?") + "digest=" + self._digest.replace(":", "%3A")
        headers = {"Content-Type": _OCTETS, "Content-Length": str(self._size if body is None else len(body))}
        answer = self._conversation.send(
            "PUT", target, headers, lambda: self._read(0, self._size) if body is None else body
        )
        if answer.status not in (201, 204):
            self._expect(answer, 201)
        said = answer.header("Docker-Content-Digest")
        answer.close()
        if said.startswith("sha256:") and self._digest.startswith("sha256:") and said != self._digest:
            raise SourceError(
                f"{self._conversation.name} stored {said} for {self._what}", hint="ask who runs the registry"
            )

    def _find_offset(self) -> None:
        """Ask how much has arrived; without an answer begin anew."""
        if not self._location:
            return
        answer = self._conversation.send("GET", self._location, {})
        stored = _stored(answer)
        answer.close()
        if answer.status not in (202, 204) or stored is None or stored > self._size:
            self._restart()
            return
        if answer.header("Location"):
            self._move(answer)
        self._offset = stored

    def _expect(self, answer: Answer, status: int) -> None:
        if answer.status == status:
            return
        again = self._conversation.is_worth_another(answer)
        error = refusal(self._conversation, answer, self._what)
        if again:
            raise _TryAgain(error, answer)
        raise error

    def _move(self, answer: Answer) -> None:
        """Take the Location where the upload goes on."""
        location = answer.header("Location")
        answer.close()
        if location:
            self._location = join(answer.url, location)
        elif not self._location:
            raise UploadRefused(
                f"{self._conversation.name} does not say where to send {self._what}",
                hint="ask who runs the registry",
                status=answer.status,
            )

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        with self._open() as stream:
            stream.seek(start)
            position = start
            while position < end:
                data = stream.read(min(_READ_BYTES, end - position))
                if not data:
                    raise SourceError(f"{self._what} has become shorter", hint="try again")
                yield data
                position += len(data)
                if position > self._told:
                    self._advance(position - self._told)
                    self._told = position


def _stored(answer: Answer) -> int | None:
    """Return how many bytes the registry says it has. `0-0` is nothing: the distribution project's registry says so."""
    match = _RANGE.fullmatch(answer.header("Range").strip())
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last else 0
