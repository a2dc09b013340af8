"""Who makes the answers: stock git's upload-pack, or dulwich where there is no git."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from envgit.serving.public_history import Public
from envgit.serving.request import Request


class UploadPack(Protocol):
    """Answers git's fetch protocol in its stateless form (gitprotocol-http(5)). Used by several threads at once."""

    program: str

    def advertise(self, version: int, public: Public) -> Generator[bytes, None, None]:
        """Yield what follows the service line of info/refs."""

    def answer(self, request: Request, version: int, public: Public) -> Generator[bytes, None, None]:
        """Yield the answer to a checked request. Closing it early ends what makes it. Raises AnswerFailed."""

    def stop(self) -> None:
        """End all answers that are being made."""
