"""What it means that a registry does not take something."""

from __future__ import annotations

from typing import Final

from envgit.errors import SourceError
from envgit.registry.conversation import Conversation, error_message
from envgit.registry.rate_limit import describe_limit
from envgit.registry.transport import Answer

_TOO_LARGE: Final = 413


class UploadRefused(SourceError):
    """The registry does not take what was sent. `status`: of its answer."""

    code = "upload-refused"

    def __init__(self, message: str, *, hint: str, status: int) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def refusal(conversation: Conversation, answer: Answer, what: str) -> UploadRefused:
    """Return the error that an answer to an upload means; closes the answer."""
    said = error_message(answer.read_small(64 * 1024) or b"")
    tail = f": {said}" if said else ""
    status = answer.status
    host, name, login = conversation.endpoint.host, conversation.name, conversation.login_command
    if status in (401, 403):
        origin = conversation.credentials_origin
        if origin:
            message = f"{name} may not be written with the credentials from {origin}{tail}"
            hint = f"log in as somebody who may: {login}; some registries want the repository made first"
        else:
            message = f"{name} may not be written without a login{tail}"
            hint = login
    elif status == 404:
        message = f"{host} has no repository {conversation.endpoint.path}{tail}"
        hint = "check the name; some registries want the repository made first"
    elif status == 405:
        message = f"{host} takes no uploads{tail}"
        hint = "it is read-only, or a mirror: push to another registry"
    elif status == _TOO_LARGE:
        message = f"{host} finds {what} too large{tail}"
        hint = "ask who runs the registry, or the proxy before it, for a larger limit"
    elif status == 429:
        limit = describe_limit(answer.header)
        message = f"{host} has had too many requests{tail}" + (f" ({limit})" if limit else "")
        hint = "wait, or ask who runs the registry for more" if conversation.credentials_origin else f"wait, or {login}"
    elif status < 500:
        message = f"{host} does not take {what}: status {status}{tail}"
        hint = "ask who runs the registry"
    else:
        message = f"{host} answers {status} for {what}{tail}"
        hint = "try again later"
    return UploadRefused(message, hint=hint, status=status)
