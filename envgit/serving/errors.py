"""Why a request is not answered with a pack."""

from __future__ import annotations

from envgit.errors import EnvgitError


class BadRequest(EnvgitError):
    """A request that is not git's protocol, or asks for what is not offered. `status` is HTTP's."""

    code = "bad-request"

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class NotPublic(EnvgitError):
    """An object was asked for by its id that no branch and no tag reaches."""

    code = "not-public"


class AnswerFailed(EnvgitError):
    """What makes the answer failed; what the client has of it is incomplete."""

    code = "answer-failed"
